package login

import (
	"context"
	"testing"

	"github.com/alexedwards/argon2id"

	"chatd/reactor"
)

// A failed password check takes the same work whether the user exists or not,
// even if the stored hash has a lower cost than the configured one. So the
// duration doesn't reveal which accounts exist. If the stored hash has a higher
// cost, the check takes longer.
func TestRefusalsCostTheSame(t *testing.T) {
	cost := func(kib, passes uint32, threads uint8) argon2id.Params {
		return argon2id.Params{Memory: kib, Iterations: passes, Parallelism: threads, SaltLength: 16, KeyLength: 32}
	}
	for _, now := range []argon2id.Params{cost(64, 2, 1), cost(100, 3, 2), cost(8, 1, 1), cost(128, 1, 4)} {
		p := newPasswords(now)
		work := uint64(0)
		p.work = func(c argon2id.Params) { work += uint64(c.Memory) * uint64(c.Iterations) }
		refuse := func(hash, guess string) uint64 {
			t.Helper()
			work = 0
			ok, again, err := p.check(reactor.OffLoop(context.Background()), guess, hash)
			if ok || again != "" || err != nil {
				t.Fatalf("check with a wrong password at cost %+v: %v, %q, %v; want false, no new hash and no error", now, ok, again, err)
			}
			return work
		}
		nobody := refuse("", "a wrong one")
		if got := refuse("", "wrong, too: e\u0301"); got != 2*nobody {
			t.Errorf("cost %+v: a guess that isn't normalized takes %d KiB×passes for an unknown user, want %d, twice as much as another", now, got, 2*nobody)
		}
		for _, then := range []argon2id.Params{now, cost(8, 1, 1), cost(16, 1, 1), cost(32, 2, 2), cost(64, 1, 1), cost(65, 1, 4)} {
			hash, err := HashPassword(then, "the right one")
			if err != nil {
				t.Fatal(err)
			}
			had, all := uint64(then.Memory)*uint64(then.Iterations), uint64(now.Memory)*uint64(now.Iterations)
			got := refuse(hash, "a wrong one")
			if twice := refuse(hash, "wrong, too: e\u0301"); twice != 2*got {
				t.Errorf("cost %+v, stored hash with %+v: a guess that isn't normalized takes %d KiB×passes, want %d, twice as much as another", now, then, twice, 2*got)
			}
			// argon2 uses whole KiB, the same in each pass, and at least 8 per
			// thread.
			slack := 8*uint64(now.Parallelism) + uint64(now.Iterations)
			if had <= all && (got > nobody || got+slack < nobody) {
				t.Errorf("cost %+v, stored hash with %+v: work is %d KiB×passes, want %d as for an unknown user, or up to %d less", now, then, got, nobody, slack)
			}
			if had > all && got != had {
				t.Errorf("cost %+v, stored hash with %+v: work is %d KiB×passes, want %d", now, then, got, had)
			}
		}
	}
}

// If the cost of hashing has changed in memory, passes or threads, check
// returns a new hash for the right password, once.
func TestRehash(t *testing.T) {
	off := reactor.OffLoop(context.Background())
	old := argon2id.Params{Memory: 8, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}
	hash, err := HashPassword(old, "secret")
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*argon2id.Params){
		func(p *argon2id.Params) { p.Memory = 16 },
		func(p *argon2id.Params) { p.Iterations = 2 },
		func(p *argon2id.Params) { p.Memory, p.Parallelism = 16, 2 },
		func(p *argon2id.Params) { p.Memory = 24 },
	} {
		now := old
		change(&now)
		ok, again, err := newPasswords(now).check(off, "secret", hash)
		if !ok || again == "" || err != nil {
			t.Fatalf("check at cost %+v: %v, %q, %v; want true, a new hash and no error", now, ok, again, err)
		}
		if got, _, _, err := argon2id.DecodeHash(again); err != nil || *got != now {
			t.Errorf("the new hash has cost %+v (error %v), want %+v", got, err, now)
		}
		if ok, third, err := newPasswords(now).check(off, "secret", again); !ok || third != "" || err != nil {
			t.Errorf("check of the new hash at cost %+v: %v, %q, %v; want true, no new hash and no error", now, ok, third, err)
		}
		if ok, _, err := newPasswords(now).check(off, "wrong", again); ok || err != nil {
			t.Errorf("check of the new hash with a wrong password at cost %+v: %v, %v; want false and no error", now, ok, err)
		}
		hash = again
	}
}

// A password is the same however a keyboard encodes its characters. macOS and
// iOS may send decomposed characters, and keyboards of some languages other
// blanks.
func TestPasswordForms(t *testing.T) {
	off := reactor.OffLoop(context.Background())
	cost := argon2id.Params{Memory: 8, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}
	forms := []string{"\u00e9t\u00e9 \u1ebf \uac00", "e\u0301te\u0301 e\u0302\u0301 \u1100\u1161", "\u00e9t\u00e9\u00a0\u1ebf\u3000\uac00"}
	for _, set := range forms {
		hash, err := HashPassword(cost, set)
		if err != nil {
			t.Fatal(err)
		}
		for _, typed := range forms {
			if ok, again, err := newPasswords(cost).check(off, typed, hash); !ok || again != "" || err != nil {
				t.Errorf("check of %+q, set as %+q: %v, %q, %v; want true, no new hash and no error", typed, set, ok, again, err)
			}
		}
		if ok, _, err := newPasswords(cost).check(off, "ete e ga", hash); ok || err != nil {
			t.Errorf("check of another password than %+q: %v, %v; want false and no error", set, ok, err)
		}
	}
}

// Hashes of earlier releases, which didn't normalize passwords, stay valid. The
// first login with the same bytes replaces the hash. After that, other forms of
// the password work, too.
func TestHashOfUnnormalizedPassword(t *testing.T) {
	off := reactor.OffLoop(context.Background())
	cost := argon2id.Params{Memory: 8, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}
	p := newPasswords(cost)
	const decomposed, composed = "cafe\u0301\u00a0123", "caf\u00e9 123"
	old, err := argon2id.CreateHash(decomposed, &cost)
	if err != nil {
		t.Fatal(err)
	}
	ok, again, err := p.check(off, decomposed, old)
	if !ok || again == "" || err != nil {
		t.Fatalf("check of the bytes that were hashed: %v, %q, %v; want true, a new hash and no error", ok, again, err)
	}
	for _, form := range []string{decomposed, composed} {
		if ok, third, err := p.check(off, form, again); !ok || third != "" || err != nil {
			t.Errorf("check of %+q with the new hash: %v, %q, %v; want true, no new hash and no error", form, ok, third, err)
		}
	}
	unchanged, err := argon2id.CreateHash(composed, &cost)
	if err != nil {
		t.Fatal(err)
	}
	if ok, again, err := p.check(off, decomposed, unchanged); !ok || again != "" || err != nil {
		t.Errorf("check of %+q with an old hash of %+q: %v, %q, %v; want true, no new hash and no error", decomposed, composed, ok, again, err)
	}
}
