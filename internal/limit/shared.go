package limit

import (
	"sync/atomic"
	"time"
)

// Shared is a Bucket for any goroutine. The zero Shared is full. It must not
// be copied.
type Shared struct{ full atomic.Int64 }

// Take takes n, all or nothing: 0, or how long to wait until there will be as
// many. It never blocks.
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
