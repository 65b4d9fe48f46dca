package proto

import (
	"strings"
	"testing"

	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// The rules for names are those of package names, which has more of them for users.
// Errors have errno 4.
func TestCheckNames(t *testing.T) {
	for what, check := range map[string]func(string) *Error{"CheckUserName": CheckUserName, "CheckGroupName": CheckGroupName} {
		if err := check("zhang san"); err != nil {
			t.Errorf(`%s("zhang san") = %v, want nil`, what, err)
		}
		const want = "a name must not consist of digits only"
		if err := check("123"); err == nil || err.Errno != BadRequest || err.Message != want {
			t.Errorf(`%s("123") = %v, want %q (errno %d)`, what, err, want, BadRequest)
		}
	}
	if err := CheckUserName("Ann (deleted)"); err == nil || err.Errno != BadRequest {
		t.Errorf(`CheckUserName("Ann (deleted)") = %v, want errno %d`, err, BadRequest)
	}
	if err := CheckGroupName("Go: news (weekly)"); err != nil {
		t.Errorf(`CheckGroupName("Go: news (weekly)") = %v, want nil`, err)
	}
}

// The minimum length of a password counts characters, not bytes.
func TestCheckPassword(t *testing.T) {
	for password, ok := range map[string]bool{"12345": false, "123456": true, "你好你好你": false, "你好你好你好": true, "e\u0301e\u0301e\u0301": false} {
		if err := CheckPassword(password); (err == nil) != ok {
			t.Errorf("CheckPassword(%q) = %v, want success: %v", password, err, ok)
		}
	}
}

// NormalizePassword agrees with the OpaqueString profile of RFC 8265 on every
// password that the profile accepts.
func TestNormalizePassword(t *testing.T) {
	accepted := 0
	for r := rune(1); r < 0x20000; r++ {
		if r >= 0xd800 && r < 0xe000 {
			continue // surrogates
		}
		for _, password := range []string{"ab" + string(r) + "cd", "e\u0301" + string(r) + "\u0301"} {
			want, err := precis.OpaqueString.String(password)
			if err != nil {
				continue
			}
			accepted++
			if got := NormalizePassword(password); got != want {
				t.Fatalf("NormalizePassword(%+q) = %+q, want %+q", password, got, want)
			}
		}
	}
	if accepted < 50_000 {
		t.Errorf("the profile accepts %d of the passwords, want at least 50000, or the test proves little", accepted)
	}
	for _, password := range []string{"\x01e\u0301\x7f", "\u2764\ufe0f e\u0301"} {
		if got, want := NormalizePassword(password), norm.NFC.String(password); got != want {
			t.Errorf("NormalizePassword(%+q), which the profile refuses, = %+q, want %+q", password, got, want)
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
