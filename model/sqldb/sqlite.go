package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"chatd/model/walwriter"
)

const (
	busyTimeout  = 5000     // ms to wait for another process; only operators' commands compete with a running chatd
	walBound     = 64 << 20 // bytes; if the write-ahead log is larger, checkpoint waits for readers
	checkpointMS = 250      // ms that checkpoint waits for readers, and delays appends
)

func sqlite() *Dialect {
	return &Dialect{
		Name: "sqlite",
		Now:  "unixepoch()",
		// For a plain "LIMIT ?", SQLite prepares the statement again whenever
		// the number changes.
		Limit: " LIMIT ? + 0",
		// For a plain INSERT of several rows, SQLite keeps a statement journal,
		// which takes a quarter of the transaction's time.
		Insert:   "INSERT OR ROLLBACK",
		MaxRows:  128,
		Operand:  func(query string) string { return "SELECT * FROM (" + query + ") v" },
		Classify: classifySQLite,
		diskFull: sqliteDiskFull,
		fullHint: sqliteFullHint,
		goose:    goose.DialectSQLite3,
		tables:   `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`,
		writers:  1, // SQLite runs one write transaction at a time
		connect:  connectSQLite,
	}
}

func classifySQLite(err error) Class {
	code := sqliteCode(err)
	switch code {
	case codes.SQLITE_CONSTRAINT_UNIQUE, codes.SQLITE_CONSTRAINT_PRIMARYKEY:
		return Duplicate
	}
	switch code & 0xff {
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED, codes.SQLITE_FULL, codes.SQLITE_IOERR, codes.SQLITE_NOMEM, codes.SQLITE_CANTOPEN:
		return Transient
	}
	return Permanent
}

