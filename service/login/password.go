package login

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"github.com/alexedwards/argon2id"
)

// Params is the cost of hashing passwords.
type Params = argon2id.Params

// passwords hashes and compares passwords. Its methods take tens of
// milliseconds of a core: they belong on the Slow lane.
//
// A refusal takes the work of one hash at the cost that is set, whether there
// is such a user or not: it would tell otherwise which accounts exist. A hash
// that was made at a lower cost is filled up to that; one that was made at a
// higher cost takes longer, until its user has logged in once.
type passwords struct {
	params Params
	decoy  string       // compared with where there is no such user
	work   func(Params) // is told of each hash; nil but in tests
}

// fillParams is the cost of a hash that brings the work of one at cost had up
// to that of one at cost want; ok is false where there is nothing to fill.
// The work is memory times passes, done by as many threads.
func fillParams(had, want Params) (fill Params, ok bool) {
	const perThread = 8 // KiB, the least that argon2 takes
	lacks := uint64(want.Memory)*uint64(want.Iterations) - uint64(had.Memory)*uint64(had.Iterations)
	if uint64(had.Memory)*uint64(had.Iterations) >= uint64(want.Memory)*uint64(want.Iterations) || lacks < uint64(perThread*uint32(want.Parallelism)) {
		return fill, false
	}
	fill = want
	fill.Iterations = uint32(max(1, lacks/uint64(want.Memory)))
	fill.Memory = uint32(min(lacks/uint64(fill.Iterations), uint64(^uint32(0))))
	return fill, true
}

func newPasswords(p Params) *passwords {
	decoy, err := HashPassword(p, rand.Text())
	if err != nil {
		panic(err) // there is no randomness: nothing that follows would be safe
	}
	return &passwords{params: p, decoy: decoy}
}

// HashPassword hashes a password with argon2id at the given cost. It blocks
// for as long as the cost says.
func HashPassword(p Params, password string) (string, error) {
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
	if err != nil {
		return false, "", err
	}
	p.did(*params)
	if !ok || absent {
		if fill, lacks := fillParams(*params, p.params); lacks {
			_, err = argon2id.CreateHash(password, &fill)
			p.did(fill)
		}
		return false, "", err
	}
	if *params != p.params {
		again, err = HashPassword(p.params, password)
	}
	return true, again, err
}

func (p *passwords) did(params Params) {
	if p.work != nil {
		p.work(params)
	}
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
