package sqldb

import (
	"context"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"
)

// Retries of Write.
const (
	maxAttempts = 5
	firstDelay  = 2 * time.Millisecond // before the second attempt; it doubles each time
)

// CommitError is a failed COMMIT. The transaction may be committed all the same.
type CommitError struct{ Err error }

func (e *CommitError) Error() string { return "commit: " + e.Err.Error() }
func (e *CommitError) Unwrap() error { return e.Err }

// Write runs fn in a transaction. It commits if fn returns nil, and rolls back
// otherwise. After errors such as deadlocks it runs fn again, so fn must reset its
// results each time.
//
// Canceling ctx ends the wait for the connection. Once the transaction has
// started, Write ignores the cancellation: interrupting a statement would close
// SQLite's only writing connection, and interrupting COMMIT would make its outcome
// unknown.
func (db *DB) Write(ctx context.Context, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	return db.writeLocked(ctx, db.lock.acquire, fn)
}

// WritePriority is Write, but ahead of most calls of Write.
func (db *DB) WritePriority(ctx context.Context, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	return db.writeLocked(ctx, db.lock.acquirePriority, fn)
}

func (db *DB) writeLocked(ctx context.Context, lock func(context.Context) (func(), error), fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	release, err := lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := db.withTimeout(context.WithoutCancel(ctx))
	defer cancel()
	for attempt, delay := 1, firstDelay; ; attempt, delay = attempt+1, 2*delay {
		err := db.writeOnce(ctx, fn)
		if err == nil || attempt == maxAttempts {
			return err
		}
		class := db.Classify(err)
		var commit *CommitError
		if !class.Retryable() || class == Disconnected && errors.As(err, &commit) {
			return err
		}
		db.retries.Inc()
		select {
		case <-ctx.Done():
			return err
		case <-time.After(delay):
		}
	}
}

func (db *DB) writeOnce(ctx context.Context, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	tx, err := db.Writer.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // no effect after Commit
	if err := fn(ctx, tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return &CommitError{err}
	}
	return nil
}

// AcquirePriority locks the writing connection, ahead of most calls of Write. If
// there are several such connections, it does nothing. The caller must call
// release after its transaction.
func (db *DB) AcquirePriority(ctx context.Context) (release func(), err error) {
	return db.lock.acquirePriority(ctx)
}

func (db *DB) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if db.WriteTimeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, db.WriteTimeout)
}
