package login

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"sort"
	"strings"
	"sync"

	"chatd/proto"
)

//go:generate go run gencommon.go

// commonGzip has the passwords that attackers try first: those of
// @zxcvbn-ts/language-common with at least proto.MinPasswordChars, in lower case and
// sorted, one a line.
//
//go:embed common/passwords.txt.gz
var commonGzip []byte

// common are the lines of commonGzip, read when they are first needed.
var common = sync.OnceValue(func() []string {
	z, err := gzip.NewReader(bytes.NewReader(commonGzip))
	if err == nil {
		var text []byte
		if text, err = io.ReadAll(z); err == nil {
			return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		}
	}
	panic(err) // the embedded file is broken
})

// isCommon reports whether a password is one of those that attackers try first, in
// any case.
func isCommon(password string) bool {
	list, key := common(), strings.ToLower(proto.NormalizePassword(password))
	i := sort.SearchStrings(list, key)
	return i < len(list) && list[i] == key
}

var errCommonPassword = proto.Errorf(proto.BadRequest, "this password is too common: it is among those that attackers try first; choose another one")

// CheckPassword checks a new password: it must be long enough, and not be a common
// one. The error is nil or a *proto.Error.
func CheckPassword(password string) error {
	if err := proto.CheckPassword(password); err != nil {
		return err
	}
	if isCommon(password) {
		return errCommonPassword
	}
	return nil
}
