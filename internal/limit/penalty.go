package limit

import (
	"slices"
	"sync"
	"time"
)

// Penalties is for how long each of some keys is shut out: the first time for
// the least, each further time for twice as long as the last, up to the most.
// What a key has had is forgotten once it has stayed away from trouble for as
// long as the most after it. Of keys it keeps so many at most: at that bound
// it forgets the half that would be forgotten soonest. Any goroutine may use
// it; it never blocks for long.
type Penalties[K comparable] struct {
	least, most time.Duration
	bound       int
	forget      func(n int)

	mu    sync.Mutex
	keys  map[K]penalty
	sweep int // at this many keys it is swept
}

type penalty struct {
	until time.Time
	last  time.Duration
}

// NewPenalties makes a list of at most about size keys; with least 0 nobody is
// ever shut out. forget, which may be nil, is called with how many were
// forgotten early; it must not block.
func NewPenalties[K comparable](least, most time.Duration, size int, forget func(n int)) *Penalties[K] {
	return &Penalties[K]{least: least, most: max(least, most), bound: max(size, 2), forget: forget,
		keys: make(map[K]penalty), sweep: min(sweepFrom, max(size, 2))}
}

// Add shuts a key out from now on. For one that is shut out already nothing
// changes: it had no chance to mend its ways.
func (p *Penalties[K]) Add(k K, now time.Time) {
	if p.least <= 0 {
		return
	}
	p.mu.Lock()
	had, known := p.keys[k]
	forgotten := 0
	switch {
	case !known || p.over(had, now):
		had.last = p.least
		if !known {
			forgotten = p.room(now)
		}
	case now.Before(had.until):
		p.mu.Unlock()
		return
	default:
		had.last = min(2*had.last, p.most)
	}
	had.until = now.Add(had.last)
	p.keys[k] = had
	p.mu.Unlock()
	if forgotten > 0 && p.forget != nil {
		p.forget(forgotten)
	}
}

// Left is for how long the key is still shut out; 0: it isn't.
func (p *Penalties[K]) Left(k K, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.keys[k].until.Sub(now), 0) // of none it is the zero time
}

// Len is how many keys there are, some of them perhaps to be forgotten.
func (p *Penalties[K]) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.keys)
}

// over says whether a penalty may be forgotten.
func (p *Penalties[K]) over(had penalty, now time.Time) bool {
	return !now.Before(had.until.Add(p.most))
}

// room makes room for one key more, and tells how many it had to forget
// early.
func (p *Penalties[K]) room(now time.Time) (forgotten int) {
	if len(p.keys) < p.sweep {
		return 0
	}
	for k, had := range p.keys {
		if p.over(had, now) {
			delete(p.keys, k)
		}
	}
	if len(p.keys) >= p.bound {
		ends := make([]time.Time, 0, len(p.keys))
		for _, had := range p.keys {
			ends = append(ends, had.until)
		}
		slices.SortFunc(ends, time.Time.Compare)
		// Many may be alike: no more than half of them go.
		last, goes := ends[len(ends)/2], (len(ends)+1)/2
		for k, had := range p.keys {
			if !had.until.After(last) && forgotten < goes {
				delete(p.keys, k)
				forgotten++
			}
		}
	}
	p.sweep = min(max(2*len(p.keys), sweepFrom), p.bound)
	return forgotten
}
