package groupcommit

import "sync/atomic"

// Run keeps the messages that one connection sends to one conversation in order.
// If a message of a run can't be stored, all later messages of the run fail with
// ErrRunFailed, even if the database is back by then: otherwise they would
// overtake the failed message, which its sender resends. A failed run stays
// failed; the caller starts a new Run for the messages that are resent. The zero
// value is ready for use, by any goroutine.
type Run struct{ failed atomic.Bool }

// Fail marks the run as failed: its further messages get ErrRunFailed.
func (r *Run) Fail() { r.failed.Store(true) }

// Failed reports whether a message of the run could not be stored.
func (r *Run) Failed() bool { return r.failed.Load() }

// failedBefore reports whether the message must fail because an earlier one of
// its run has failed. A commit of unknown outcome may even have stored this
// message: its sender resends it, and gets its seq from the log.
func (a *Append) failedBefore() bool {
	return a.Run != nil && a.Run.Failed()
}

// FailRun marks the message's run as failed. A Step calls it for a message with an
// Err that makes the sender resend it, once the transaction is committed.
func (a *Append) FailRun() {
	if a.Run != nil {
		a.Run.Fail()
	}
}
