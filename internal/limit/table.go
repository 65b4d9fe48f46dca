package limit

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

const (
	tableShards = 16
	// A shard is swept when it has this many buckets, or twice as many as the
	// last sweep left, so that keys which aren't used again don't stay.
	sweepFrom = 64
)

// Table has a bucket for each key. It stores only the buckets that aren't full,
// and a bounded number of them. At the bound it forgets the half that would be
// full soonest, so that a flood of new keys can't make it forget the keys that
// are furthest over the limit. Any goroutine may use it. Its methods lock a
// mutex for a short time.
type Table[K comparable] struct {
	rate   Rate
	bound  int // buckets in a shard
	seed   maphash.Seed
	forget func(n int)
	shards [tableShards]tableShard[K]
}

type tableShard[K comparable] struct {
	mu    sync.Mutex
	full  map[K]int64 // when the key's bucket is full again
	sweep int         // the number of buckets at which the shard is swept
}

// NewTable makes a table of at most about size buckets. If forget isn't nil, it
// is called with the number of buckets that were forgotten before they were
// full. It must not block.
func NewTable[K comparable](rate Rate, size int, forget func(n int)) *Table[K] {
	t := &Table[K]{rate: rate, bound: max(size/tableShards, 2), seed: maphash.MakeSeed(), forget: forget}
	for i := range t.shards {
		t.shards[i].sweep = min(sweepFrom, t.bound)
	}
	return t
}

// Take takes n tokens from the key's bucket and returns 0, or takes none and
// returns how long to wait until there will be n.
func (t *Table[K]) Take(k K, now time.Time, n int) (wait time.Duration) {
	if !t.rate.On() {
		return 0
	}
	at, sh := t.rate.at(now), t.shard(k)
	forgotten := 0
	sh.mu.Lock()
	had, known := sh.full[k]
	full, wait := t.rate.take(had, at, n)
	if wait == 0 {
		if !known {
			forgotten = sh.makeRoom(at, t.bound)
		}
		sh.full[k] = full
	}
	sh.mu.Unlock()
	if forgotten > 0 && t.forget != nil {
		t.forget(forgotten)
	}
	return wait
}

// Wait returns what Take would return, and takes no tokens.
func (t *Table[K]) Wait(k K, now time.Time, n int) (wait time.Duration) {
	if !t.rate.On() {
		return 0
	}
	sh := t.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	_, wait = t.rate.take(sh.full[k], t.rate.at(now), n)
	return wait
}

// Give puts back n tokens that were taken and not used.
func (t *Table[K]) Give(k K, n int) {
	if !t.rate.On() {
		return
	}
	sh := t.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if full, ok := sh.full[k]; ok {
		sh.full[k] = full - t.rate.cost(n)
	}
}

// Keep stores the state of b as the key's bucket, unless b is full.
func (t *Table[K]) Keep(k K, now time.Time, b *Shared) {
	full, at := b.full.Load(), t.rate.at(now)
	if !t.rate.On() || full <= at {
		return
	}
	sh := t.shard(k)
	sh.mu.Lock()
	forgotten := 0
	if _, known := sh.full[k]; !known {
		forgotten = sh.makeRoom(at, t.bound)
	}
	sh.full[k] = full
	sh.mu.Unlock()
	if forgotten > 0 && t.forget != nil {
		t.forget(forgotten)
	}
}

// Restore moves the state of the key's bucket to b, if there is one.
func (t *Table[K]) Restore(k K, b *Shared) {
	if !t.rate.On() {
		return
	}
	sh := t.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if full, ok := sh.full[k]; ok {
		b.full.Store(full)
		delete(sh.full, k)
	}
}

// Len returns the number of buckets, some of which may be full by now.
func (t *Table[K]) Len() (n int) {
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		n += len(sh.full)
		sh.mu.Unlock()
	}
	return n
}

func (t *Table[K]) shard(k K) *tableShard[K] {
	return &t.shards[maphash.Comparable(t.seed, k)%tableShards]
}

// makeRoom makes room for one more key. It returns how many buckets it had to
// forget that weren't full.
func (sh *tableShard[K]) makeRoom(at int64, bound int) (forgotten int) {
	if sh.full == nil {
		sh.full = make(map[K]int64)
	}
	if len(sh.full) < sh.sweep {
		return 0
	}
	for k, full := range sh.full {
		if full <= at {
			delete(sh.full, k)
		}
	}
	if len(sh.full) >= bound {
		times := make([]int64, 0, len(sh.full))
		for _, full := range sh.full {
			times = append(times, full)
		}
		slices.Sort(times)
		// Many may have the same time, so count as well.
		median, half := times[len(times)/2], (len(times)+1)/2
		for k, full := range sh.full {
			if full <= median && forgotten < half {
				delete(sh.full, k)
				forgotten++
			}
		}
	}
	sh.sweep = min(max(2*len(sh.full), sweepFrom), bound)
	return forgotten
}
