package model

import (
	"sync"
	"sync/atomic"
)

// Line is what one sender says on one connection, in its order. Where the
// database can't store a message of a line, those that follow it there in the
// same conversation fail as well, however soon the database is back: stored,
// they would have overtaken it. They fail until one comes that was sent in a
// later round, by a sender who knows. The zero value is a line; any goroutine
// may use it.
type Line struct {
	broken atomic.Int32 // the number of failed
	mu     sync.Mutex
	failed map[convKey]int64 // the last round in which a message failed
}

// fail notes that a message could not be stored.
func (l *Line) fail(a *Append) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = make(map[convKey]int64)
	}
	k := convOf(a)
	l.failed[k] = max(l.failed[k], a.Round)
	l.broken.Store(int32(len(l.failed)))
}

// stops reports whether a message is behind one that failed.
func (l *Line) stops(a *Append) bool {
	if l == nil || l.broken.Load() == 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	round, failed := l.failed[convOf(a)]
	return failed && a.Round <= round
}

// Mended is for a message of the line that is stored: nothing of an earlier
// round is on its way to its conversation any more, or will be.
func (l *Line) Mended(a *Append) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := convOf(a)
	if round, failed := l.failed[k]; failed && round < a.Round {
		delete(l.failed, k)
		l.broken.Store(int32(len(l.failed)))
	}
}
