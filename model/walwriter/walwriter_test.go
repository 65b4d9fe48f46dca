package walwriter

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	_ "modernc.org/sqlite"
)

// open opens a database with one connection, synchronous=FULL, and a cache so small
// that a large transaction spills pages into the log.
func open(t *testing.T, path, vfs string) *sql.DB {
	t.Helper()
	if err := Register(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=cache_size(20)"+vfs)
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

// execer is a *sql.DB or a *sql.Tx.
type execer interface {
	Exec(q string, args ...any) (sql.Result, error)
}

func exec(t *testing.T, db execer, q string, args ...any) {
	t.Helper()
	if _, err := db.Exec(q, args...); err != nil {
		t.Fatalf("%.60s: %v", q, err)
	}
}

// same checks the database's integrity through each connection, and that each sees
// the right number of rows with the right contents.
func same(t *testing.T, rows int, dbs ...*sql.DB) {
	t.Helper()
	for i, db := range dbs {
		var n, wrong int
		var whole string
		if err := db.QueryRow(`SELECT count(*), count(*) FILTER (WHERE body != zeroblob(id % 3000)) FROM t`).Scan(&n, &wrong); err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRow(`PRAGMA integrity_check`).Scan(&whole); err != nil {
			t.Fatal(err)
		}
		if n != rows || wrong != 0 || whole != "ok" {
			t.Fatalf("connection %d: %d rows, %d wrong, integrity %s; want %d rows, 0 wrong, integrity ok", i, n, wrong, whole, rows)
		}
	}
}

// Other connections see each commit at once, and the database is the same when it is
// opened without this VFS. Some transactions have one page, some are larger than the
// buffer, some are rolled back, and some read pages that they have spilled.
func TestDatabaseIsTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	ours := open(t, path, "&vfs="+Name)
	exec(t, ours, `CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB NOT NULL)`)
	other, reader := open(t, path, "&vfs="+Name), open(t, path, "")
	series := func(tx execer, from, to int) {
		t.Helper()
		exec(t, tx, `WITH RECURSIVE s(value) AS (VALUES (?) UNION ALL SELECT value + 1 FROM s WHERE value < ?)
			INSERT INTO t SELECT value, zeroblob(value % 3000) FROM s`, from, to)
	}
	rows := 0
	for i := range 60 {
		n := 1
		if i%25 == 7 {
			n = 1000 // 1.5 MB
		}
		tx, err := ours.Begin()
		if err != nil {
			t.Fatal(err)
		}
		series(tx, rows+1, rows+n)
		if i%20 == 3 || i == 57 {
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
		} else {
			if i%25 == 7 { // read and change spilled pages
				exec(t, tx, `UPDATE t SET body = zeroblob(1) WHERE id % 7 = 0`)
				exec(t, tx, `UPDATE t SET body = zeroblob(id % 3000) WHERE id % 7 = 0`)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			rows += n
		}
		if i%10 == 0 {
			same(t, rows, ours, other, reader)
		}
	}
	same(t, rows, ours, other, reader)
	exec(t, ours, `CREATE TABLE large AS SELECT zeroblob(?) AS body`, 2*maxBuffered)
	exec(t, ours, `PRAGMA wal_checkpoint(TRUNCATE)`) // the log restarts at offset 0
	series(other, rows+1, rows+10)
	same(t, rows+10, reader, ours)
	exec(t, ours, `PRAGMA wal_checkpoint(TRUNCATE)`)
	same(t, rows+10, ours, other, reader)
	for _, db := range []*sql.DB{ours, other} {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	same(t, rows+10, open(t, path, ""))
}

// After a commit, its rows are in the files: a copy of them, as after a crash, has
// all rows.
func TestCommittedIsWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.db")
	db := open(t, path, "&vfs="+Name)
	exec(t, db, `CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB NOT NULL)`)
	for i := 1; i <= 30; i++ {
		exec(t, db, `INSERT INTO t VALUES (?, zeroblob(? % 3000))`, i, i)
		crashed := filepath.Join(dir, fmt.Sprint(i, ".db"))
		for _, end := range []string{"", "-wal"} {
			b, err := os.ReadFile(path + end)
			if err == nil {
				err = os.WriteFile(crashed+end, b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		same(t, i, open(t, crashed, ""))
	}
}

// A commit of 100 pages takes at most 20 write calls. SQLite's own VFS takes 200.
func TestFewWrites(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("counts system calls in /proc")
	}
	dir := t.TempDir()
	count := func(vfs string) int {
		db := open(t, filepath.Join(dir, "w"+vfs), vfs)
		exec(t, db, `CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB NOT NULL)`)
		before := writes(t)
		exec(t, db, `INSERT INTO t VALUES (1, zeroblob(400000))`)
		return writes(t) - before
	}
	plain, ours := count(""), count("&vfs="+Name)
	if plain < 190 || ours > 20 {
		t.Errorf("writes for a commit of 100 pages = %d, want at most 20; without this VFS %d, want at least 190", ours, plain)
	}
}

// writes returns how many write system calls this process has made.
func writes(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		if v, ok := bytes.CutPrefix(line, []byte("syscw: ")); ok {
			n, err := strconv.Atoi(string(bytes.TrimSpace(v)))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no syscw in /proc/self/io")
	return 0
}
