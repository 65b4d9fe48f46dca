package text

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"chatd/internal/names"
)

// maxMarks is how many consecutive combining marks are shown. More of them
// would overlap the lines above and below.
const maxMarks = 6

// Clean makes untrusted text safe to print on a terminal, as a single line.
// Control characters, line breaks, and invisible and bidirectional formatting
// characters become visible escapes such as \x1b. Joiners and variation selectors
// stay where they may change how the characters beside them look. Tabs become
// spaces. Invalid UTF-8 becomes U+FFFD.
func Clean(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	marks := 0
	before := rune(0)
	for _, r := range s {
		shaping := shapes(before, r)
		before = r
		if unicode.In(r, unicode.Mn, unicode.Me) {
			if marks++; marks > maxMarks {
				continue
			}
		} else {
			marks = 0
		}
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteByte(' ')
		case r == utf8.RuneError:
			b.WriteRune(utf8.RuneError)
		case r < 0x80 && unicode.IsControl(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		case names.Hidden(r) && !shaping && r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		case names.Hidden(r) && !shaping:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// shapes reports whether the hidden character r may change how before looks, so
// that it must not be escaped. Joiners do so in Arabic, in scripts of India, and
// between emoji; variation selectors in emoji, and in Chinese and Japanese.
func shapes(before, r rune) bool {
	const zwnj, zwj = 0x200c, 0x200d
	switch {
	case r == zwnj, r == zwj:
		return before >= 0x600
	case unicode.Is(unicode.Variation_Selector, r):
		return before >= 0x2000 || before >= '0' && before <= '9' || before == '#' || before == '*'
	}
	return false
}

// plain reports whether s is printable ASCII.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
