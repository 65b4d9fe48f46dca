// Package names decides which names people may choose, and which names look
// alike. Its rules are those of UTS 39 (Unicode Security Mechanisms) for
// identifiers that are "Highly Restrictive", adapted to names with blanks and
// emoji. It also knows which characters are invisible.
//
// Any goroutine may call its functions. The first call of some of them parses
// the tables, which takes a few milliseconds; after that they take microseconds.
package names

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

//go:generate go run gen.go /usr/share/unicode

const (
	zwnj = '\u200c'
	zwj  = '\u200d'

	// maxMarks is how many combining marks may follow each other, as in UTS 39.
	// More of them would overlap the lines above and below.
	maxMarks = 4
)

// CheckUser returns an error unless name may be chosen as the name of a user. Its
// rules are those of Check and more, because clients show remarks and signs beside
// user names: nobody can be called "Ann (deleted)" or "Ann ✓".
func CheckUser(name string) error {
	if err := Check(name); err != nil {
		return err
	}
	for _, r := range norm.NFC.String(name) {
		switch {
		case separates(r):
			return fmt.Errorf("a user name must not contain %q (%U): it has no colons or brackets", r, r)
		case strings.ContainsRune(badges, r):
			return fmt.Errorf("a user name must not contain %q (%U): it has no check marks, locks or shields", r, r)
		case strikes(r):
			return fmt.Errorf("a user name must not contain a character that strikes through others, got %U", r)
		}
	}
	return nil
}

// badges lists the signs that clients use for what is verified or secure, and
// symbols that look like them.
const badges = "√☑✅✓✔🗸🗹🮱\U00010102⛨🔏🔐🔒🔓🛡"

// separates reports whether r is a colon or a bracket, or looks like one. Quotation
// marks aren't brackets. Letters and marks such as the visarga of Devanagari may look
// like colons: names need them.
func separates(r rune) bool {
	switch {
	case !unicode.In(r, unicode.P, unicode.S):
		return false
	case unicode.In(r, unicode.Ps, unicode.Pe) && !unicode.Is(unicode.Quotation_Mark, r):
		return true
	}
	return strings.ContainsAny(skeleton(string(r)), ":()[]{}<>")
}

// strikes reports whether r is a combining character that is drawn over the one
// before it, in texts of any script. Check refuses most of them.
func strikes(r rune) bool {
	const overlay = 1 // the canonical combining class
	return unicode.Is(unicode.Inherited, r) && norm.NFD.PropertiesString(string(r)).CCC() == overlay
}

// Check returns an error unless name may be chosen as the name of a group.
// CheckUser has more rules for users. It doesn't check the length. The rules are in
// docs/protocol.md.
func Check(name string) error {
	if !utf8.ValidString(name) {
		return fmt.Errorf("a name must be valid UTF-8")
	}
	if name == "" {
		return fmt.Errorf("a name must not be empty")
	}
	runes := []rune(name)
	digits := true
	for i, r := range runes {
		switch {
		case joiner(r) && joinerNeeded(runes, i):
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
			return fmt.Errorf("a name must not contain control or format characters, got %U", r)
		case Hidden(r):
			return fmt.Errorf("a name must not contain invisible characters, got %U", r)
		case !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Zs):
			return fmt.Errorf("a name must not contain unassigned or private characters, got %U", r)
		}
		digits = digits && unicode.IsDigit(r)
	}
	if unicode.IsSpace(runes[0]) || unicode.IsSpace(runes[len(runes)-1]) {
		return fmt.Errorf("a name must not begin or end with a space")
	}
	if digits {
		return fmt.Errorf("a name must not consist of digits only")
	}
	if err := checkCharacters(norm.NFC.String(name)); err != nil {
		return err
	}
	if !oneScript(runes) {
		return fmt.Errorf("a name must not mix letters of different scripts")
	}
	return nil
}

// checkCharacters checks each character and those beside it. name is in NFC.
func checkCharacters(name string) error {
	before := ' '
	for _, r := range name {
		switch {
		case unicode.IsSpace(r) && (r != ' ' || before == ' '):
			return fmt.Errorf("a name must have only single blanks between words, got %U after %U", r, before)
		case unicode.Is(unicode.M, r) && before == ' ':
			return fmt.Errorf("a word must not begin with a combining character, got %U", r)
		case !norm.NFKC.IsNormalString(string(r)) && !vowelAm(r):
			return fmt.Errorf("a name must not contain %q (%U), which is a variant of %q", r, r, norm.NFKC.String(string(r)))
		case unicode.In(r, unicode.L, unicode.M) && unicode.Is(tables().uncommon, r):
			return fmt.Errorf("a name must not contain %q (%U), which is a technical or obsolete character", r, r)
		}
		before = r
	}
	marks := 0
	for _, r := range norm.NFD.String(name) {
		if !unicode.In(r, unicode.Mn, unicode.Me) {
			marks = 0
		} else if marks++; marks > maxMarks {
			return fmt.Errorf("a name must have at most %d combining characters in a row", maxMarks)
		}
	}
	return nil
}

