// Package sqldb opens SQLite and MySQL databases and hides their differences:
// connections, migrations, prepared statements, retries of transactions, and
// error codes. It doesn't know the chat's tables.
//
// Functions that take a context block on the database. Any goroutine may call
// them.
package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/jmoiron/sqlx"
)

const (
	maxWriters   = 64
	reopenDelay  = 200 * time.Millisecond // between attempts to reach a database server
	migrationDir = "migrations"           // within Config.Migrations: one folder per dialect
)

// Config says how to open a database. All fields but WaitFor, Writers, MaxRows and
// Setup must be set.
type Config struct {
	URL  string // "sqlite:PATH" or "mysql://user:password@host:3306/database"
	Sync string // SQLite only. "full": commits survive a power cut. "normal": they survive a crash of the process

	Shared   bool // SQLite only: don't take the lock file, as a running chatd may have it
	ReadOnly bool // write nothing, and don't migrate the schema; implies Shared

	WaitFor time.Duration // how long Open tries to reach a database server
	Readers int           // connections for reading
	Writers int           // dedicated writers; 0: the dialect's default. SQLite has 1
	MaxRows int           // in one statement, a power of two; 0: the dialect's default

	Migrations fs.FS // "migrations/sqlite/*.sql" and "migrations/mysql/*.sql"

	// Open calls Setup once the schema is up to date. If the connection is lost
	// meanwhile, Open starts over and calls Setup again with another DB.
	Setup func(ctx context.Context, db *DB) error

	Retries *metrics.Counter // counts retried transactions
	Logger  *slog.Logger
}

// DB is an open database.
type DB struct {
	*Dialect

	Where       string        // the URL without user and password, for errors and logs
	Reader      *sqlx.DB      // reads only
	Writer      *sqlx.DB      // for Write
	Maintenance *sqlx.DB      // without timeouts: migrations, and copying whole tables
	Dedicated   []WriterConns // one for each of Config.Writers

	// MaxBytes is the most bytes that the arguments of one statement should have, as
	// the server refuses larger packets. 0: no limit.
	MaxBytes int

	// WriteTimeout is how long a write may take with all its retries. 0: no
	// limit.
	WriteTimeout time.Duration

	lock    *writeLock // nil: writes run in parallel
	retries *metrics.Counter
	reads   *reads // of Reader
	small   *reads // of ScanSmall

	// lockSchema waits until no other process reads or changes the schema.
	lockSchema func(ctx context.Context) (release func() error, err error)

	// lockOut keeps every other process from opening the database.
	lockOut func() (release func() error, err error)

	path   string        // of SQLite's file
	opened os.FileInfo   // of SQLite's file when it was opened; nil: another process may serve from it
	wal    string        // path of SQLite's write-ahead log
	logs   []os.FileInfo // of the files in logFiles when they were opened; nil: no such file
	tidy   func(ctx context.Context) error
	close  func() error // closes all connections
	unlock func() error // releases the lock file, after close; nil: there is none
}

// WriterConns are the connections of one dedicated writer. Each is a pool of at
// most one connection. All statements must run in transactions: there may be no
// autocommit.
type WriterConns struct {
	Conn *sqlx.DB

	// LockConn is a second connection, on which to wait for locks of other
	// processes. Nil: no other process writes.
	LockConn *sqlx.DB
}

// Open opens a database and brings its schema up to date. It blocks until that is
// done; while a database server can't be reached, it retries for up to WaitFor.
// Its errors are one line, name the database, and contain no password.
func Open(ctx context.Context, c Config) (*DB, error) {
	d, address, err := dialectOf(c.URL)
	if err != nil {
		return nil, err
	}
	if c.Writers <= 0 || d.SkipLocked == "" {
		c.Writers = d.writers
	}
	c.Writers = min(c.Writers, maxWriters)
	if c.MaxRows > 0 {
		d.MaxRows = c.MaxRows
	}
	end := time.Now().Add(c.WaitFor)
	for warned := false; ; warned = true {
		db, err := open(ctx, d, address, &c)
		if err == nil || !d.IsDisconnected(err) || time.Until(end) <= 0 {
			return db, err
		}
		if !warned {
			c.Logger.Warn("database unreachable; retrying", "for", c.WaitFor, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(min(reopenDelay, time.Until(end))):
		}
	}
}

// open is one attempt of Open.
func open(ctx context.Context, d *Dialect, address string, c *Config) (*DB, error) {
	db, err := d.connect(ctx, address, c)
	if err != nil {
		return nil, err
	}
	db.Dialect, db.retries, db.reads = d, c.Retries, &reads{pool: db.Reader}
	if db.small == nil {
		db.small = db.reads
	}
	if c.ReadOnly {
		err = db.checkSchema(ctx, c.Migrations)
	} else {
		err = db.migrate(ctx, c.Migrations)
	}
	if err == nil && c.Setup != nil {
		err = c.Setup(ctx, db)
	}
	if err != nil {
		if d.diskFull(err) {
			err = fmt.Errorf("%w: %s", err, d.fullHint)
		}
		db.closeQueries()
		return nil, errors.Join(err, db.close(), db.release())
	}
	db.rememberLog()
	return db, nil
}

// Tidy keeps SQLite's write-ahead log small. Call it every few seconds.
func (db *DB) Tidy(ctx context.Context) error { return db.tidy(ctx) }

// LogSize returns the size of SQLite's write-ahead log in bytes. It is 0 for other
// databases. It reads the size from the file system.
func (db *DB) LogSize() int64 {
	if db.wal == "" {
		return 0
	}
	st, err := os.Stat(db.wal)
	if err != nil {
		return 0 // there is no log
	}
	return st.Size()
}

// Close closes all connections. No other call may be running. If SQLite's file was
// removed or replaced, Close saves what is in it, and returns an error that says where.
func (db *DB) Close() error {
	db.closeQueries()
	if moved := db.Moved(); moved != nil {
		return db.closeMoved(moved)
	}
	return errors.Join(db.close(), db.release())
}

// release releases the lock file, so that another process may open the database. All
// connections must be closed.
func (db *DB) release() error {
	if db.unlock == nil {
		return nil
	}
	return db.unlock()
}
