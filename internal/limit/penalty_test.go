package limit

import (
	"testing"
	"time"
)

// Who comes back and does it again is shut out for longer each time, up to a
// bound; who was shut out already isn't shut out for longer; who has behaved
// for long enough begins anew; and others aren't concerned.
func TestPenaltiesGrow(t *testing.T) {
	p := NewPenalties[string](time.Second, 5*time.Second, 100, nil)
	now := start
	for i, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second} {
		p.Add("bully", now)
		if got := p.Left("bully", now); got != want {
			t.Fatalf("the %d. time: %v, want %v", i+1, got, want)
		}
		now = now.Add(want - 1)
		p.Add("bully", now) // another connection of theirs
		if got := p.Left("bully", now); got != 1 {
			t.Fatalf("once more within it: %v left", got)
		}
		if now = now.Add(1); p.Left("bully", now) != 0 {
			t.Fatal("it never ends")
		}
		now = now.Add(4 * time.Second) // not long enough to be forgotten
	}
	if got := p.Left("another", now); got != 0 {
		t.Errorf("somebody else is shut out for %v", got)
	}
	p.Add("bully", now)
	now = now.Add(2 * 5 * time.Second)
	p.Add("bully", now)
	if got := p.Left("bully", now); got != time.Second {
		t.Errorf("after a long time: %v", got)
	}
}

// Without a least nobody is shut out.
func TestNoPenalties(t *testing.T) {
	p := NewPenalties[int](0, time.Minute, 100, nil)
	p.Add(1, start)
	if p.Left(1, start) != 0 || p.Len() != 0 {
		t.Error("somebody is shut out")
	}
}

// Memory is bounded: what is over goes by itself, and where everyone is shut
// out those go who would be let in again soonest, and are counted.
func TestPenaltiesAreBounded(t *testing.T) {
	const size = 200
	forgotten := 0
	p := NewPenalties[int](time.Second, time.Minute, size, func(n int) { forgotten += n })
	now := start
	p.Add(-1, now)
	now = now.Add(time.Second)
	for range 6 { // up to the most
		p.Add(-1, now)
		now = now.Add(p.Left(-1, now))
	}
	p.Add(-1, now)
	for i := range 10 * size {
		p.Add(i, now)
		if n := p.Len(); n > size {
			t.Fatalf("%d keys after %d", n, i+1)
		}
		if got := p.Left(i, now); got != time.Second {
			t.Fatalf("number %d is shut out for %v", i, got)
		}
	}
	if p.Left(-1, now) != time.Minute {
		t.Error("who was shut out for longest is forgotten")
	}
	if forgotten == 0 || forgotten+p.Len() != 10*size+1 {
		t.Errorf("%d forgotten and %d there, of %d", forgotten, p.Len(), 10*size+1)
	}
	before := forgotten
	now = now.Add(time.Hour)
	for i := range size {
		p.Add(-10-i, now)
	}
	if p.Len() > size || forgotten != before {
		t.Errorf("%d keys, %d forgotten early, when all else is over", p.Len(), forgotten-before)
	}
}
