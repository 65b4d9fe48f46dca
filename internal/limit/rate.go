// Package limit has token buckets, and tables of them by key. A bucket is one
// number: the time at which it will be full again. Taking from it moves that
// time on, and nothing has to be refilled. So a bucket in a connection costs
// eight bytes and no lock, one that several loops share an atomic, and a
// table forgets by itself whoever has behaved for a while.
//
// (golang.org/x/time/rate has a mutex and some sixty bytes for each bucket,
// and waits and reservations that an event loop has no use for.)
package limit

import (
	"math"
	"math/bits"
	"time"
)

// Rate is how much may be taken from a bucket: so much in a time, and at most
// what comes together in another time at once. The zero Rate is no limit. It
// never changes, and any goroutine may use it.
type Rate struct {
	each uint64 // in how many ns one is filled again, in parts of 1<<fine; 0: no limit
	most int64  // what a full bucket holds, as the ns in which it is filled
	zero time.Time
}

// PerSecond is n in a second, and what comes together in burst at once. n 0 is
// no limit. now is by the clock that takes will be by.
func PerSecond(n int, burst time.Duration, now time.Time) Rate {
	return newRate(n, time.Second, burst, now)
}

// Per is n in a time d, which may come at once. n 0 is no limit.
func Per(n int, d time.Duration, now time.Time) Rate {
	return newRate(n, d, d, now)
}

// fine is so large that a frame's bytes at a gigabyte a second still count, and
// so small that a day fits in.
const fine = 16

func newRate(n int, in, burst time.Duration, now time.Time) Rate {
	r := Rate{most: int64(burst), zero: now}
	if n > 0 {
		r.each = max(uint64(in)<<fine/uint64(n), 1)
	}
	return r
}

// On says whether there is a limit.
func (r *Rate) On() bool { return r.each > 0 }

// at is a time as buckets count it: in ns since the rate was made.
func (r *Rate) at(now time.Time) int64 { return int64(now.Sub(r.zero)) }

// cost is in how many ns n are filled again, rounded down: what a full bucket
// is said to hold has to be in it.
func (r *Rate) cost(n int) int64 {
	hi, lo := bits.Mul64(uint64(n), r.each)
	if hi != 0 {
		return math.MaxInt64 / 4 // many years
	}
	return max(int64(lo>>fine), 1)
}

// take is the bucket after n were taken from one that is full again at full,
// or how long to wait until they can be: what is more than a bucket holds
// needs a full one, and leaves a debt.
func (r *Rate) take(full, at int64, n int) (after int64, wait time.Duration) {
	full = max(full, at)
	cost := r.cost(n)
	if over := full - at + min(cost, r.most) - r.most; over > 0 {
		return full, time.Duration(over)
	}
	return full + cost, 0
}

// Bucket is one that a single goroutine uses. The zero Bucket is full.
type Bucket struct{ full int64 }

// Take takes n, all or nothing: 0, or how long to wait until there will be as
// many.
func (b *Bucket) Take(r *Rate, now time.Time, n int) (wait time.Duration) {
	if r.each == 0 {
		return 0
	}
	b.full, wait = r.take(b.full, r.at(now), n)
	return wait
}