// sqliteCode returns the extended result code in err, or 0.
func sqliteCode(err error) int {
	var e *driver.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

func connectSQLite(ctx context.Context, path string, o *Config) (_ *DB, err error) {
	where := "sqlite:" + path
	fail := func(err error) error { return fmt.Errorf("%s: %w", where, sqliteReason(err)) }
	if path == "" || strings.HasPrefix(path, ":") {
		return nil, fail(errors.New("want the path of a file, as in sqlite:data/chatd.db"))
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fail(err)
	}
	lock, err := createSQLite(path, o)
	if err != nil {
		return nil, fail(err)
	}
	unlock := func() error {
		if lock == nil {
			return nil
		}
		return lock.Close()
	}
	st, err := os.Stat(path)
	if err == nil && st.Mode().Perm()&0o077 != 0 && !o.ReadOnly {
		o.Logger.Warn("database file is readable by other users and contains password hashes; run chmod 600 on it", "file", path, "mode", st.Mode().Perm().String())
	}
	var opened os.FileInfo
	if lock != nil {
		if opened = st; err != nil {
			return nil, errors.Join(fail(err), unlock())
		}
	}
	// Use fdatasync, which doesn't write a file's timestamps. The setting holds
	// for the whole process. An error means that this system has only fsync.
	_, _ = driver.Fdatasync(true)
	if err := walwriter.Register(); err != nil {
		return nil, errors.Join(fail(err), unlock())
	}
	// database/sql connects lazily: the ping below finds errors in the file.
	name := (&url.URL{Scheme: "file", Path: path}).String()
	var pools [3]*sqlx.DB
	for i, pragmas := range []string{sqlitePragmas(o, o.ReadOnly, true), sqlitePragmas(o, true, true), sqlitePragmas(o, true, false)} {
		inner, err := driver.NewConnector(name + "?" + pragmas)
		if err != nil {
			return nil, errors.Join(fail(err), unlock())
		}
		c := connector{Connector: inner}
		if opened != nil {
			c.moved = func() error { return fileMoved(where, path, opened) }
		}
		pools[i] = sqlx.NewDb(sql.OpenDB(c), "sqlite")
	}
	s := &DB{
		Where:  where,
		path:   path,
		opened: opened,
		wal:    path + "-wal",
		unlock: unlock,
		lock:   newWriteLock(),
		Writer: pools[0],
		Reader: pools[1],
		small:  &reads{pool: pools[2]},
	}
	s.Writer.SetMaxOpenConns(1)
	s.Writer.SetMaxIdleConns(1)
	for _, pool := range []*sqlx.DB{s.Reader, s.small.pool} {
		pool.SetMaxOpenConns(o.Readers)
		pool.SetMaxIdleConns(o.Readers)
	}
	s.Dedicated, s.Maintenance = []WriterConns{{Conn: s.Writer}}, s.Writer
	s.lockSchema = func(context.Context) (func() error, error) { return func() error { return nil }, nil }
	s.lockOut = func() (func() error, error) {
		if lock != nil {
			return func() error { return nil }, nil
		}
		f, err := lockFile(path, lockPatience)
		if err != nil {
			return nil, err
		}
		return f.Close, nil
	}
	s.tidy = func(ctx context.Context) error { return checkpoint(ctx, s, s.wal, walBound) }
	s.close = func() error {
		// Close the writer last: the last connection to close does a checkpoint.
		return errors.Join(s.Reader.Close(), s.small.pool.Close(), s.Writer.Close())
	}
	if err := s.Writer.PingContext(ctx); err != nil {
		return nil, errors.Join(fail(err), s.close(), s.release())
	}
	return s, nil
}

// createSQLite creates the file unless it exists, and takes the lock file, which it
// returns unless another process may serve from the database.
func createSQLite(path string, o *Config) (lock *os.File, err error) {
	if o.ReadOnly {
		return nil, nil
	}
	if err := checkFolder(path); err != nil {
		return nil, err
	}
	if o.Shared {
		// Without a file, take the lock all the same: a chatd whose file was removed
		// has it, and puts the file back when it ends.
		if _, err := os.Stat(path); err == nil {
			return nil, nil
		}
	}
	if lock, err = lockFile(path, lockPatience); err != nil {
		return nil, err
	}
	if err = makeFile(path); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if o.Shared {
		return nil, lock.Close()
	}
	return lock, nil
}

// sqlitePragmas returns the settings of a connection. mapped is for reading: whether it
// maps the file into memory.
func sqlitePragmas(o *Config, reading, mapped bool) string {
	p := []string{
		"temp_store(MEMORY)",
		fmt.Sprintf("busy_timeout(%d)", busyTimeout),
		"journal_mode(WAL)",
		"synchronous(" + strings.ToUpper(o.Sync) + ")",
	}
	switch {
	case reading && mapped:
		// With mmap, pages are read without a copy. That is ten times as fast
		// for conversations whose messages are scattered over the file.
		p = append(p, "cache_size(-8192)", fmt.Sprintf("mmap_size(%d)", 1<<30), "query_only(1)")
	case reading:
		p = append(p, "cache_size(-2048)", "query_only(1)")
	default:
		// Without spilling, only a commit writes pages: walwriter never holds
		// pages of a transaction that was rolled back.
		p = append(p, "cache_spill(0)", "cache_size(-65536)", "wal_autocheckpoint(1000)", fmt.Sprintf("journal_size_limit(%d)", walBound))
	}
	v := url.Values{"_pragma": p}
	v.Set("mode", "rw") // makeFile creates the file; if it is removed later, a new connection must not create an empty one
	if !reading {
		v.Set("_txlock", "immediate")
		if o.Sync == "full" {
			v.Set("vfs", walwriter.Name)
		}
	}
	return v.Encode()
}

const sqliteFullHint = "the disk is probably full: free some space, or check the disk and the limit of file sizes (ulimit -f)"

// sqliteDiskFull reports whether err is about SQLite's files, or the lock file, and
// probably due to a full disk.
func sqliteDiskFull(err error) bool {
	switch sqliteCode(err) {
	case codes.SQLITE_FULL, codes.SQLITE_IOERR_SHMSIZE, codes.SQLITE_IOERR_WRITE:
		return true
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// sqliteReason adds an explanation to errors that are common when opening a
// file.
func sqliteReason(err error) error {
	if sqliteDiskFull(err) {
		return fmt.Errorf("%s: %w", sqliteFullHint, err)
	}
	switch sqliteCode(err) & 0xff {
	case codes.SQLITE_IOERR:
		return fmt.Errorf("can't read or write the file; check the disk: %w", err)
	case codes.SQLITE_NOTADB, codes.SQLITE_CORRUPT:
		return fmt.Errorf("is not a SQLite database, or is damaged: %w", err)
	case codes.SQLITE_READONLY, codes.SQLITE_CANTOPEN:
		return fmt.Errorf("the file is missing or can't be opened for writing; check who owns it: %w", err)
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED:
		return fmt.Errorf("locked by another process: %w", err)
	}
	return err
}

// checkpoint copies the write-ahead log into the database file if it is larger
// than bound. SQLite does that itself, but not while there are always readers.
func checkpoint(ctx context.Context, s *DB, wal string, bound int64) error {
	if st, err := os.Stat(wal); err != nil || st.Size() <= bound {
		return nil
	}
	release, err := s.lock.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	c, err := s.Writer.Connx(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout(%d)", checkpointMS)); err != nil {
		return err
	}
	_, err = c.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	_, back := c.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf("PRAGMA busy_timeout(%d)", busyTimeout))
	return errors.Join(err, back)
}
