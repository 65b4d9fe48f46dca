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
	"chatd/model/recent"
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
	log     *groupcommit.Committer // nil if opened read-only
	cursors *cursors               // nil if opened read-only
	starts  *starts                // nil if opened read-only
	quotas  *quotas
	steps   []groupcommit.Steps // of log
	lanes   lanePool
	recent  *recent.Index      // nil: not SQLite
	folder  *recent.Folder     // nil: not SQLite
	life    context.Context    // of the background work; ends with Close
	cancel  context.CancelFunc // ends life
	running sync.WaitGroup     // the background work
	closing sync.Once
	closed  error
}

// Open opens the store and brings its schema up to date. It blocks until that is
// done. If the database server can't be reached, it retries for up to
// Options.Wait. Its errors are one line, name the database, and contain no
// password.
func Open(ctx context.Context, o Options) (*DB, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	db := &DB{o: o, m: newCounters(o.Set), quotas: newQuotas(&o)}
	sql, err := sqldb.Open(ctx, sqldb.Config{
		URL: o.DB, Sync: o.SQLiteSync, Shared: o.Shared, ReadOnly: o.ReadOnly,
		WaitFor: o.Wait, Readers: o.Readers, Writers: o.Writers, MaxRows: o.maxRows,
		Migrations: migrations, Setup: db.setup, Retries: db.m.retried, Logger: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	db.sql = sql
	db.life, db.cancel = context.WithCancel(context.Background())
	if !o.ReadOnly {
		db.startLog()
		if sql.Name == "sqlite" {
			db.m.gauge("chatd_model_wal_bytes", func() float64 { return float64(sql.LogSize()) })
		}
		db.startFolding()
		db.startLooks()
		db.cursors = newCursors(db)
		go db.starts.run()
		db.startQuotas()
	}
	return db, nil
}

// setup reads the epoch and prepares statements. If the connection is lost
// meanwhile, sqldb calls it again with another sqldb.DB.
func (db *DB) setup(ctx context.Context, sql *sqldb.DB) (err error) {
	db.sql = sql
	if db.d, err = dialectOf(sql); err != nil {
		return err
	}
	if sql.Name == "sqlite" {
		db.recent = recent.NewIndex()
		db.folder = recent.NewFolder(sql, db.recent, db.o.Logger, db.o.Set)
	}
	if db.o.ReadOnly {
		return nil
	}
	if db.recent != nil && !db.o.Shared {
		if err := db.recent.Load(ctx, sql.Reader); err != nil {
			return fmt.Errorf("%s: read the newest messages: %w", sql.Where, err)
		}
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
	if db.starts, err = newStarts(ctx, db); err != nil {
		return fmt.Errorf("%s: %w", sql.Where, err)
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

func (db *DB) startFolding() {
	if db.folder == nil || db.o.Shared || db.o.noBackground {
		return
	}
	db.background(db.folder.Run)
}

// background runs do in a goroutine until Close.
func (db *DB) background(do func(ctx context.Context)) {
	db.running.Go(func() { do(db.life) })
}

// Append queues messages for the log; the sink gets their outcomes. It never
// blocks. It takes all of the messages, or none if it returns an error: ErrBusy
// if too many messages wait, or ErrClosed.
func (db *DB) Append(batch ...*Append) error {
	if db.log == nil {
		return ErrClosed
	}
	return db.log.Append(batch...)
}

// readEpoch reads the epoch, or creates one in a new store. It is a write
// transaction, so that Open fails if the database can't be written to.
func (db *DB) readEpoch(ctx context.Context) error {
	err := db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var epoch int64
		err := tx.GetContext(ctx, &epoch, `SELECT value FROM meta WHERE name = 'epoch'`)
		if errors.Is(err, sql.ErrNoRows) {
			epoch = newEpoch()
			_, err = tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ('epoch', ?)`, epoch)
		}
		if db.d.IsDuplicate(err) { // another node has just created it
			err = tx.GetContext(ctx, &epoch, `SELECT value FROM meta WHERE name = 'epoch'`)
		}
		db.epoch.Store(epoch)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: read the epoch: %w", db.sql.Where, err)
	}
	return nil
}

// Close stores all messages that Append took, waits for the sink, writes the
// cursors, and ends the store's goroutines. It blocks until that is done. Later
// calls return the same error. If SQLite's file was removed or replaced, Close saves
// what is in it, and returns an error that says where.
func (db *DB) Close() error {
	db.closing.Do(func() {
		var err error
		if !db.o.ReadOnly {
			db.log.Close()
			db.starts.close()
			db.closeQuotas()
			err = db.cursors.close()
		}
		db.cancel()
		db.running.Wait()
		db.closed = errors.Join(err, db.sql.Close())
	})
	return db.closed
}

// CheckSame returns an error if this is no longer the store that was opened: SQLite's
// file was removed or replaced, or the epoch has changed, as after a restore. Then same
// is false, and the caller must close the store, which remembers much of the old one.
// It blocks on the database.
func (db *DB) CheckSame(ctx context.Context) (same bool, err error) {
	if err := db.sql.Moved(); err != nil {
		return false, err
	}
	var epoch int64
	if err := db.get(ctx, &epoch, `SELECT value FROM meta WHERE name = 'epoch'`); err != nil {
		return true, fmt.Errorf("read the epoch: %w", err)
	}
	if epoch != db.Epoch() {
		return false, fmt.Errorf("%s: the epoch of the database has changed: it was restored, or chatd epoch was run", db.sql.Where)
	}
	return true, nil
}

// Epoch returns the random number that identifies this copy of the data. When it
// changes, clients discard their cursors. It doesn't block.
func (db *DB) Epoch() int64 { return db.epoch.Load() }

// NewEpoch ends all tokens, and sets a new epoch, which it returns with the number of
// tokens. An operator does that after restoring a backup: it may have brought back
// tokens that had ended. A node that is running finds out with CheckSame. If NewEpoch
// fails, run it again.
func (db *DB) NewEpoch(ctx context.Context) (epoch, tokens int64, err error) {
	if tokens, err = db.endTokens(ctx); err != nil {
		return 0, tokens, fmt.Errorf("%s: end all tokens: %w", db.sql.Where, err)
	}
	epoch = newEpoch()
	err = db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return one(tx.ExecContext(ctx, `UPDATE meta SET value = ? WHERE name = 'epoch'`, epoch))
	})
	if err != nil {
		return 0, tokens, fmt.Errorf("%s: set a new epoch: %w", db.sql.Where, err)
	}
	db.epoch.Store(epoch)
	return epoch, tokens, nil
}

// endTokens ends all tokens, those of many users in one transaction, and returns
// their number.
func (db *DB) endTokens(ctx context.Context) (n int64, err error) {
	for after, more := int64(0), true; more; {
		var users []int64
		if err := db.sql.Select(ctx, &users, `SELECT DISTINCT user_id FROM devices WHERE user_id > ? AND token_hash IS NOT NULL ORDER BY user_id LIMIT ?`,
			after, maxStarts); err != nil {
			return n, err
		}
		if more = len(users) > 0; !more {
			break
		}
		var ended int64
		err := db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
			r, err := tx.ExecContext(ctx, `UPDATE devices SET token_hash = NULL WHERE user_id > ? AND user_id <= ? AND token_hash IS NOT NULL`,
				after, users[len(users)-1])
			if err == nil {
				ended, err = r.RowsAffected()
			}
			return err
		})
		if err != nil {
			return n, err
		}
		n += ended
		after = users[len(users)-1]
	}
	return n, nil
}

// newEpoch returns a random number from 1 to 2^52, which JavaScript can represent
// exactly.
func newEpoch() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return int64(binary.BigEndian.Uint64(b[:])>>12) + 1
}

// write runs do in a transaction, and again after some errors: see
// sqldb.DB.Write. Errors: ErrClosed if the store was opened read-only.
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

// one turns the result of a statement that changed no row into ErrNotFound.
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

// nowMS returns the current time in Unix milliseconds, as it is stored.
func (db *DB) nowMS() int64 { return db.o.Now().UnixMilli() }