// vowelAm reports whether r is the vowel AM of Thai or Lao. Unicode decomposes
// it for compatibility, but people can't write without it.
func vowelAm(r rune) bool { return r == '\u0e33' || r == '\u0eb3' }

func joiner(r rune) bool { return r == zwnj || r == zwj }

// cursive lists the scripts in which a zero-width non-joiner between letters
// changes how they look.
var cursive = []*unicode.RangeTable{unicode.Arabic, unicode.Syriac, unicode.Mandaic, unicode.Mongolian, unicode.Nko, unicode.Adlam, unicode.Hanifi_Rohingya}

// joinerNeeded reports whether the script, or an emoji, needs the joiner at i:
// after a virama, between letters of a cursive script, or between two emoji.
func joinerNeeded(runes []rune, i int) bool {
	if i == 0 || i == len(runes)-1 {
		return false
	}
	before, r, after := runes[i-1], runes[i], runes[i+1]
	const virama = 9 // the canonical combining class
	switch {
	case norm.NFD.PropertiesString(string(before)).CCC() == virama:
		return true
	case r == zwnj:
		return unicode.In(before, cursive...) && unicode.In(after, cursive...)
	}
	return pictured(before) && pictured(after)
}

// pictured reports whether r is an emoji or a skin tone. It is true for other
// symbols, too.
func pictured(r rune) bool { return r >= 0x2000 && unicode.In(r, unicode.So, unicode.Sk) }

// Hidden reports whether r is a control character, or a character that is shown
// as nothing or as a gap although it isn't white space.
func Hidden(r rune) bool {
	if r < 0x7f {
		return r < ' '
	}
	switch r {
	case '\u2800', '\ufffc', 0x1d159, 0x13441, 0x13442: // blank Braille pattern, object, notehead, hieroglyphs
		return true
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) &&
		!unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}

// Blank reports whether nobody can see text, because it has only white space and
// hidden characters. Text is valid UTF-8. Blank usually looks at one character.
func Blank(text []byte) bool {
	for len(text) > 0 {
		if text[0] > ' ' && text[0] < 0x7f {
			return false
		}
		r, size := utf8.DecodeRune(text)
		if !unicode.IsSpace(r) && !Hidden(r) {
			return false
		}
		text = text[size:]
	}
	return true
}

// Quote returns s in quotes for logs and messages to operators. Hidden characters
// become escapes, so that different names look different.
func Quote(s string) string {
	var b strings.Builder
	for _, r := range strconv.Quote(s) {
		if Hidden(r) {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// oneScript reports whether the characters belong to one script, or to Latin and
// one of the writing systems of Chinese, Japanese and Korean. Characters that
// all scripts share don't count.
func oneScript(runes []rune) bool {
	const latin = "Latin"
	all, asian := everyScript, everyScript
	for _, r := range runes {
		s := systemsOf(r)
		all = all.and(s)
		if s != nil && !slices.Contains(s, latin) {
			asian = asian.and(s)
		}
	}
	return all == nil || len(all) > 0 || slices.ContainsFunc(asian, func(s string) bool { return s == chinese || s == japanese || s == korean })
}

// systems is a set of scripts and writing systems. nil is the set of all of them.
type systems []string

var everyScript systems

// and returns the intersection.
func (s systems) and(other systems) systems {
	switch {
	case other == nil:
		return s
	case s == nil:
		return other
	}
	both := systems{}
	for _, x := range s {
		if slices.Contains(other, x) {
			both = append(both, x)
		}
	}
	return both
}

// Writing systems that combine scripts.
const (
	chinese  = "Hanb" // Han and Bopomofo
	japanese = "Jpan" // Han, Hiragana and Katakana
	korean   = "Kore" // Han and Hangul
)

// systemsOf returns the scripts that use r, and the writing systems that these
// belong to.
func systemsOf(r rune) systems {
	scripts := tables().scripts(r)
	if scripts == nil {
		script := scriptOf(r)
		if script == "" {
			return nil
		}
		scripts = []string{script}
	}
	all := slices.Clone(scripts)
	for _, s := range scripts {
		switch s {
		case "Han":
			all = append(all, chinese, japanese, korean)
		case "Hiragana", "Katakana":
			all = append(all, japanese)
		case "Hangul":
			all = append(all, korean)
		case "Bopomofo":
			all = append(all, chinese)
		}
	}
	return all
}

// scriptOf returns the name of r's script, or "" if r belongs to all of them or to
// none.
func scriptOf(r rune) string {
	switch {
	case r < 0x80:
		if unicode.IsLetter(r) {
			return "Latin"
		}
		return ""
	case unicode.Is(unicode.Han, r):
		return "Han"
	case unicode.In(r, unicode.Common, unicode.Inherited):
		return ""
	}
	for name, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return name
		}
	}
	return ""
}
