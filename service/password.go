package service

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"github.com/alexedwards/argon2id"
)

// passwords hashes and compares passwords. Its methods take tens of
// milliseconds of a core: they belong on the Slow lane.
type passwords struct {
	params argon2id.Params
	decoy  string // compared with where there is no such user: the answer takes as long
}

func newPasswords(p argon2id.Params) *passwords {
	decoy, err := HashPassword(p, rand.Text())
	if err != nil {
		panic(err) // there is no randomness: nothing that follows would be safe
	}
	return &passwords{params: p, decoy: decoy}
}

// HashPassword hashes a password with argon2id at the given cost. It blocks
// for as long as the cost says.
func HashPassword(p argon2id.Params, password string) (string, error) {
	return argon2id.CreateHash(password, &p)
}

// check compares a password with a hash; "" stands for no such user. again is
// a new hash where the old one was made at another cost.
func (p *passwords) check(t Off, password, hash string) (ok bool, again string, err error) {
	absent := hash == ""
	if absent {
		hash = p.decoy
	}
	ok, params, err := argon2id.CheckHash(password, hash)
	if err != nil || !ok || absent {
		return false, "", err
	}
	if *params != p.params {
		again, err = HashPassword(p.params, password)
	}
	return true, again, err
}

// newToken makes a token of 256 random bits and the hash that is stored of
// it. The token is random, so a plain hash is enough.
func newToken() (token string, hash []byte) {
	var b [32]byte
	rand.Read(b[:]) // never fails
	token = base64.RawURLEncoding.EncodeToString(b[:])
	return token, tokenHash(token)
}

func tokenHash(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}
