package groupcommit

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// executor stores batches through one Step and decides what to do about
// errors. One goroutine uses it at a time.
type executor struct {
	c    *Committer
	step Step
}

// commitError is a failed commit. Only reading the log can tell whether it stored
// the batch.
type commitError struct{ err error }

func (e *commitError) Error() string { return "commit: " + e.err.Error() }
func (e *commitError) Unwrap() error { return e.err }

// store stores a batch and sets the outcome of each message that it doesn't
// defer. After a permanent error, it retries with one transaction per
// conversation, so that a bad message fails only its own conversation's.
//
// It returns an error in two cases: a LockTimeout with wait, after which the
// messages have no outcome yet, or an error with which all of them failed.
func (e *executor) store(batch []*Append, wait bool) error {
	ctx, cancel := context.Background(), func() {}
	if t := e.c.config.Timeout; t > 0 {
		ctx, cancel = context.WithTimeout(ctx, t)
	}
	defer cancel()
	err := e.retry(ctx, batch, wait)
	if err == nil {
		e.count(batch)
		return nil
	}
	class := e.step.Classify(err)
	if wait && class == LockTimeout {
		return err
	}
	conversations := byConversation(batch)
	if len(conversations) == 1 || class.transient() {
		e.fail(batch, err)
		return err
	}
	for _, messages := range conversations {
		if err := e.retry(ctx, messages, wait); err != nil {
			e.fail(messages, err)
			continue
		}
		e.count(messages)
	}
	return nil
}

// retry attempts a batch until it is stored, the error isn't retryable, or ctx
// is done.
func (e *executor) retry(ctx context.Context, batch []*Append, wait bool) error {
	for delay := firstDelay; ; delay = min(2*delay, maxDelay) {
		err := e.attempt(ctx, batch, wait)
		if err == nil {
			return nil
		}
		class := e.step.Classify(err)
		if !class.retryable() || wait && class == LockTimeout {
			return err
		}
		e.c.m.retries.Inc()
		select {
		case <-ctx.Done():
			return err
		case <-time.After(delay):
		}
	}
}

// attempt runs a transaction. After a duplicate or a failed commit, the log may
// have messages of the batch: attempt then runs a second transaction that looks
// up every cid.
func (e *executor) attempt(ctx context.Context, batch []*Append, wait bool) error {
	err := e.transact(ctx, batch, wait)
	if err == nil {
		return nil
	}
	var commit *commitError
	switch {
	case e.step.Classify(err) == Duplicate:
		e.c.m.duplicates.Inc()
	case errors.As(err, &commit):
		e.c.m.ambiguous.Inc()
		for _, a := range batch {
			if a.Stored {
				a.attemptedSeq = a.Seq
			}
		}
	default:
		return err
	}
	for _, a := range batch {
		a.lookUp = true
	}
	return e.transact(ctx, batch, wait)
}

// transact runs one transaction. After an error nothing is stored, except that
// after a commitError the batch may be.
func (e *executor) transact(ctx context.Context, batch []*Append, wait bool) (err error) {
	for _, a := range batch {
		a.reset()
		switch {
		case a.malformed():
			a.Err = ErrMalformed
		case a.failedBefore():
			a.Err = ErrRunFailed
		}
	}
	defer func() {
		if err != nil {
			e.c.m.rollbacks.Inc()
		}
	}()
	if err := e.step.Begin(ctx); err != nil {
		return err
	}
	if err := e.step.Apply(ctx, batch, wait); err != nil {
		e.step.Rollback()
		return err
	}
	if err := e.step.Commit(); err != nil {
		return &commitError{err}
	}
	return nil
}

// fail sets the outcome of messages that can't be stored.
func (e *executor) fail(batch []*Append, err error) {
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("the database took longer than %v: it is frozen, overloaded, or another program locks its tables: %w", e.c.config.Timeout, err)
	}
	e.c.config.Logger.Error("messages not stored", "messages", len(batch), "err", err)
	e.c.m.failed.Add(len(batch))
	err = fmt.Errorf("append: %w", err)
	for _, a := range batch {
		a.reset()
		a.Err = err
		a.failRun()
	}
}

// count counts the outcomes of a batch that was committed.
func (e *executor) count(batch []*Append) {
	stored, repeated, runFailed := 0, 0, 0
	for _, a := range batch {
		switch {
		case a.Err == ErrRunFailed:
			runFailed++
		case a.Stored:
			stored++
		case a.Pending():
			repeated++
		}
	}
	e.c.m.stored.Add(stored)
	e.c.m.repeated.Add(repeated)
	e.c.m.runFailed.Add(runFailed)
}
