package proto

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// CheckName checks the name of a user or a group; the decoder has checked its
// length. A name must be valid UTF-8, without control characters and without
// spaces at its ends. It must not consist of digits only, because clients would
// take it for an ID. The error is BadRequest.
func CheckName(name string) *Error {
	if !utf8.ValidString(name) {
		return Errorf(BadRequest, "a name must be valid UTF-8")
	}
	digits := true
	for _, r := range name {
		if isForbiddenRune(r) {
			return Errorf(BadRequest, "a name must not contain control or format characters, got %U", r)
		}
		digits = digits && unicode.IsDigit(r)
	}
	first, _ := utf8.DecodeRuneInString(name)
	last, _ := utf8.DecodeLastRuneInString(name)
	switch {
	case name == "":
		return Errorf(BadRequest, "a name must not be empty")
	case unicode.IsSpace(first) || unicode.IsSpace(last):
		return Errorf(BadRequest, "a name must not begin or end with a space")
	case digits:
		return Errorf(BadRequest, "a name must not consist of digits only")
	}
	return nil
}

// isForbiddenRune reports whether r is a control or format character. With
// direction marks and zero-width spaces, one name could look like another. The
// joiners U+200C and U+200D are allowed: Persian, Indic scripts and emoji need
// them.
func isForbiddenRune(r rune) bool {
	if r == '\u200c' || r == '\u200d' {
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// CheckPassword checks a new password: it must have MinPasswordChars. The
// decoder doesn't check that, because a password that is too short at LOGIN is
// just wrong. The error is BadRequest.
func CheckPassword(password string) *Error {
	if utf8.RuneCountInString(password) < MinPasswordChars {
		return Errorf(BadRequest, "a password must have at least %d characters", MinPasswordChars)
	}
	return nil
}

// NameKey returns the same key for names that differ only in case or Unicode
// normalization; only one of them may be taken. It is idempotent.
func NameKey(name string) string {
	folded := cases.Fold().String(norm.NFC.String(name))
	return norm.NFC.String(strings.Map(foldCherokee, folded))
}

// foldCherokee maps Cherokee letters to upper case, which is the script's case
// folding. cases.Fold swaps the two cases instead.
func foldCherokee(r rune) rune {
	switch {
	case r >= 0xab70 && r <= 0xabbf:
		return r - 0xab70 + 0x13a0
	case r >= 0x13f8 && r <= 0x13fd:
		return r - 8
	}
	return r
}
