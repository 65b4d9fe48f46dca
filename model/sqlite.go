package model

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"chatd/model/walwriter"
)

//go:embed migrations/sqlite/*.sql
var sqliteMigrations embed.FS

const (
	busyTimeout  = 5000     // ms; only operators' commands ever compete with us for the file
	walBound     = 64 << 20 // bytes the write-ahead log may reach before readers are asked to wait
	checkpointMS = 250      // how long appends wait for readers then, at most
)

func sqlite() *dialect {
	return &dialect{
		name:       "sqlite",
		goose:      goose.DialectSQLite3,
		migrations: func() (fs.FS, error) { return fs.Sub(sqliteMigrations, "migrations/sqlite") },
		open:       openSQLite,
		writers:    1, // BEGIN IMMEDIATE has the one lock there is
		tables:     `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`,
		now:        "unixepoch()",
		// Of a bare "LIMIT ?" SQLite makes a plan for the number, anew each time.
		limit:   " LIMIT ? + 0",
		bracket: func(sel string) string { return "SELECT * FROM (" + sel + ") v" },
		// A plain INSERT of several rows keeps a journal of its own, to undo
		// itself alone: a quarter of the transaction's time.
		insert:  "INSERT OR ROLLBACK",
		maxRows: 128,
		unique: func(err error) bool {
			c := sqliteCode(err)
			return c == codes.SQLITE_CONSTRAINT_UNIQUE || c == codes.SQLITE_CONSTRAINT_PRIMARYKEY
		},
		transient: func(err error) bool {
			switch sqliteCode(err) & 0xff {
			case codes.SQLITE_BUSY, codes.SQLITE_LOCKED, codes.SQLITE_FULL, codes.SQLITE_IOERR, codes.SQLITE_NOMEM, codes.SQLITE_CANTOPEN:
				return true
			}
			return false
		},
		again:  never,
		waited: never,
		lost:   never,
		raiseHeads: func(rows int) string {
			return `UPDATE conversations SET last_seq = v.column2, last_time = v.column3, touched = unixepoch()
				FROM (VALUES ` + repeated("(?, ?, ?)", rows) + `) AS v WHERE conversations.id = v.column1`
		},
		// CROSS JOIN: in that order. A device that went meanwhile has no cursors,
		// nor has a member that left.
		raiseDelivered: func(rows int) string {
			return `INSERT INTO cursors (user_id, device, conversation_id, delivered_seq)
				SELECT v.column1, v.column2, v.column3, min(v.column4, c.last_seq)
				FROM (VALUES ` + repeated("(?, ?, ?, ?)", rows) + `) AS v
				CROSS JOIN conversations c ON c.id = v.column3
				CROSS JOIN devices d ON d.user_id = v.column1 AND d.device = v.column2
				CROSS JOIN members m ON m.conversation_id = v.column3 AND m.user_id = v.column1
				WHERE true
				ON CONFLICT (user_id, device, conversation_id)
				DO UPDATE SET delivered_seq = max(delivered_seq, excluded.delivered_seq)`
		},
		raiseRead: func(rows int) string {
			return `UPDATE members SET read_seq = max(read_seq, v.column3)
				FROM (VALUES ` + repeated("(?, ?, ?)", rows) + `) AS v
				WHERE members.conversation_id = v.column2 AND members.user_id = v.column1`
		},
		raiseUsed: func(rows int) string {
			return `UPDATE devices SET last_used = max(last_used, v.column3)
				FROM (VALUES ` + repeated("(?, ?, ?)", rows) + `) AS v
				WHERE devices.user_id = v.column1 AND devices.device = v.column2`
		},
	}
}

