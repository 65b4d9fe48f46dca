package groupcommit

import (
	"sync"
	"sync/atomic"
)

// Run keeps the order of what one connection sends to one conversation. If a
// message of a run can't be stored, all later messages of the run fail with
// ErrRunFailed, even if the database is back by then: otherwise they would
// overtake the message when its sender sends it again. A failed run stays
// failed; the sender's side starts a new Run for what it sends again. The zero
// value is ready for use, by any goroutine.
type Run struct{ failed atomic.Bool }

// Fail marks the run as failed.
func (r *Run) Fail() { r.failed.Store(true) }

// Failed reports whether a message of the run could not be stored.
func (r *Run) Failed() bool { return r.failed.Load() }

// failedBefore reports whether the message must fail because an earlier one of
// its run has. That includes a message that a commit of unknown outcome may
// have stored: its sender sends it again, and then the log answers.
func (a *Append) failedBefore() bool {
	return a.Run != nil && a.Run.Failed() || a.Line.stops(a)
}

// failRun marks the message's run as failed.
func (a *Append) failRun() {
	if a.Run != nil {
		a.Run.Fail()
	}
	a.Line.fail(a)
}

// Line is the mechanism that Run replaces. To remove it: delete this type with
// its methods, Append.Line and Append.Round, and the two uses above.
//
// A Line belongs to a connection. It remembers per conversation the last round
// in which a message failed; messages of that round or an earlier one fail too.
type Line struct {
	broken atomic.Int32 // len(failed)
	mu     sync.Mutex
	failed map[convKey]int64 // the last round in which a message failed
}

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

func (l *Line) stops(a *Append) bool {
	if l == nil || l.broken.Load() == 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	round, failed := l.failed[convOf(a)]
	return failed && a.Round <= round
}

// Mended forgets the failure of an earlier round, now that a message of a later
// one is stored.
func (l *Line) Mended(a *Append) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := convOf(a)
	if round, failed := l.failed[k]; failed && round < a.Round {
		delete(l.failed, k)
		l.broken.Store(int32(len(l.failed)))
	}
}
