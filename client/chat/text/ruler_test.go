package text

import (
	"strings"
	"testing"
)

// TestWidth checks that CJK characters and emoji take two columns and combining
// marks none, and that an emoji sequence takes two columns only if the terminal
// measures clusters.
func TestWidth(t *testing.T) {
	for _, test := range []struct {
		text            string
		chars, clusters int
		shown           string // without Clusters
	}{
		{"hello", 5, 5, "hello"},
		{"你好", 4, 4, "你好"},
		{"é", 1, 1, "é"},
		{"e\u0301x", 2, 2, "e\u0301x"},
		{"🎉", 2, 2, "🎉"},
		{"👩‍👩‍👧", 6, 2, "👩👩👧"},
		{"👍🏽", 2, 2, "👍"},
		{"❤️", 1, 2, "❤"},
		{"", 0, 0, ""},
		{"\u0301a", 2, 2, "◌\u0301a"},
	} {
		plain, clustered := Ruler{}, Ruler{Clusters: true}
		if got := plain.Show(test.text); got != test.shown {
			t.Errorf("Show(%q) = %q, want %q", test.text, got, test.shown)
		}
		if got := plain.Width(plain.Show(test.text)); got != test.chars {
			t.Errorf("by code points: Width(Show(%q)) = %d, want %d", test.text, got, test.chars)
		}
		if got := clustered.Width(clustered.Show(test.text)); got != test.clusters {
			t.Errorf("by clusters: Width(Show(%q)) = %d, want %d", test.text, got, test.clusters)
		}
	}
}

// TestCut checks that Cut never returns more columns than requested. One too
// many would shift the rest of the screen.
func TestCut(t *testing.T) {
	r := Ruler{}
	for _, test := range []struct {
		in   string
		w    int
		want string
	}{
		{"bob", 5, "bob"}, {"bob", 3, "bob"}, {"robert", 4, "rob…"}, {"你好世", 5, "你好…"}, {"你好世", 4, "你…"},
		{"你", 1, "…"}, {"x", 0, ""}, {"x", -3, ""}, {"", 2, ""},
	} {
		if got := r.Cut(test.in, test.w); got != test.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", test.in, test.w, got, test.want)
		}
	}
}

// TestWrap checks that lines break after spaces where possible.
func TestWrap(t *testing.T) {
	r := Ruler{}
	for _, test := range []struct {
		in   string
		w    int
		want string // pieces, separated by |
	}{
		{"", 5, ""},
		{"hello", 5, "hello"},
		{"hello world", 5, "hello |world"},
		{"hello  world", 6, "hello  |world"},
		{"a bc def", 4, "a bc |def"},
		{"abcdefgh", 3, "abc|def|gh"},
		{"ab cdefgh", 4, "ab |cdef|gh"},
		{"你好世界", 5, "你好|世界"},
		{"你好", 1, "你|好"},
		{"x你", 2, "x|你"},
		{"   ", 2, "   "},
		{"hello", 0, "h|e|l|l|o"},
	} {
		var got []string
		for _, p := range r.Wrap(test.in, test.w) {
			got = append(got, test.in[p[0]:p[1]])
		}
		if s := strings.Join(got, "|"); s != test.want {
			t.Errorf("Wrap(%q, %d) = %q, want %q", test.in, test.w, s, test.want)
		}
	}
}

// FuzzWrap checks that Wrap loses nothing, and that no piece is too wide except
// for trailing spaces and single clusters.
func FuzzWrap(f *testing.F) {
	f.Add("hello world 你好 e\u0301 👩‍👩‍👧", 7, false)
	f.Add("a\u200d\u0301\n  b", 1, true)
	f.Fuzz(func(t *testing.T, in string, w int, clusters bool) {
		r := Ruler{Clusters: clusters}
		w %= 100
		for _, line := range r.Lines(in) {
			var all strings.Builder
			for _, p := range r.Wrap(line, w) {
				piece := line[p[0]:p[1]]
				all.WriteString(piece)
				n, trimmed := 0, strings.TrimRight(piece, " ")
				for range r.All(trimmed) {
					n++
				}
				if r.Width(trimmed) > max(w, 1) && n > 1 {
					t.Errorf("Wrap(%q, %d) has a piece %q with %d columns", line, w, trimmed, r.Width(trimmed))
				}
			}
			if all.String() != line {
				t.Errorf("Wrap(%q, %d): the pieces add up to %q", line, w, all.String())
			}
			if got := r.Width(r.Cut(line, w)); got > max(w, 0) {
				t.Errorf("Cut(%q, %d) has %d columns", line, w, got)
			}
		}
	})
}
