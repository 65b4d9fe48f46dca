package proto

import (
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

// Names are shown to others and typed at LOGIN. Names with control characters or
// spaces at the ends, and names that look like IDs, are refused.
func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "zhang san", "张三", "Ünal", "1a", "O'Brien", "x;DROP TABLE users", "👩\u200d💻", "می\u200cخواهم", strings.Repeat("字", 50), "½"} {
		if err := CheckName(name); err != nil {
			t.Errorf("CheckName(%q) = %v, want nil", name, err)
		}
	}
	for name, want := range map[string]string{
		"":               "a name must not be empty",
		" a":             "a name must not begin or end with a space",
		"a ":             "a name must not begin or end with a space",
		"\u3000a":        "a name must not begin or end with a space",
		"a\u00a0":        "a name must not begin or end with a space",
		" ":              "a name must not begin or end with a space",
		"a\tb":           "a name must not contain control or format characters, got U+0009",
		"a\x00b":         "a name must not contain control or format characters, got U+0000",
		"a\u0085b":       "a name must not contain control or format characters, got U+0085",
		"a\u202eb":       "a name must not contain control or format characters, got U+202E",
		"a\u200bb":       "a name must not contain control or format characters, got U+200B",
		"a\u2028b":       "a name must not contain control or format characters, got U+2028",
		"a\u2029b":       "a name must not contain control or format characters, got U+2029",
		"\ufeffa":        "a name must not contain control or format characters, got U+FEFF",
		"123":            "a name must not consist of digits only",
		"\u0661\u0662":   "a name must not consist of digits only",
		"\uff11":         "a name must not consist of digits only",
		"bad \xff utf-8": "a name must be valid UTF-8",
	} {
		err := CheckName(name)
		if err == nil {
			t.Errorf("CheckName(%q) = nil, want %q", name, want)
		} else if err.Errno != BadRequest || err.Message != want {
			t.Errorf("CheckName(%q) = %v, want %q (errno %d)", name, err, want, BadRequest)
		}
	}
}

// The minimum length of a password counts characters, not bytes.
func TestCheckPassword(t *testing.T) {
	for password, ok := range map[string]bool{"12345": false, "123456": true, "你好你好你": false, "你好你好你好": true} {
		if err := CheckPassword(password); (err == nil) != ok {
			t.Errorf("CheckPassword(%q) = %v, want success: %v", password, err, ok)
		}
	}
}

// Names that people would take for the same have the same key, in every script. A
// key is its own key.
func TestNameKey(t *testing.T) {
	same := [][]string{
		{"Anna", "anna", "ANNA"},
		{"\u00e9", "e\u0301", "\u00c9", "E\u0301"},
		{"Straße", "STRASSE", "strasse", "STRAẞE"},
		{"ΌΣΟΣ", "όσος", "όσοσ"},
		{"\u13a0\u13f0", "\uab70\u13f8"},
		{"\u212b", "\u00e5", "a\u030a"},
	}
	keys := map[string]string{}
	for _, names := range same {
		key := NameKey(names[0])
		for _, name := range names[1:] {
			if got := NameKey(name); got != key {
				t.Errorf("NameKey(%q) = %+q, want %+q as for %q", name, got, key, names[0])
			}
		}
		if other, taken := keys[key]; taken {
			t.Errorf("%q and %q have the same key %+q, want different ones", names[0], other, key)
		}
		keys[key] = names[0]
	}
	for r := rune(1); r < 0x1f000; r++ {
		if r >= 0xd800 && r < 0xe000 || r >= 0x3400 && r < 0x9f00 {
			continue // surrogates; ideographs have no case
		}
		for _, s := range []string{string(r), "a" + string(r) + "\u0345\u0301"} {
			key := NameKey(s)
			if again := NameKey(key); again != key {
				t.Fatalf("NameKey(%+q) = %+q, but its own key is %+q", s, key, again)
			}
			if other := NameKey(norm.NFD.String(s)); other != key {
				t.Fatalf("NameKey(%+q) = %+q, but %+q for the decomposed name", s, key, other)
			}
		}
	}
}

// FuzzNameKey looks for names whose key has another key, or depends on the
// Unicode normalization.
func FuzzNameKey(f *testing.F) {
	for _, s := range []string{"Anna", "\u0390\u0345", "ﬃ", "ǰ\u0323", "\u1e9e\u0301"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ToValidUTF8(s, "") != s {
			return // the decoder refuses invalid UTF-8
		}
		key := NameKey(s)
		if again := NameKey(key); again != key {
			t.Errorf("NameKey(%+q) = %+q, but its own key is %+q", s, key, again)
		}
		if other := NameKey(norm.NFD.String(s)); other != key {
			t.Errorf("NameKey(%+q) = %+q, but %+q for the decomposed name", s, key, other)
		}
	})
}
