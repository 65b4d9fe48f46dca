package names

import (
	"os"
	"strings"
	"testing"
	"unicode"
)

// Names of many languages are accepted.
func TestCheckAccepts(t *testing.T) {
	for _, name := range []string{
		"a", "zhang san", "张三", "Ünal", "1a", "O'Brien", "x;DROP TABLE users", "Jean-Luc d'Été", "Nguyễn Thị Ánh", "İbrahim Ağaoğlu", "Łukasz", "Þór",
		"Анна Петровна", "Йоан", "Σοφία", "Հայկ", "שָׁלוֹם", "محمد علی", "می\u200cخواهم", "नमस्ते", "क्\u200dष", "ශ්\u200dරී", "สมชาย", "น้ำ", "ສົມຊາຍ", "தமிழ்", "ქეთევან", "ᏣᎳᎩ",
		"東京タワー", "たなかさん", "山田太郎 Taro", "김철수", "김 Chul-soo", "李明 Ming", "ㄅㄆㄇ", "名無しさん@カナダ", "user_1.x", "👩\u200d💻", "🎉🎉", "Ann 🎉", "a−b", strings.Repeat("字", 50),
	} {
		if err := Check(name); err != nil {
			t.Errorf("Check(%q) = %v, want nil", name, err)
		}
	}
}

// Names are shown to others and typed at LOGIN. Nobody can choose a name that
// looks empty, contains something that others can't see, or mixes characters of
// different scripts that look alike.
func TestCheckRefuses(t *testing.T) {
	for name, want := range map[string]string{
		"":                                "a name must not be empty",
		" a":                              "a name must not begin or end with a space",
		"a ":                              "a name must not begin or end with a space",
		"\u3000a":                         "a name must not begin or end with a space",
		"a\u00a0":                         "a name must not begin or end with a space",
		" ":                               "a name must not begin or end with a space",
		"\u00a0\u3000":                    "a name must not begin or end with a space",
		"a\tb":                            "a name must not contain control or format characters, got U+0009",
		"a\x00b":                          "a name must not contain control or format characters, got U+0000",
		"a\u0085b":                        "a name must not contain control or format characters, got U+0085",
		"a\u202eb":                        "a name must not contain control or format characters, got U+202E",
		"a\u200bb":                        "a name must not contain control or format characters, got U+200B",
		"a\u00adb":                        "a name must not contain control or format characters, got U+00AD",
		"a\u2028b":                        "a name must not contain control or format characters, got U+2028",
		"a\u2029b":                        "a name must not contain control or format characters, got U+2029",
		"\ufeffa":                         "a name must not contain control or format characters, got U+FEFF",
		"123":                             "a name must not consist of digits only",
		"\u0661\u0662":                    "a name must not consist of digits only",
		"\uff11":                          "a name must not consist of digits only",
		"bad \xff utf-8":                  "a name must be valid UTF-8",
		"ali\u200cce":                     "a name must not contain control or format characters, got U+200C",
		"alice\u200d":                     "a name must not contain control or format characters, got U+200D",
		"\u200dalice":                     "a name must not contain control or format characters, got U+200D",
		"ali\u034fce":                     "a name must not contain invisible characters, got U+034F",
		"alice\ufe0f":                     "a name must not contain invisible characters, got U+FE0F",
		"alice\u3164":                     "a name must not contain invisible characters, got U+3164",
		"\u3164":                          "a name must not contain invisible characters, got U+3164",
		"alice\u115f":                     "a name must not contain invisible characters, got U+115F",
		"alice\uffa0":                     "a name must not contain invisible characters, got U+FFA0",
		"alice\u180b":                     "a name must not contain invisible characters, got U+180B",
		"alice\u2800":                     "a name must not contain invisible characters, got U+2800",
		"\u2800":                          "a name must not contain invisible characters, got U+2800",
		"alice\U000e0100":                 "a name must not contain invisible characters, got U+E0100",
		"alice\u0378":                     "a name must not contain unassigned or private characters, got U+0378",
		"alice\ue000":                     "a name must not contain unassigned or private characters, got U+E000",
		"alice\uffff":                     "a name must not contain unassigned or private characters, got U+FFFF",
		"al  ice":                         "a name must have only single blanks between words, got U+0020 after U+0020",
		"al\u00a0ice":                     "a name must have only single blanks between words, got U+00A0 after U+006C",
		"al\u3000ice":                     "a name must have only single blanks between words, got U+3000 after U+006C",
		"\u0301a":                         "a word must not begin with a combining character, got U+0301",
		"a \u0301":                        "a word must not begin with a combining character, got U+0301",
		"ａlice":                           "a name must not contain 'ａ' (U+FF41), which is a variant of \"a\"",
		"ﬁnn":                             "a name must not contain 'ﬁ' (U+FB01), which is a variant of \"fi\"",
		"\U0001d41alice":                  "a name must not contain '𝐚' (U+1D41A), which is a variant of \"a\"",
		"ⓐlice":                           "a name must not contain 'ⓐ' (U+24D0), which is a variant of \"a\"",
		"ɑlice":                           "a name must not contain 'ɑ' (U+0251), which is a technical or obsolete character",
		"\u0430lice":                      "a name must not mix letters of different scripts",
		"ali\u0441e":                      "a name must not mix letters of different scripts",
		"αlice":                           "a name must not mix letters of different scripts",
		"Анна Ann":                        "a name must not mix letters of different scripts",
		"張三 Анна":                         "a name must not mix letters of different scripts",
		"たなか 김":                           "a name must not mix letters of different scripts",
		"alice١":                          "a name must not mix letters of different scripts",
		"e\u0301\u0301\u0301\u0301\u0301": "a name must have at most 4 combining characters in a row",
	} {
		if err := Check(name); err == nil || err.Error() != want {
			t.Errorf("Check(%+q) = %v, want %q", name, err, want)
		}
	}
}

