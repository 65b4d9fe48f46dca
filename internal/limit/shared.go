package limit

import (
	"sync/atomic"
	"time"
)

// Shared is a Bucket that any goroutine may use. The zero Shared is full. It
// must not be copied.
type Shared struct{ full atomic.Int64 } // when it is full again

// Spend takes n tokens, whether or not there are so many. If there aren't, the bucket
// owes the rest, and Take refuses until it is filled. It doesn't block.
func (b *Shared) Spend(r *Rate, now time.Time, n int) {
	if r.each == 0 || n <= 0 {
		return
	}
	at, cost := r.at(now), r.cost(n)
	for {
		had := b.full.Load()
		if b.full.CompareAndSwap(had, max(had, at)+cost) {
			return
		}
	}
}

// Take takes n tokens and returns 0, or takes none and returns how long to wait
// until there will be n. It doesn't block.
func (b *Shared) Take(r *Rate, now time.Time, n int) (wait time.Duration) {
	if r.each == 0 {
		return 0
	}
	at := r.at(now)
	for {
		had := b.full.Load()
		full, wait := r.take(had, at, n)
		if wait > 0 || b.full.CompareAndSwap(had, full) {
			return wait
		}
	}
}
