package text

import (
	"strings"
	"testing"
	"unicode/utf8"

	"chatd/internal/names"
)

// TestClean checks that untrusted text can't move the cursor, hide or reverse
// text, start a new line, or control the terminal, and that ordinary text of
// any script is unchanged.
func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"hello":                   "hello",
		"你好世 ж é 👩‍👩‍👧":           "你好世 ж é 👩‍👩‍👧",
		"\x1b[2J\x1b]0;title\x07": `\x1b[2J\x1b]0;title\x07`,
		"a\nb\r\nc\td":            `a\nb\x0d\nc d`,
		"\x7f\x00\b":              `\x7f\x00\x08`,
		"\u009b31m":               `\u009b31m`,
		"\u202eevil\u202c\u2066x": `\u202eevil\u202c\u2066x`,
		"a\u200bb\ufeffc\u2028d":  `a\u200bb\ufeffc\u2028d`,
		"\U000e0041":              `\U000e0041`,
		"\xff\xfe":                "��",
		"alice\u3164":             `alice\u3164`,
		"alice\u200d":             `alice\u200d`,
		"ali\u034fce\ufe0f":       `ali\u034fce\ufe0f`,
		"\u2800":                  `\u2800`,
		"1\ufe0f\u20e3 ❤\ufe0f":   "1\ufe0f\u20e3 ❤\ufe0f",
		"می\u200cخواهم क्\u200dष": "می\u200cخواهم क्\u200dष",
		"z" + strings.Repeat("\u0301", 100) + "!": "z" + strings.Repeat("\u0301", maxMarks) + "!",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzClean checks that the result is valid UTF-8 without hidden or control
// characters.
func FuzzClean(f *testing.F) {
	f.Add("\x1b[31m")
	f.Add("你好\u202e")
	f.Fuzz(func(t *testing.T, in string) {
		out := Clean(in)
		if !utf8.ValidString(out) {
			t.Errorf("Clean(%q) = %q, want valid UTF-8", in, out)
		}
		before := rune(0)
		for _, r := range out {
			if names.Hidden(r) && !shapes(before, r) {
				t.Errorf("Clean(%q) = %q, want %U escaped", in, out, r)
			}
			before = r
		}
	})
}