// User names stand in front of texts, and beside signs and remarks of clients. Nobody
// can choose one that imitates these: "Ann (deleted)", "Ann ✔", "bob: hi". Names of
// groups may have such characters.
func TestCheckUser(t *testing.T) {
	for _, name := range []string{
		"bob: hi", "bob\u2236 hi", "bob\ua789 hi", // colons, and what looks like them
		"Ann (deleted)", "Ann [1]", "{Ann}", "<Ann>", ":)", "Ann【admin】", "Ann〔1〕", "⟨Ann⟩", "‹Ann›", "≮Ann", "❨Ann❩",
		"Ann ✓", "Ann ✔", "☑ Ann", "Ann ✅", "Ann 🗸", "Ann 🗹", "Ann √", "Ann 🮱", "🔏 Ann", "🔐 Ann", "🔒 Ann", "🔓 Ann", "🛡 Ann", "⛨ Ann",
		"A\u0336n\u0336n\u0336", "A\u0334nn", // struck through
	} {
		if err := Check(name); err != nil {
			t.Errorf("Check(%+q) = %v, want nil: a group may have this name", name, err)
		}
		if err := CheckUser(name); err == nil {
			t.Errorf("CheckUser(%+q) accepts a name that imitates a remark or sign of a client, want an error", name)
		}
	}
	for name, want := range map[string]string{
		"bob: hi":   `a user name must not contain ':' (U+003A): it has no colons or brackets`,
		"Ann ✔":     `a user name must not contain '✔' (U+2714): it has no check marks, locks or shields`,
		"A\u0336nn": `a user name must not contain a character that strikes through others, got U+0336`,
		// Other characters that strike through are refused in names of groups, too.
		"A\u0335nn": "a name must not contain '\u0335' (U+0335), which is a technical or obsolete character",
		"A\u0337nn": "a name must not contain '\u0337' (U+0337), which is a technical or obsolete character",
		"A\u0338nn": "a name must not contain '\u0338' (U+0338), which is a technical or obsolete character",
		"A\u20e0nn": "a name must not contain '\u20e0' (U+20E0), which is a technical or obsolete character",
		"a\tb":      "a name must not contain control or format characters, got U+0009",
	} {
		if err := CheckUser(name); err == nil || err.Error() != want {
			t.Errorf("CheckUser(%+q) = %v, want %q", name, err, want)
		}
	}
	for _, name := range []string{"Ann 🎉", "O'Brien", "user_1.x", "Jean-Luc", "名無しさん@カナダ", "“Ann” „Bo“ «Cy»", "「花」", "दुःख", "Łukasz", "Øystein", "đ", "Nguyễn Thị Ánh", "Ann ★", "a;b", "שָׁלוֹם", "a≠b"} {
		if err := CheckUser(name); err != nil {
			t.Errorf("CheckUser(%q) = %v, want nil", name, err)
		}
	}
}

