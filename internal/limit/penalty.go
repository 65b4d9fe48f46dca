package limit

import (
	"slices"
	"sync"
	"time"
)

// Penalties locks keys out for some time. The first lockout of a key lasts for
// the shortest time, and each further one twice as long as the last, up to the
// longest time. A key starts again with the shortest once the longest time has
// passed since its last lockout. The number of keys is bounded: at the bound,
// the half whose lockouts end first is forgotten. Any goroutine may use it. Its
// methods lock a mutex for a short time.
type Penalties[K comparable] struct {
	shortest, longest time.Duration
	bound             int
	forget            func(n int)

	mu    sync.Mutex
	keys  map[K]penalty
	sweep int // the number of keys at which it is swept
}

// penalty is the last lockout of a key.
type penalty struct {
	until  time.Time
	lasted time.Duration
}

// NewPenalties makes a table of at most about size keys. If shortest is 0, no
// key is ever locked out. If forget isn't nil, it is called with the number of
// keys that were forgotten early. It must not block.
func NewPenalties[K comparable](shortest, longest time.Duration, size int, forget func(n int)) *Penalties[K] {
	return &Penalties[K]{shortest: shortest, longest: max(shortest, longest), bound: max(size, 2), forget: forget,
		keys: make(map[K]penalty), sweep: min(sweepFrom, max(size, 2))}
}

// Add locks a key out from now on. It does nothing if the key is locked out
// already: the key's owner can't have known yet.
func (p *Penalties[K]) Add(k K, now time.Time) {
	if p.shortest <= 0 {
		return
	}
	p.mu.Lock()
	had, known := p.keys[k]
	forgotten := 0
	switch {
	case !known || p.expired(had, now):
		had.lasted = p.shortest
		if !known {
			forgotten = p.makeRoom(now)
		}
	case now.Before(had.until):
		p.mu.Unlock()
		return
	default:
		had.lasted = min(2*had.lasted, p.longest)
	}
	had.until = now.Add(had.lasted)
	p.keys[k] = had
	p.mu.Unlock()
	if forgotten > 0 && p.forget != nil {
		p.forget(forgotten)
	}
}

// Left returns for how long the key is still locked out, or 0.
func (p *Penalties[K]) Left(k K, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.keys[k].until.Sub(now), 0)
}

// Len returns the number of keys, some of which may have expired.
func (p *Penalties[K]) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.keys)
}

// expired reports whether a penalty has no effect on the next one.
func (p *Penalties[K]) expired(had penalty, now time.Time) bool {
	return !now.Before(had.until.Add(p.longest))
}

// makeRoom makes room for one more key. It returns how many keys it had to
// forget before they expired.
func (p *Penalties[K]) makeRoom(now time.Time) (forgotten int) {
	if len(p.keys) < p.sweep {
		return 0
	}
	for k, had := range p.keys {
		if p.expired(had, now) {
			delete(p.keys, k)
		}
	}
	if len(p.keys) >= p.bound {
		ends := make([]time.Time, 0, len(p.keys))
		for _, had := range p.keys {
			ends = append(ends, had.until)
		}
		slices.SortFunc(ends, time.Time.Compare)
		// Many may have the same time, so count as well.
		median, half := ends[len(ends)/2], (len(ends)+1)/2
		for k, had := range p.keys {
			if !had.until.After(median) && forgotten < half {
				delete(p.keys, k)
				forgotten++
			}
		}
	}
	p.sweep = min(max(2*len(p.keys), sweepFrom), p.bound)
	return forgotten
}
