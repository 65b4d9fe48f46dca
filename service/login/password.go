package login

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"github.com/alexedwards/argon2id"
)

// Params is the cost of password hashing.
type Params = argon2id.Params

// passwords checks passwords. Each check takes tens of milliseconds of CPU time,
// so it belongs on a slow worker (reactor.Slow).
//
// A failed check takes as long as one hash with the configured cost, whether
// the user exists or not. Otherwise its duration would reveal which accounts
// exist. If the stored hash has a lower cost, additional work makes up for
// that. If it has a higher cost, the check takes longer, until the user's next
// login replaces the hash.
type passwords struct {
	params Params
	decoy  string       // the hash to compare with if there is no such user
	work   func(Params) // for tests: called for each hash that is computed; may be nil
}

// fillParams returns the cost of an additional hash, so that it and one with
// cost had take as much work together as one with cost want. ok is false if
// there is no need for one. The work is memory times passes.
func fillParams(had, want Params) (fill Params, ok bool) {
	const perThread = 8 // KiB, the minimum of argon2
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
		panic(err) // no source of randomness
	}
	return &passwords{params: p, decoy: decoy}
}

// HashPassword hashes a password with argon2id at the given cost.
func HashPassword(p Params, password string) (string, error) {
	return argon2id.CreateHash(password, &p)
}

// check reports whether a password matches a hash. The hash is "" if there is no
// such user. If the password is right and the hash has another cost than the
// configured one, again is a new hash.
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

// newToken returns a new token, and the hash that the store keeps instead of
// it. A fast hash is safe, because the token has 256 random bits.
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
