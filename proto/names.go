package proto

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// CheckName says whether a user or a group may have this name, beyond the
// length that decoding has checked: valid UTF-8 without control characters,
// without blanks at its ends, and not digits alone, lest it be taken for an
// id. The error is BadRequest.
func CheckName(name string) *Error {
	if !utf8.ValidString(name) {
		return Errorf(BadRequest, "a name must be valid UTF-8")
	}
	digits := true
	for _, r := range name {
		if isForbiddenRune(r) {
			return Errorf(BadRequest, "a name must not have control characters")
		}
		digits = digits && unicode.IsDigit(r)
	}
	first, _ := utf8.DecodeRuneInString(name)
	last, _ := utf8.DecodeLastRuneInString(name)
	switch {
	case name == "":
		return Errorf(BadRequest, "a name must not be empty")
	case unicode.IsSpace(first) || unicode.IsSpace(last):
		return Errorf(BadRequest, "a name must not begin or end with a blank")
	case digits:
		return Errorf(BadRequest, "a name must not be digits alone")
	}
	return nil
}

// invisible is true of what steers a display instead of standing on it. With
// the marks of direction and the zero-width blanks among the format characters
// one name could look like another; the joiners U+200C and U+200D stay
// allowed, as Persian, Indic scripts and emoji are not written without them.
func isForbiddenRune(r rune) bool {
	if r == '\u200c' || r == '\u200d' {
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// CheckPassword says whether this may become a user's password: it must have
// MinPasswordChars, which decoding doesn't ask, since a short password offered
// at LOGIN is only wrong. The error is BadRequest.
func CheckPassword(password string) *Error {
	if utf8.RuneCountInString(password) < MinPasswordChars {
		return Errorf(BadRequest, "a password must have at least %d characters", MinPasswordChars)
	}
	return nil
}

// NameKey is the same for two names that differ in case or Unicode form only,
// which must not both be given out. It is idempotent.
func NameKey(name string) string {
	folded := cases.Fold().String(norm.NFC.String(name))
	return norm.NFC.String(strings.Map(foldCherokee, folded))
}

// cherokee sets right what cases.Fold does to the one script whose folding goes
// to upper case: it exchanges the two cases instead of making them one.
func foldCherokee(r rune) rune {
	switch {
	case r >= 0xab70 && r <= 0xabbf:
		return r - 0xab70 + 0x13a0
	case r >= 0x13f8 && r <= 0x13fd:
		return r - 8
	}
	return r
}
