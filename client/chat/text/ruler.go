package text

import (
	"iter"
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// Ruler measures text in the columns of a terminal. The zero Ruler counts
// character by character, as every terminal can; Clusters counts what looks
// like one character as one, as newer terminals say that they do. What is
// measured must have gone through Clean.
type Ruler struct {
	Clusters bool
}

func (r Ruler) method() ansi.Method {
	if r.Clusters {
		return ansi.GraphemeWidth
	}
	return ansi.WcWidth
}

// Width is the number of columns of s.
func (r Ruler) Width(s string) (n int) {
	if plain(s) {
		return len(s)
	}
	for _, w := range r.All(s) {
		n += w
	}
	return n
}

// All goes through what looks like one character each, with its columns.
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

// Cut shortens s to at most w columns, with an ellipsis where something is
// missing.
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

// Pad makes s exactly w columns wide: cut, or filled with blanks.
func (r Ruler) Pad(s string, w int) string {
	s = r.Cut(s, w)
	return s + strings.Repeat(" ", max(0, w-r.Width(s)))
}

// Show is Clean, and where the terminal counts character by character it also
// takes apart what terminals draw in different widths: joined emoji, their
// skin tones, and variation selectors. A mark without a letter gets a circle
// to stand on, or it would change what is to the left of the text.
func (r Ruler) Show(s string) string {
	s = Clean(s)
	if plain(s) {
		return s
	}
	if !r.Clusters {
		s = apart(s)
	}
	for c, w := range r.All(s) {
		if w == 0 && c != "" {
			s = "◌" + s
		}
		break
	}
	return s
}

func apart(s string) string {
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

// pictured reports whether r is a picture rather than a letter.
func pictured(r rune) bool { return r >= 0x2000 && unicode.In(r, unicode.So, unicode.Sk) }
