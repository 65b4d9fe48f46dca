package text

import "testing"

// Text from right to left is isolated, alone or in a sentence, and other text is
// unchanged. A hostile text can't end its isolate.
func TestIsolate(t *testing.T) {
	for _, c := range []struct{ in, whole, words string }{
		{"alice 7", "alice 7", "alice 7"},
		{"", "", ""},
		{"小明 é", "小明 é", "小明 é"},
		{"אב גד", "\u2068אב גד\u2069", "\u2068אב גד\u2069"},
		{"אב 12", "\u2068אב 12\u2069", "\u2068אב\u2069 12"},
		{"אב (3): [4]גד left", "\u2068אב (3): [4]גד left\u2069", "\u2068אב\u2069 (3): [4]\u2068גד\u2069 left"},
		{"bob and مرحبا are typing…", "\u2068bob and مرحبا are typing…\u2069", "bob and \u2068مرحبا\u2069 are typing…"},
		{"سَلَام ", "\u2068سَلَام \u2069", "\u2068سَلَام\u2069 "},
		{"٣", "\u2068٣\u2069", "\u2068٣\u2069"},
		{Clean("א\u2069ב"), "\u2068א\\u2069ב\u2069", "\u2068א\u2069\\u2069\u2068ב\u2069"},
	} {
		if got := Isolate(c.in); got != c.whole {
			t.Errorf("Isolate(%q) = %q, want %q", c.in, got, c.whole)
		}
		if got := IsolateWords(c.in); got != c.words {
			t.Errorf("IsolateWords(%q) = %q, want %q", c.in, got, c.words)
		}
	}
	if got, want := Sprintf("%s, %d: %s", Sprintf("[%d]%s", 3, "אב"), 4, "x\n\u2069"), Safe("[3]\u2068אב\u2069, 4: x\\n\\u2069"); got != want {
		t.Errorf("Sprintf = %q, want %q", got, want)
	}
}