// alike reports whether names look alike and belong to different scripts.
func alike(a, b string) bool {
	x, y := LookOf(a), LookOf(b)
	if x.Script == y.Script {
		return false
	}
	for _, k := range x.Keys {
		for _, l := range y.Keys {
			if string(k) == string(l) {
				return true
			}
		}
	}
	return false
}

// Names of different scripts that look alike have a key in common, in upper and
// in lower case.
func TestLooksAlike(t *testing.T) {
	for _, pair := range [][2]string{
		{"coca", "\u0441\u043e\u0441\u0430"}, // Latin, Cyrillic
		{"Coca", "\u0421\u043e\u0441\u0430"},
		{"COCA", "\u0421\u041e\u0421\u0410"},
		{"coca", "\u0421\u041e\u0421\u0410"},
		{"hata", "\u041d\u0410\u0422\u0410"}, // only the upper case looks alike
		{"ica", "\u0406\u0441\u0430"},        // only the lower case does
		{"ANNA", "\u0391\u039d\u039d\u0391"}, // Greek
		{"paypal", "\u0440\u0430\u0443\u0440\u0430\u04cf"},
		{"ロ", "口"}, // Katakana, Han
		{"へ", "ヘ"}, // Hiragana, Katakana
		{"می\u200cخواهم", "میخواهم"}, // with and without a joiner
		{"alice\u3164", "alice"},     // names of earlier releases
		{"ali\u0441e", "alice"},
	} {
		if !alike(pair[0], pair[1]) || !alike(pair[1], pair[0]) {
			t.Errorf("%+q and %+q have no key in common, or the same script: %x, %x; want names that look alike", pair[0], pair[1], LookOf(pair[0]), LookOf(pair[1]))
		}
	}
	for _, pair := range [][2]string{
		{"modern", "modem"}, {"alice", "al1ce"}, {"I1", "l1"}, {"sıla", "sila"}, // one script
		{"anna", "анна"}, {"alice", "алиса"}, {"user1", "user2"}, {"李明", "李朋"},
	} {
		if alike(pair[0], pair[1]) {
			t.Errorf("%+q and %+q are told to look alike, want two different names", pair[0], pair[1])
		}
	}
}

