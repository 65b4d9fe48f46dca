package sqldb

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// maxAhead is the maximum number of ordinary writes that a priority write waits
// for.
const maxAhead = 8

// writeLock serializes transactions on a single connection. database/sql serves
// goroutines that wait for a connection in random order, so a priority write
// could wait for long behind many ordinary ones. This lock is first in, first
// out, and lets only maxAhead ordinary writes queue for it; the others wait
// outside. A nil lock never blocks.
type writeLock struct{ ordinary, turn *semaphore.Weighted }

func newWriteLock() *writeLock {
	return &writeLock{ordinary: semaphore.NewWeighted(maxAhead), turn: semaphore.NewWeighted(1)}
}

// acquirePriority locks for a priority write.
func (l *writeLock) acquirePriority(ctx context.Context) (release func(), err error) {
	if l == nil {
		return func() {}, ctx.Err()
	}
	if err := l.turn.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return func() { l.turn.Release(1) }, nil
}

// acquire locks for an ordinary write.
func (l *writeLock) acquire(ctx context.Context) (release func(), err error) {
	if l == nil {
		return func() {}, ctx.Err()
	}
	if err := l.ordinary.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	if err := l.turn.Acquire(ctx, 1); err != nil {
		l.ordinary.Release(1)
		return nil, err
	}
	return func() {
		l.turn.Release(1)
		l.ordinary.Release(1)
	}, nil
}
