package limit

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

const (
	tableShards = 16
	// A shard is swept when it has so many buckets, or twice what the last
	// sweep left, so that keys which never come again don't stay.
	sweepFrom = 64
)

// Table is a bucket for each key. It keeps those alone that aren't full, and
// of these so many at most: at that bound it forgets the half that would be
// full soonest, so that who is furthest over a limit stays known, however many
// others come. Any goroutine may use it; it never blocks for long.
type Table[K comparable] struct {
	rate   Rate
	most   int // in a shard
	seed   maphash.Seed
	forget func(n int)
	shards [tableShards]tableShard[K]
}

type tableShard[K comparable] struct {
	mu    sync.Mutex
	full  map[K]int64 // when the key's bucket is full again
	sweep int         // at this many it is swept
}

// NewTable makes a table of at most about size buckets. forget, which may be
// nil, is called with how many were forgotten before they were full; it must
// not block.
func NewTable[K comparable](rate Rate, size int, forget func(n int)) *Table[K] {
	t := &Table[K]{rate: rate, most: max(size/tableShards, 2), seed: maphash.MakeSeed(), forget: forget}
	for i := range t.shards {
		t.shards[i].sweep = min(sweepFrom, t.most)
	}
	return t
}

// Take takes n from the key's bucket, all or nothing: 0, or how long to wait
// until there will be as many.
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
			forgotten = sh.room(at, t.most)
		}
		sh.full[k] = full
	}
	sh.mu.Unlock()
	if forgotten > 0 && t.forget != nil {
		t.forget(forgotten)
	}
	return wait
}

// Give gives back what was taken and not used.
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

// Keep notes how full a bucket is that was used elsewhere, unless it is full.
func (t *Table[K]) Keep(k K, now time.Time, b *Shared) {
	full, at := b.full.Load(), t.rate.at(now)
	if !t.rate.On() || full <= at {
		return
	}
	sh := t.shard(k)
	sh.mu.Lock()
	forgotten := 0
	if _, known := sh.full[k]; !known {
		forgotten = sh.room(at, t.most)
	}
	sh.full[k] = full
	sh.mu.Unlock()
	if forgotten > 0 && t.forget != nil {
		t.forget(forgotten)
	}
}

// Restore makes b as full as the key's bucket is, and forgets that.
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

// Len is how many buckets there are, some of them perhaps full.
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

// room makes room for one key more, and tells how many buckets it had to
// forget that weren't full.
func (sh *tableShard[K]) room(at int64, most int) (forgotten int) {
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
	if len(sh.full) >= most {
		times := make([]int64, 0, len(sh.full))
		for _, full := range sh.full {
			times = append(times, full)
		}
		slices.Sort(times)
		// Many may be alike: no more than half of them go.
		bound, goes := times[len(times)/2], (len(times)+1)/2
		for k, full := range sh.full {
			if full <= bound && forgotten < goes {
				delete(sh.full, k)
				forgotten++
			}
		}
	}
	sh.sweep = min(max(2*len(sh.full), sweepFrom), most)
	return forgotten
}
