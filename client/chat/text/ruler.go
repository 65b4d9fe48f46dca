package text

import (
	"iter"
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// Ruler measures text in terminal columns. The zero Ruler adds up the widths of
// code points, as most terminals do. Text must have gone through Show.
type Ruler struct {
	Clusters bool // measure grapheme clusters, as terminals with mode 2027 do
}

func (r Ruler) method() ansi.Method {
	if r.Clusters {
		return ansi.GraphemeWidth
	}
	return ansi.WcWidth
}

// Width returns the number of columns of s.
func (r Ruler) Width(s string) (n int) {
	if plain(s) {
		return len(s)
	}
	for _, w := range r.All(s) {
		n += w
	}
	return n
}

// All iterates over the grapheme clusters of s and their widths.
func (r Ruler) All(s string) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		m := r.method()
		for len(s) > 0 {
			c, w := s[:1], 1
			if s[0] < ' ' || s[0] > '~' || len(s) > 1 && s[1] > '~' {
				c, w = ansi.FirstGraphemeCluster(s, m)
			}
			if len(c) == 0 || !yield(c, w) {
				return
			}
			s = s[len(c):]
		}
	}
}

// Cut shortens s to at most w columns. An ellipsis marks the cut.
func (r Ruler) Cut(s string, w int) string {
	if r.Width(s) <= w {
		return s
	}
	if w <= 0 {
		return ""
	}
	n, end := 0, 0
	for c, cw := range r.All(s) {
		if n+cw > w-1 {
			break
		}
		n += cw
		end += len(c)
	}
	return s[:end] + "…"
}

// Show passes s through Clean and makes its width predictable. Unless Clusters
// is set, it drops what terminals draw differently: joiners between emoji, skin
// tones and variation selectors. A combining mark at the beginning gets a
// dotted circle, because it would combine with the text to the left.
func (r Ruler) Show(s string) string {
	s = Clean(s)
	if plain(s) {
		return s
	}
	if !r.Clusters {
		s = splitEmoji(s)
	}
	for c, w := range r.All(s) {
		if w == 0 && c != "" {
			s = "◌" + s
		}
		break
	}
	return s
}

// splitEmoji drops the characters that combine emoji or change their look.
func splitEmoji(s string) string {
	const (
		zwj                 = 0x200d
		textStyle, emojiSty = 0xfe0e, 0xfe0f
		tone, lastTone      = 0x1f3fb, 0x1f3ff
	)
	var b strings.Builder
	var before rune
	for _, c := range s {
		switch {
		case c == textStyle, c == emojiSty, c == zwj && pictured(before), c >= tone && c <= lastTone && pictured(before):
			continue
		}
		b.WriteRune(c)
		before = c
	}
	return b.String()
}

// pictured reports whether r is a symbol or emoji.
func pictured(r rune) bool { return r >= 0x2000 && unicode.In(r, unicode.So, unicode.Sk) }
