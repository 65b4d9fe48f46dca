package limit

import (
	"testing"
	"time"
)

// Each further lockout of a key lasts longer, up to the longest time. A lockout
// during a lockout doesn't extend it. After a long enough time without one, the
// next lockout is short again. Other keys aren't affected.
func TestPenaltiesGrow(t *testing.T) {
	p := NewPenalties[string](time.Second, 5*time.Second, 100, nil)
	now := start
	for i, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second} {
		p.Add("bully", now)
		if got := p.Left("bully", now); got != want {
			t.Fatalf("lockout %d lasts %v, want %v", i+1, got, want)
		}
		now = now.Add(want - 1)
		p.Add("bully", now) // from another connection of the same user
		if got := p.Left("bully", now); got != 1 {
			t.Fatalf("after Add during a lockout: %v left, want 1ns", got)
		}
		if now = now.Add(1); p.Left("bully", now) != 0 {
			t.Fatalf("after the lockout: %v left, want 0", p.Left("bully", now))
		}
		now = now.Add(4 * time.Second) // not long enough to be forgotten
	}
	if got := p.Left("another", now); got != 0 {
		t.Errorf("another key is locked out for %v, want 0", got)
	}
	p.Add("bully", now)
	now = now.Add(2 * 5 * time.Second)
	p.Add("bully", now)
	if got := p.Left("bully", now); got != time.Second {
		t.Errorf("lockout after a long time lasts %v, want 1s", got)
	}
}

// If the shortest time is 0, no key is locked out.
func TestNoPenalties(t *testing.T) {
	p := NewPenalties[int](0, time.Minute, 100, nil)
	p.Add(1, start)
	if p.Left(1, start) != 0 || p.Len() != 0 {
		t.Errorf("with a shortest time of 0: %v left and %d keys, want none", p.Left(1, start), p.Len())
	}
}

// The number of keys is bounded. Expired ones are removed first. If all are
// locked out, those whose lockouts end soonest are forgotten, and counted.
func TestPenaltiesAreBounded(t *testing.T) {
	const size = 200
	forgotten := 0
	p := NewPenalties[int](time.Second, time.Minute, size, func(n int) { forgotten += n })
	now := start
	p.Add(-1, now)
	now = now.Add(time.Second)
	for range 6 { // up to the longest time
		p.Add(-1, now)
		now = now.Add(p.Left(-1, now))
	}
	p.Add(-1, now)
	for i := range 10 * size {
		p.Add(i, now)
		if n := p.Len(); n > size {
			t.Fatalf("%d keys after %d lockouts, want at most %d", n, i+1, size)
		}
		if got := p.Left(i, now); got != time.Second {
			t.Fatalf("key %d is locked out for %v, want 1s", i, got)
		}
	}
	if p.Left(-1, now) != time.Minute {
		t.Errorf("the key with the longest lockout has %v left, want 1m", p.Left(-1, now))
	}
	if forgotten == 0 || forgotten+p.Len() != 10*size+1 {
		t.Errorf("%d keys forgotten and %d stored, want %d in all", forgotten, p.Len(), 10*size+1)
	}
	before := forgotten
	now = now.Add(time.Hour)
	for i := range size {
		p.Add(-10-i, now)
	}
	if p.Len() > size || forgotten != before {
		t.Errorf("after all lockouts expired: %d keys and %d forgotten early, want at most %d and 0", p.Len(), forgotten-before, size)
	}
}
