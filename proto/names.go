package proto

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"chatd/internal/names"
)

// CheckUserName checks the name that someone chooses for a user; the decoder has
// checked its length. The rules are those of names.CheckUser. Names that were chosen
// under earlier rules stay valid at LOGIN. The error is BadRequest.
func CheckUserName(name string) *Error { return badName(names.CheckUser(name)) }

// CheckGroupName checks the name that someone chooses for a group, as CheckUserName
// does. The rules are those of names.Check.
func CheckGroupName(name string) *Error { return badName(names.Check(name)) }

func badName(err error) *Error {
	if err == nil {
		return nil
	}
	return Errorf(BadRequest, "%v", err)
}

// NormalizePassword returns the form of a password that is hashed: that of the
// OpaqueString profile (RFC 8265). It replaces white space of other scripts by
// blanks and composes characters, because keyboards and systems differ in these.
// The profile would refuse control characters, some emoji and unassigned
// characters; chatd accepts them, so that every existing password stays valid.
func NormalizePassword(password string) string {
	return norm.NFC.String(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Zs, r) {
			return ' '
		}
		return r
	}, password))
}

// CheckPassword checks a new password: it must have MinPasswordChars, after
// NormalizePassword. The decoder doesn't check that, because a password that is
// too short at LOGIN is just wrong. The error is BadRequest.
func CheckPassword(password string) *Error {
	if utf8.RuneCountInString(NormalizePassword(password)) < MinPasswordChars {
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