// Nobody can choose a reserved name, nor one that looks like it, also in the same
// script.
func TestReserved(t *testing.T) {
	r := NewReserved([]string{"admin", "Support"})
	for name, want := range map[string]string{"admin": "admin", "ADMIN": "admin", "adrnin": "admin", "admın": "admin", "support": "Support", "SUPP0RT": "Support", "ѕиррогт": "", "administer": "", "anna": "", "": "", "✓": "",
		// Signs that suggest more authority.
		"admin✓": "admin", "★admin★": "admin", "👮 admin": "admin", "admin.": "admin", "a d m i n": "admin", "adṃin": "admin", "ad-m\u0336in": "admin", "(Support)": "Support",
	} {
		if got := r.Find(name); got != want {
			t.Errorf("Find(%q) = %q, want %q", name, got, want)
		}
	}
	// The default list has clients' words for the user.
	self := NewReserved([]string{"you", "我"})
	for name, want := range map[string]string{"You": "you", "YOU": "you", "you.": "you", "Y0u": "you", "我": "我", "Youssef": "", "young": "", "我们": ""} {
		if got := self.Find(name); got != want {
			t.Errorf("Find(%q) = %q, want %q", name, got, want)
		}
	}
	signs := NewReserved([]string{"the-boss", "★", "हिंदी"})
	for name, want := range map[string]string{"the-boss": "the-boss", "the boss!": "the-boss", "★": "★", "☆": "", "हदी": "", "हिंदी.": "हिंदी"} {
		if got := signs.Find(name); got != want {
			t.Errorf("Find(%q) = %q, want %q", name, got, want)
		}
	}
	if got := NewReserved(nil).Find("admin"); got != "" {
		t.Errorf("Find without reserved names = %q, want none", got)
	}
}

// A text is blank if people see nothing.
func TestBlank(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, " \n\t": true, "\u200b": true, "\u3164": true, "\u2800\u2800": true, "\ufe0f\u200d": true, "\u00a0\u3000": true, "\U000e0020": true, "\x00\x1b": true, "\u115f\u1160\uffa0": true,
		"a": false, "\u200ba": false, "  .": false, "张": false, "👍": false, "\u0301": false, "\u0600": false, "\ue000": false, "\U0010ffff": false,
	} {
		if got := Blank([]byte(text)); got != want {
			t.Errorf("Blank(%+q) = %t, want %t", text, got, want)
		}
	}
}

// Quote shows characters that would be invisible.
func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"张三": `"张三"`, "a\u3164": `"a\u3164"`, "a\u202eb\"": `"a\u202eb\""`, "\u2800": `"\u2800"`, "\x1b[2J": `"\x1b[2J"`, "\U000e0100": `"\U000e0100"`,
	} {
		if got := Quote(text); got != want {
			t.Errorf("Quote(%+q) = %s, want %s", text, got, want)
		}
	}
}

// The tables are complete. If Go's version of Unicode changes, LookVersion must
// change as well, because the scripts of names are stored.
func TestTables(t *testing.T) {
	tb := tables()
	if len(tb.confusable) < 6500 || len(tb.extensions) < 200 || len(tb.uncommon.R32) < 200 {
		t.Errorf("tables.txt has %d confusable characters, %d ranges of several scripts and %d of uncommon characters, want at least 6500, 200 and 200",
			len(tb.confusable), len(tb.extensions), len(tb.uncommon.R32))
	}
	if want := map[int]string{1: "15.0.0"}[LookVersion]; unicode.Version != want {
		t.Errorf("Go has Unicode %s, want %q, for which LookVersion %d was made: raise LookVersion and change this test", unicode.Version, want, LookVersion)
	}
	if data, err := os.ReadFile("tables.txt"); err != nil || !strings.HasPrefix(string(data), "# Unicode 17.0.0\n") {
		t.Errorf("tables.txt begins with %.20q (error %v), want its version, Unicode 17.0.0", data, err)
	}
}

// FuzzNames checks that no name makes the functions fail, and that a name looks
// like itself however it is normalized or written.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"Anna", "می\u200cخواهم", "\u0345\u0301", "ﬃ", "\U000e0100", "Ꭺ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l := LookOf(s)
		if len(l.Keys) < 1 || len(l.Keys) > 2 || len(l.Keys[0]) != KeySize || len(l.Script) > MaxScript {
			t.Errorf("LookOf(%+q) = %+v, want one or two keys of %d bytes, and a script of at most %d bytes", s, l, KeySize, MaxScript)
		}
		if err := Check(s); err == nil && Blank([]byte(s)) {
			t.Errorf("Check(%+q) accepts a name that is invisible", s)
		}
		_ = Quote(s)
	})
}

func BenchmarkLookOf(b *testing.B) {
	for b.Loop() {
		LookOf("Анна Петровна")
	}
}
