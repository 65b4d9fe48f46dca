package backup

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatd/model/walwriter"
)

// open opens a database as chatd does. Each connection has its own pool.
func open(t *testing.T, path, more string) *sql.DB {
	t.Helper()
	if err := walwriter.Register(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", address(path)+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=cache_spill(0)&_txlock=immediate"+more)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func exec(t *testing.T, db *sql.DB, q string, args ...any) {
	t.Helper()
	if _, err := db.Exec(q, args...); err != nil {
		t.Fatalf("%.60s: %v", q, err)
	}
}

func number(t *testing.T, db *sql.DB, q string) (n int64) {
	t.Helper()
	if err := db.QueryRow(q).Scan(&n); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return n
}

// fillTable makes a database of about 40 MB whose rows have an equal sum in each
// transaction, so that a copy of pages from different transactions is noticed.
func fillTable(t *testing.T, path string) *sql.DB {
	t.Helper()
	db := open(t, path, "&vfs="+walwriter.Name)
	exec(t, db, `CREATE TABLE a (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, body BLOB NOT NULL)`)
	exec(t, db, `CREATE INDEX a_n ON a (n)`)
	exec(t, db, `CREATE TABLE done (id INTEGER PRIMARY KEY)`)
	exec(t, db, `WITH RECURSIVE s(v) AS (VALUES (1) UNION ALL SELECT v + 1 FROM s WHERE v < 20000) INSERT INTO a SELECT v, 0, zeroblob(2000) FROM s`)
	return db
}

// While transactions run one after another, each of which changes pages all over the
// file, a backup is the database as one of them left it, has everything that was
// committed before it began, and doesn't make the write-ahead log grow. Readers that
// come and go, and checkpoints of the writer, don't change that.
func TestBackupUnderLoad(t *testing.T) {
	const maxWAL = 64 << 20
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	db := fillTable(t, path)

	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	var committed, written, largest atomic.Int64
	running.Go(func() {
		for i := int64(1); ctx.Err() == nil; i++ {
			tx, err := db.Begin()
			if err != nil {
				t.Error(err)
				return
			}
			for range 25 {
				from, to := rand.IntN(20000)+1, rand.IntN(20000)+1
				_, err1 := tx.Exec(`UPDATE a SET n = n - 1, body = randomblob(2000) WHERE id = ?`, from)
				_, err2 := tx.Exec(`UPDATE a SET n = n + 1, body = randomblob(1000) WHERE id = ?`, to)
				if err1 != nil || err2 != nil {
					t.Error(err1, err2)
				}
			}
			if _, err := tx.Exec(`INSERT INTO done VALUES (?)`, i); err != nil {
				t.Error(err)
			}
			if err := tx.Commit(); err != nil {
				t.Error(err)
				return
			}
			committed.Store(i)
			written.Add(50 * 4096)
			if st, err := os.Stat(path + "-wal"); err == nil {
				largest.Store(max(largest.Load(), st.Size()))
			}
		}
	})
	for range 2 {
		reader := open(t, path, "")
		running.Go(func() {
			for ctx.Err() == nil {
				var n, sum int64
				from := rand.IntN(20000)
				if err := reader.QueryRow(`SELECT COUNT(*), COALESCE(SUM(n), 0) FROM a WHERE id BETWEEN ? AND ?`, from, from+50).Scan(&n, &sum); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Millisecond) // leave processors to the writer
			}
		})
	}
	backups := 0
	for written.Load() < 2*maxWAL && !t.Failed() {
		to := filepath.Join(dir, fmt.Sprint(backups, ".backup"))
		before := committed.Load()
		size, err := SQLite(t.Context(), path, to, func(int64, int64) {})
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(to)
		if err != nil {
			t.Fatal(err)
		}
		if st.Size() != size || st.Mode().Perm() != 0o600 {
			t.Errorf("the backup has %d bytes and mode %v, want %d bytes and mode 0600", st.Size(), st.Mode().Perm(), size)
		}
		copied := open(t, to, "")
		last, rows, sum := number(t, copied, `SELECT MAX(id) FROM done`), number(t, copied, `SELECT COUNT(*) FROM a`), number(t, copied, `SELECT SUM(n) FROM a`)
		if n := number(t, copied, `SELECT COUNT(*) FROM done`); last < before || n != last || rows != 20000 || sum != 0 {
			t.Errorf("the backup has %d of the first %d transactions, %d rows with the sum %d; want at least the first %d without gaps, 20000 rows and the sum 0", n, last, rows, sum, before)
		}
		backups++
	}
	stop()
	running.Wait()
	if largest.Load() > maxWAL {
		t.Errorf("the write-ahead log grew to %d bytes during %d backups, want at most %d", largest.Load(), backups, maxWAL)
	}
	t.Logf("%d backups, %d transactions, %d MiB written; largest write-ahead log %d MiB", backups, committed.Load(), written.Load()>>20, largest.Load()>>20)
}

// A backup neither replaces a file nor leaves one behind if it fails.
func TestBackupFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	fillTable(t, path)
	exists := filepath.Join(dir, "exists")
	if err := os.WriteFile(exists, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "plain.db")
	other, err := sql.Open("sqlite", address(plain))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	exec(t, other, `CREATE TABLE t (x)`)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name   string
		ctx    context.Context
		db, to string
		want   string
	}{
		{"the file exists", t.Context(), path, exists, "already exists"},
		{"no such folder", t.Context(), path, filepath.Join(dir, "none", "x"), "no such file or directory"},
		{"no database", t.Context(), filepath.Join(dir, "none.db"), filepath.Join(dir, "x"), "no such file or directory"},
		{"not a database", t.Context(), exists, filepath.Join(dir, "x"), "not a database"},
		{"another journal mode", t.Context(), plain, filepath.Join(dir, "x"), `journal mode is "delete"`},
		{"interrupted", canceled, path, filepath.Join(dir, "x"), "context canceled"},
	} {
		before, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := SQLite(c.ctx, c.db, c.to, func(int64, int64) {}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: SQLite returns %v, want an error with %q", c.name, err, c.want)
		}
		after, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range after {
			if name := e.Name(); strings.Contains(name, "partial") || name == "x" {
				t.Errorf("%s: %s is left behind; there were %v before", c.name, name, before)
			}
		}
	}
	if b, err := os.ReadFile(exists); err != nil || string(b) != "precious" {
		t.Errorf("the existing file has %q, %v; want its old contents", b, err)
	}
}

// A damaged database isn't backed up silently.
func TestBackupIsChecked(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	db := fillTable(t, path)
	exec(t, db, `PRAGMA wal_checkpoint(TRUNCATE)`)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 64<<10), st.Size()/2&^4095); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "x")
	if _, err := SQLite(t.Context(), path, to, func(int64, int64) {}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("backup of a damaged database: %v, want an error that says it is damaged", err)
	}
	if _, err := os.Stat(to); err == nil {
		t.Errorf("%s exists after the failed backup, want no file", to)
	}
}
