package model

import "sync/atomic"

// Run is a sequence of messages that one connection sends to one conversation.
// Once the log can't store one of them it fails the later ones as well: stored,
// they would have overtaken it. A failed run stays failed; the sender starts a
// new one. The zero value is ready, and any goroutine may use it.
type Run struct{ failed atomic.Bool }

// Fail marks the run as failed.
func (r *Run) Fail() {
	if r != nil {
		r.failed.Store(true)
	}
}

// Failed reports whether Fail was called. A nil Run never fails.
func (r *Run) Failed() bool { return r != nil && r.failed.Load() }
