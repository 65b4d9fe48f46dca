package login

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"github.com/alexedwards/argon2id"

	"chatd/proto"
)

// Params is the cost of password hashing.
type Params = argon2id.Params

// passwords checks passwords. Each check takes tens of milliseconds of CPU time,
// so it belongs on a slow worker (reactor.Slow).
//
// Hashes are of normalized passwords (proto.NormalizePassword). Earlier releases
// hashed passwords as they were typed, so a password that changes when it is
// normalized is tried in both forms. Such a check may take twice as long.
//
// A failed check takes as long as one hash of each form with the configured cost,
// whether the user exists or not. Otherwise its duration would reveal which accounts
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

// HashPassword hashes a password, normalized, with argon2id at the given cost.
func HashPassword(p Params, password string) (string, error) {
	return argon2id.CreateHash(proto.NormalizePassword(password), &p)
}

// check reports whether a password matches a hash. The hash is "" if there is no
// such user. If the password is right, and the hash has another cost than the
// configured one or is that of a password that wasn't normalized, again is a new
// hash.
func (p *passwords) check(t Off, password, hash string) (ok bool, again string, err error) {
	absent := hash == ""
	if absent {
		hash = p.decoy
	}
	normalized := proto.NormalizePassword(password)
	ok, params, err := p.compare(normalized, hash, absent)
	renew := ok && params != p.params
	if err == nil && !ok && password != normalized {
		ok, _, err = p.compare(password, hash, absent)
		renew = ok
	}
	if err == nil && renew {
		again, err = HashPassword(p.params, password)
	}
	return ok, again, err
}

// compare reports whether one form of a password matches a hash, and the cost of
// the hash. If it doesn't match, compare does the work that the hash lacks. If
// absent is set, the hash is the decoy, and compare returns false.
func (p *passwords) compare(form, hash string, absent bool) (ok bool, cost Params, err error) {
	ok, had, err := argon2id.CheckHash(form, hash)
	if err != nil {
		return false, cost, err
	}
	p.did(*had)
	if ok && !absent {
		return true, *had, nil
	}
	if fill, lacks := fillParams(*had, p.params); lacks {
		_, err = argon2id.CreateHash(form, &fill)
		p.did(fill)
	}
	return false, *had, err
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
