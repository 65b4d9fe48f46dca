package model

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
)

// DB is an open store.
type DB struct {
	o       Options
	d       *dialect
	s       *store
	m       *counters
	epoch   atomic.Int64
	queue   *queue
	writers []*writer
	cursors *cursors
	closing sync.Once
	closed  error
	queries sync.Map // of string to *sqlx.Stmt: the constant queries, prepared
}

// Open opens the store and brings its schema up to date. What is wrong it says
// in one line that names the store (never a password): a folder missing or not
// to be written, a file that is no database, another process at it, a schema
// newer than the program, a scheme that it doesn't know.
func Open(ctx context.Context, o Options) (*DB, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	d, rest, err := dialectOf(o.DB)
	if err != nil {
		return nil, err
	}
	if o.Writers <= 0 || d.skip == "" {
		o.Writers = d.writers
	}
	o.Writers = min(o.Writers, maxWriters)
	m := newCounters(o.Set)
	end := time.Now().Add(o.Wait)
	for told := false; ; told = true {
		db, err := open(ctx, d, rest, o, m)
		if err == nil || !d.lost(err) || time.Until(end) <= 0 {
			return db, err
		}
		if !told {
			o.Logger.Warn("the store can't be reached, trying again", "for", o.Wait, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(min(longPause, time.Until(end))):
		}
	}
}

// open is one attempt. A server that goes away in the midst of it is one that
// can't be reached.
func open(ctx context.Context, d *dialect, rest string, o Options, m *counters) (*DB, error) {
	s, err := d.open(ctx, rest, &o)
	if err != nil {
		return nil, err
	}
	db := &DB{o: o, d: d, s: s, m: m}
	if o.ReadOnly {
		db.queue = newQueue(o.Writers, o.QueueMessages, o.QueueBytes)
		db.queue.close()
		if err := current(ctx, d, s); err != nil {
			return nil, errors.Join(err, s.close())
		}
		return db, nil
	}
	if err := db.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	db.queue = newQueue(o.Writers, o.QueueMessages, o.QueueBytes)
	if db.writers, err = newWriters(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", s.where, err), s.close())
	}
	db.cursors = newCursors(db)
	return db, nil
}

func (db *DB) prepare(ctx context.Context) error {
	if err := migrate(ctx, db.d, db.s); err != nil {
		return err
	}
	// Also finds out here, not at the first message, that nothing can be written.
	err := db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var epoch int64
		err := tx.GetContext(ctx, &epoch, `SELECT value FROM meta WHERE name = 'epoch'`)
		if errors.Is(err, sql.ErrNoRows) {
			epoch = newEpoch()
			_, err = tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ('epoch', ?)`, epoch)
		}
		if db.d.unique(err) { // another node was quicker
			err = tx.GetContext(ctx, &epoch, `SELECT value FROM meta WHERE name = 'epoch'`)
		}
		db.epoch.Store(epoch)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", db.s.where, err)
	}
	return nil
}

// Close stores and sinks all that Append took, writes the cursors, and ends
// the store's goroutines. It blocks until then; later calls do nothing.
func (db *DB) Close() error {
	db.closing.Do(func() {
		var err error
		if !db.o.ReadOnly {
			closeWriters(db, db.writers)
			err = db.cursors.close()
		}
		db.queries.Range(func(_, q any) bool {
			_ = q.(*sqlx.Stmt).Close() // of a server that has gone, say: all is stored
			return true
		})
		db.closed = errors.Join(err, db.s.close())
	})
	return db.closed
}

// Epoch is a random number made with the store: clients forget which seq they
// have when it changes. It doesn't block.
func (db *DB) Epoch() int64 { return db.epoch.Load() }

// NewEpoch gives the store another epoch, for an operator who has restored it
// from a backup. Daemons that run see it when they are started again.
func (db *DB) NewEpoch(ctx context.Context) (int64, error) {
	epoch := newEpoch()
	err := db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return one(tx.ExecContext(ctx, `UPDATE meta SET value = ? WHERE name = 'epoch'`, epoch))
	})
	if err != nil {
		return 0, fmt.Errorf("new epoch: %w", err)
	}
	db.epoch.Store(epoch)
	return epoch, nil
}

// newEpoch is below 2^53: clients may hold it in a double.
func newEpoch() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return int64(binary.BigEndian.Uint64(b[:])>>12) + 1
}

// write runs do in a transaction of its own: committed if do gives nil, else
// rolled back before the connection is used again. It waits for its turn as
// long as ctx lasts. From then on it goes through with it: a statement that is
// interrupted costs the one connection there is for writing, and leaves open
// whether a COMMIT was done. Where others got in its way do runs again, and
// must begin anew.
func (db *DB) write(ctx context.Context, do func(ctx context.Context, tx *sqlx.Tx) error) error {
	if db.o.ReadOnly {
		return ErrClosed
	}
	release, err := db.s.gate.other(ctx)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := db.bounded(context.WithoutCancel(ctx))
	defer cancel()
	for try, pause := 1, firstPause; ; try, pause = try+1, 2*pause {
		err := db.writeOnce(ctx, do)
		var unsure *commitError
		if err == nil || try == maxTries || !db.d.again(err) || errors.As(err, &unsure) && db.d.lost(err) {
			return err
		}
		db.m.retried.Inc()
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func (db *DB) writeOnce(ctx context.Context, do func(ctx context.Context, tx *sqlx.Tx) error) error {
	tx, err := db.s.writing.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	if err := do(ctx, tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return &commitError{err}
	}
	return nil
}

// query is a constant query, prepared once.
func (db *DB) query(ctx context.Context, q string) (*sqlx.Stmt, error) {
	if s, ok := db.queries.Load(q); ok {
		return s.(*sqlx.Stmt), nil
	}
	s, err := db.s.reading.PreparexContext(ctx, q)
	if err != nil {
		return nil, err
	}
	if first, lost := db.queries.LoadOrStore(q, s); lost {
		s.Close()
		return first.(*sqlx.Stmt), nil
	}
	return s, nil
}

// get reads the one row that a constant query gives. ErrNotFound: none.
func (db *DB) get(ctx context.Context, to any, q string, args ...any) error {
	s, err := db.query(ctx, q)
	if err != nil {
		return err
	}
	err = s.GetContext(ctx, to, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// list reads all rows that a constant query gives.
func (db *DB) list(ctx context.Context, to any, q string, args ...any) error {
	s, err := db.query(ctx, q)
	if err != nil {
		return err
	}
	return s.SelectContext(ctx, to, args...)
}

// one is nil if a statement has changed a row, and ErrNotFound if none.
func one(r sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}

// nowMS is the time that is stored, in Unix milliseconds.
func (db *DB) nowMS() int64 { return db.o.Now().UnixMilli() }
