package groupcommit

import "sync/atomic"

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
	return a.Run != nil && a.Run.Failed()
}

// failRun marks the message's run as failed.
func (a *Append) failRun() {
	if a.Run != nil {
		a.Run.Fail()
	}
}
