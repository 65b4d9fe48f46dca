// Package limit has rate limits: token buckets, tables of buckets by key, and
// lockouts that grow.
//
// A bucket is one number: the time at which it will be full again. Taking
// tokens moves that time forward, and nothing has to be refilled. So a bucket
// of a connection costs eight bytes and no lock, a bucket that several event
// loops share is one atomic, and a table needs to keep only the buckets that
// aren't full.
//
// golang.org/x/time/rate isn't used because each of its limiters has a mutex
// and takes about sixty bytes, and an event loop can't use its waiting calls.
package limit

import (
	"math"
	"math/bits"
	"time"
)

// Rate says how fast a bucket fills and how much it holds. The zero Rate is no
// limit. A Rate never changes, and any goroutine may use it.
type Rate struct {
	each  uint64    // time to fill one token: in ns, times 1<<fractionBits; 0: no limit
	burst int64     // time to fill an empty bucket: in ns
	epoch time.Time // buckets count time from here
}

// PerSecond returns a rate of n tokens per second. A bucket holds as many
// tokens as are added in the time burst. If n is 0 there is no limit. now must
// come from the same clock as the times in later calls of Take.
func PerSecond(n int, burst time.Duration, now time.Time) Rate {
	return newRate(n, time.Second, burst, now)
}

// maxBytesBurst bounds how much of a rate of bytes may be used at once. What is used
// at once delays others. For a few requests that is nothing, even with a burst of
// many seconds; megabytes keep the disk and the loops busy for longer than others
// should wait.
const maxBytesBurst = 2 * time.Second

// BytesPerSecond is PerSecond for bytes: a bucket holds two seconds' worth at most.
func BytesPerSecond(n int, burst time.Duration, now time.Time) Rate {
	return PerSecond(n, min(burst, maxBytesBurst), now)
}

// Per returns a rate of n tokens in the time d. A bucket holds n. If n is 0
// there is no limit.
func Per(n int, d time.Duration, now time.Time) Rate {
	return newRate(n, d, d, now)
}

// fractionBits is the precision of Rate.each below a nanosecond. With 16 bits
// the bytes of a frame count at a gigabyte per second, and a day still fits.
const fractionBits = 16

func newRate(n int, in, burst time.Duration, now time.Time) Rate {
	r := Rate{burst: int64(burst), epoch: now}
	if n > 0 {
		r.each = max(uint64(in)<<fractionBits/uint64(n), 1)
	}
	return r
}

// On reports whether there is a limit.
func (r *Rate) On() bool { return r.each > 0 }

// at returns a time as buckets count it: in ns since the rate was made.
func (r *Rate) at(now time.Time) int64 { return int64(now.Sub(r.epoch)) }

// cost returns how many ns it takes to fill n tokens. It rounds down, so that a
// full bucket holds the whole burst.
func (r *Rate) cost(n int) int64 {
	hi, lo := bits.Mul64(uint64(n), r.each)
	if hi != 0 {
		return math.MaxInt64 / 4 // many years
	}
	return max(int64(lo>>fractionBits), 1)
}

// take takes n tokens at the time at from a bucket that is full again at full.
// It returns the new time at which the bucket is full, or how long to wait
// until n can be taken. More tokens than a bucket holds can be taken from a
// full bucket, which then owes the rest.
func (r *Rate) take(full, at int64, n int) (after int64, wait time.Duration) {
	full = max(full, at)
	cost := r.cost(n)
	if over := full - at + min(cost, r.burst) - r.burst; over > 0 {
		return full, time.Duration(over)
	}
	return full + cost, 0
}

// Bucket is a token bucket for one goroutine. The zero Bucket is full.
type Bucket struct{ full int64 } // when it is full again

// Take takes n tokens and returns 0, or takes none and returns how long to wait
// until there will be n.
func (b *Bucket) Take(r *Rate, now time.Time, n int) (wait time.Duration) {
	if r.each == 0 {
		return 0
	}
	b.full, wait = r.take(b.full, r.at(now), n)
	return wait
}