// sqliteCode is the extended result code in err, or 0.
func sqliteCode(err error) int {
	var e *driver.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

func openSQLite(ctx context.Context, path string, o *Options) (_ *store, err error) {
	where := "sqlite:" + path
	fail := func(err error) error { return fmt.Errorf("%s: %w", where, sqliteReason(err)) }
	if path == "" || strings.HasPrefix(path, ":") {
		return nil, fail(errors.New("want the path of a file"))
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fail(err)
	}
	if !o.ReadOnly {
		if err := makeFile(path); err != nil {
			return nil, fail(err)
		}
	}
	if st, err := os.Stat(path); err == nil && st.Mode().Perm()&0o077 != 0 && !o.ReadOnly {
		o.Logger.Warn("others can read this store, and there are password hashes in it: chmod 600", "file", path, "mode", st.Mode().Perm().String())
	}
	var lock *os.File
	if !o.Shared {
		if lock, err = lockFile(path, lockPatience); err != nil {
			return nil, fail(err)
		}
	}
	// For the whole process: it writes all that reading a file back needs, and
	// spares the journal of the file system the times of each change. An error
	// says that this system has nothing but fsync.
	_, _ = driver.Fdatasync(true)
	if err := walwriter.Register(); err != nil {
		return nil, fail(err)
	}
	// database/sql opens lazily: what is wrong with the file shows in the ping.
	name := (&url.URL{Scheme: "file", Path: path}).String()
	s := &store{
		where:   where,
		gate:    newGate(),
		writing: sqlx.MustOpen("sqlite", name+"?"+sqlitePragmas(o, o.ReadOnly)),
		reading: sqlx.MustOpen("sqlite", name+"?"+sqlitePragmas(o, true)),
	}
	s.writing.SetMaxOpenConns(1)
	s.writing.SetMaxIdleConns(1)
	s.reading.SetMaxOpenConns(o.Readers)
	s.reading.SetMaxIdleConns(o.Readers)
	s.appending, s.migrating = []*sqlx.DB{s.writing}, s.writing
	s.turn = func(context.Context) (func() error, error) { return func() error { return nil }, nil }
	s.alone = func() (func() error, error) {
		if lock != nil {
			return func() error { return nil }, nil
		}
		f, err := lockFile(path, lockPatience)
		if err != nil {
			return nil, err
		}
		return f.Close, nil
	}
	s.tidy = func(ctx context.Context) error { return checkpoint(ctx, s, path+"-wal", walBound) }
	s.close = func() error {
		// The writer last: the last connection to close folds the log in.
		err := errors.Join(s.reading.Close(), s.writing.Close())
		if lock != nil {
			err = errors.Join(err, lock.Close())
		}
		return err
	}
	if err := s.writing.PingContext(ctx); err != nil {
		return nil, errors.Join(fail(err), s.close())
	}
	return s, nil
}

func sqlitePragmas(o *Options, reading bool) string {
	p := []string{
		"temp_store(MEMORY)",
		fmt.Sprintf("busy_timeout(%d)", busyTimeout),
		"journal_mode(WAL)",
		"synchronous(" + strings.ToUpper(o.SQLiteSync) + ")",
	}
	if reading {
		// With mmap a page of the log is read without a copy: ten times as fast
		// where conversations lie scattered.
		p = append(p, "cache_size(-8192)", fmt.Sprintf("mmap_size(%d)", 1<<30), "query_only(1)")
	} else {
		// Without spilling, pages are written by a commit alone: what walwriter
		// gathers is never left over from a transaction that was taken back.
		p = append(p, "cache_spill(0)", "cache_size(-65536)", "wal_autocheckpoint(4000)", fmt.Sprintf("journal_size_limit(%d)", walBound))
	}
	v := url.Values{"_pragma": p}
	if o.ReadOnly {
		v.Set("mode", "rw") // a file that isn't there isn't made
	}
	if !reading {
		v.Set("_txlock", "immediate")
		if o.SQLiteSync == "full" {
			v.Set("vfs", walwriter.Name)
		}
	}
	return v.Encode()
}

// makeFile makes the file if there is none, for its owner alone (there are
// password hashes in it), and says what is wrong with its folder.
func makeFile(path string) error {
	dir := filepath.Dir(path)
	switch st, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("folder %s does not exist", dir)
	case err != nil:
		return reason(err)
	case !st.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	}
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return errors.New("is a folder, not a file")
	}
	// One that is there must not be opened here: to close it again would end
	// the locks that SQLite has on it for another store of this process.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot write: %w", reason(err))
	}
	return f.Close()
}

const (
	lockPatience = time.Second
	lockPause    = 10 * time.Millisecond
)

// lockFile takes the lock that keeps a second daemon from the file. It ends
// with the process, however that ends.
func lockFile(path string, patience time.Duration) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot write its lock: %w", reason(err))
	}
	// A store of this process that was just closed may be locked for a moment
	// yet: a program that is being started has a copy of every descriptor until
	// it runs.
	for end := time.Now().Add(patience); ; time.Sleep(lockPause) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		pid, _ := io.ReadAll(io.LimitReader(f, 32))
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("in use by another process (pid %s)", strings.TrimSpace(string(pid)))
		}
		return nil, fmt.Errorf("cannot lock: %w", err)
	}
	// For people only: the lock is what counts.
	if err = f.Truncate(0); err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot write its lock: %w", reason(err))
	}
	return f, nil
}

// reason takes the path off an error: the message names it already.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func sqliteReason(err error) error {
	switch sqliteCode(err) & 0xff {
	case codes.SQLITE_NOTADB, codes.SQLITE_CORRUPT:
		return fmt.Errorf("is not an SQLite database, or damaged: %w", err)
	case codes.SQLITE_READONLY, codes.SQLITE_CANTOPEN:
		return fmt.Errorf("cannot be written: %w", err)
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED:
		return fmt.Errorf("locked by another process: %w", err)
	}
	return err
}

// checkpoint folds a write-ahead log that has outgrown its bound into the
// file. SQLite does so by itself unless some reader is always at work.
func checkpoint(ctx context.Context, s *store, wal string, bound int64) error {
	if st, err := os.Stat(wal); err != nil || st.Size() <= bound {
		return nil
	}
	release, err := s.gate.other(ctx)
	if err != nil {
		return err
	}
	defer release()
	c, err := s.writing.Connx(ctx)
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
