package model

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatd/model/sqldb"
)

// settle stores a batch and sets the outcome of each of its messages, those
// apart that are skipped. One that can't be stored takes no other with it:
// where the database refuses a batch for good, each conversation gets a
// transaction of its own. With patient it waits for conversations that other
// nodes hold. An error is for what else the caller may do: that a lock was
// waited for in vain, which is no outcome yet, or that the database is away.
func (t *transaction) settle(batch []*Append, patient bool) error {
	ctx, cancel := context.Background(), func() {}
	if t.db.sql.WriteTimeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, t.db.sql.WriteTimeout)
	}
	defer cancel()
	err := t.try(ctx, batch, patient)
	if err == nil {
		t.count(batch)
		return nil
	}
	if patient && t.db.d.Classify(err) == sqldb.LockTimeout {
		return err
	}
	parts := byConversation(batch)
	if len(parts) == 1 || t.db.d.isTransient(err) {
		t.fail(batch, err)
		return err
	}
	for _, part := range parts {
		if err := t.try(ctx, part, patient); err != nil {
			t.fail(part, err)
			continue
		}
		t.count(part)
	}
	return nil
}

// try runs the transaction until it has done something, or it is clear that
// it won't.
func (t *transaction) try(ctx context.Context, batch []*Append, patient bool) error {
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		err := t.once(ctx, batch, patient)
		if err == nil || !t.db.d.Classify(err).Retryable() || patient && t.db.d.Classify(err) == sqldb.LockTimeout {
			return err
		}
		t.db.m.retried.Inc()
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// once runs the transaction, and again where its outcome may be in the log: a
// cid that is stored already, or a COMMIT that failed and may have stored all.
// From then on every cid is looked up, under the lock, on a connection that is
// good.
func (t *transaction) once(ctx context.Context, batch []*Append, patient bool) error {
	err := t.run(ctx, batch, patient)
	if err == nil {
		return nil
	}
	t.db.m.rollbacks.Inc()
	var unsure *sqldb.CommitError
	switch {
	case t.db.d.IsDuplicate(err):
		t.db.m.duplicates.Inc()
	case errors.As(err, &unsure):
		t.db.m.unsure.Inc()
		for _, a := range batch {
			if a.Stored {
				a.given = a.Seq
			}
		}
	default:
		return err
	}
	for _, a := range batch {
		a.look = true
	}
	if err = t.run(ctx, batch, patient); err != nil {
		t.db.m.rollbacks.Inc()
	}
	return err
}

func (t *transaction) fail(batch []*Append, err error) {
	t.db.o.Logger.Error("messages not stored", "messages", len(batch), "err", err)
	t.db.m.failed.Add(len(batch))
	err = fmt.Errorf("append: %w", err)
	for _, a := range batch {
		a.Conv, a.Seq, a.Time, a.Version, a.Last, a.Stored, a.skipped = 0, 0, 0, 0, 0, false, false
		a.Err = err
		a.Line.fail(a)
	}
}

func (t *transaction) count(batch []*Append) {
	stored, repeated, behind := 0, 0, 0
	for _, a := range batch {
		switch {
		case a.Err == ErrBehind:
			behind++
		case a.Stored:
			stored++
		case !a.settled():
			repeated++
		}
	}
	t.db.m.stored.Add(stored)
	t.db.m.repeated.Add(repeated)
	t.db.m.behind.Add(behind)
}
