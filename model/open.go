package model

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/jmoiron/sqlx"

	"chatd/model/groupcommit"
	"chatd/model/sqldb"
)

// migrations are the schemas: one folder per dialect.
//
//go:embed migrations
var migrations embed.FS

// DB is an open store.
type DB struct {
	o       Options
	sql     *sqldb.DB
	d       *dialect
	m       *counters
	epoch   atomic.Int64
	log     *groupcommit.Committer // nil if the store was opened to read only
	cursors *cursors               // nil likewise
	steps   []groupcommit.Steps    // of log
	closing sync.Once
	closed  error
}

// Open opens the store and brings its schema up to date. It blocks until that
// is done, for up to Options.WaitFor if the database server can't be reached.
// Its errors are one line, name the store and hold no password.
func Open(ctx context.Context, o Options) (*DB, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	db := &DB{o: o, m: newCounters(o.Set)}
	sql, err := sqldb.Open(ctx, sqldb.Config{
		URL: o.DB, Sync: o.SQLiteSync, Shared: o.Shared, ReadOnly: o.ReadOnly,
		WaitFor: o.Wait, Readers: o.Readers, Writers: o.Writers,
		Migrations: migrations, Setup: db.setup, Retries: db.m.retried, Logger: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	db.sql = sql
	if !o.ReadOnly {
		db.startLog()
		db.cursors = newCursors(db)
	}
	return db, nil
}

// setup prepares what needs the current schema. It is called again with
// another database if that is lost meanwhile.
func (db *DB) setup(ctx context.Context, sql *sqldb.DB) (err error) {
	db.sql = sql
	if db.d, err = dialectOf(sql); err != nil {
		return err
	}
	if db.o.ReadOnly {
		return nil
	}
	if err := db.readEpoch(ctx); err != nil {
		return err
	}
	db.steps = nil
	for _, conns := range sql.Dedicated {
		s, err := db.newSteps(ctx, conns)
		if err != nil {
			return fmt.Errorf("%s: %w", sql.Where, err)
		}
		db.steps = append(db.steps, s)
	}
	return nil
}

func (db *DB) newSteps(ctx context.Context, conns sqldb.WriterConns) (groupcommit.Steps, error) {
	main, err := newAppendStep(ctx, db, conns.Conn)
	if err != nil || conns.LockConn == nil {
		return groupcommit.Steps{Main: main}, err
	}
	wait, err := newAppendStep(ctx, db, conns.LockConn)
	return groupcommit.Steps{Main: main, Wait: wait}, err
}

func (db *DB) startLog() {
	db.log = groupcommit.New(groupcommit.Config{
		MaxBatch: db.o.MaxBatch, MaxBatchBytes: db.o.MaxBatchBytes,
		QueueMessages: db.o.QueueMessages, QueueBytes: db.o.QueueBytes,
		Timeout: db.sql.WriteTimeout, Sink: db.o.Sink, Logger: db.o.Logger, Set: db.o.Set,
	}, db.steps)
	sum := func(name string, size func(s *appendStep) int64) {
		db.m.gauge(name, func() (n float64) {
			for _, s := range db.steps {
				n += float64(size(s.Main.(*appendStep)))
			}
			return n
		})
	}
	sum("chatd_model_pairs_known", func(s *appendStep) int64 { return s.pairs.size.Load() })
	sum("chatd_model_members_known", func(s *appendStep) int64 { return s.members.size.Load() })
}

// Append queues messages for the log; the sink gets their outcomes. It never
// blocks. Errors: ErrBusy: too many messages wait, and none of these was taken;
// ErrClosed.
func (db *DB) Append(batch ...*Append) error {
	if db.log == nil {
		return ErrClosed
	}
	return db.log.Append(batch...)
}

// readEpoch reads the epoch, or makes it in a new store. A store that can't be
// written is found out here, not by the first message.
func (db *DB) readEpoch(ctx context.Context) error {
	err := db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var epoch int64
		err := tx.GetContext(ctx, &epoch, `SELECT value FROM meta WHERE name = 'epoch'`)
		if errors.Is(err, sql.ErrNoRows) {
			epoch = newEpoch()
			_, err = tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ('epoch', ?)`, epoch)
		}
		if db.d.IsDuplicate(err) { // another node was quicker
			err = tx.GetContext(ctx, &epoch, `SELECT value FROM meta WHERE name = 'epoch'`)
		}
		db.epoch.Store(epoch)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", db.sql.Where, err)
	}
	return nil
}

// Close stores all messages that Append took, waits for the sink, writes the
// cursors, and ends the store's goroutines. It blocks until that is done. Later
// calls return the same error.
func (db *DB) Close() error {
	db.closing.Do(func() {
		var err error
		if !db.o.ReadOnly {
			db.log.Close()
			err = db.cursors.close()
		}
		db.closed = errors.Join(err, db.sql.Close())
	})
	return db.closed
}

// Epoch is a random number that was made with the store. If it changes, clients
// forget their cursors. It doesn't block.
func (db *DB) Epoch() int64 { return db.epoch.Load() }

// NewEpoch gives the store another epoch, for an operator who has restored it
// from a backup. A daemon uses it after its next start.
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

// newEpoch returns a number of at most 2^52, which fits into a double.
func newEpoch() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return int64(binary.BigEndian.Uint64(b[:])>>12) + 1
}

// write runs do in a transaction, several times if need be; see sqldb.DB.Write.
// Errors: ErrClosed if the store was opened to read only.
func (db *DB) write(ctx context.Context, do func(ctx context.Context, tx *sqlx.Tx) error) error {
	if db.o.ReadOnly {
		return ErrClosed
	}
	return db.sql.Write(ctx, do)
}

// get reads a single row. Errors: ErrNotFound.
func (db *DB) get(ctx context.Context, to any, q string, args ...any) error {
	err := db.sql.Get(ctx, to, q, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// one returns ErrNotFound if a statement changed no row.
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

// nowMS is the current time as it is stored: Unix milliseconds.
func (db *DB) nowMS() int64 { return db.o.Now().UnixMilli() }
