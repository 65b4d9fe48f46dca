package bus

import (
	"context"
	mathrand "math/rand/v2"
	"time"
)

// backoff is the delay between attempts to connect. It doubles with each
// attempt, from minBackoff up to maxBackoff, and starts over once a connection
// has lasted for longer than maxBackoff.
type backoff struct {
	next    time.Duration
	success time.Time // of the last attempt; zero if it failed
}

// succeeded records that an attempt has succeeded.
func (b *backoff) succeeded() { b.success = time.Now() }

// wait blocks for the delay. It returns false if ctx ends.
func (b *backoff) wait(ctx context.Context) bool {
	if b.next == 0 || !b.success.IsZero() && time.Since(b.success) > maxBackoff {
		b.next = minBackoff
	}
	b.success = time.Time{}
	timer := time.NewTimer(b.next/2 + mathrand.N(b.next/2)) // jitter, so that nodes don't reconnect all at once
	defer timer.Stop()
	b.next = min(2*b.next, maxBackoff)
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
