package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/VictoriaMetrics/metrics"
	client "github.com/go-sql-driver/mysql"
	"github.com/jmoiron/sqlx"
)

const schema = "-- +goose Up\nCREATE TABLE items (id INTEGER PRIMARY KEY, body BLOB);\n"

// config returns a Config for a new SQLite database with the table items.
func config(t *testing.T) Config {
	return Config{
		URL: "sqlite:" + filepath.Join(t.TempDir(), "test.db"), Sync: "full", Readers: 2,
		Migrations: fstest.MapFS{"migrations/sqlite/00001_items.sql": {Data: []byte(schema)}},
		Retries:    metrics.NewSet().NewCounter("retries"), Logger: slog.New(slog.DiscardHandler),
	}
}

func openTest(t *testing.T, c Config) *DB {
	t.Helper()
	db, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// Open runs Setup after the migrations. If Setup fails, Open closes everything, so
// that the same file can be opened again.
func TestOpenRunsSetup(t *testing.T) {
	c := config(t)
	refused := errors.New("refused")
	c.Setup = func(context.Context, *DB) error { return refused }
	if _, err := Open(t.Context(), c); !errors.Is(err, refused) {
		t.Fatalf("Open: error %v, want Setup's", err)
	}
	count := -1
	c.Setup = func(ctx context.Context, db *DB) error {
		return db.Get(ctx, &count, `SELECT COUNT(*) FROM items`)
	}
	openTest(t, c)
	if count != 0 {
		t.Errorf("Setup counted %d items, want 0", count)
	}
}

// If the connection is lost during Setup, the next attempt opens the database from
// scratch.
func TestOpenStartsOver(t *testing.T) {
	d := sqlite()
	d.Classify = func(err error) Class {
		if errors.Is(err, driver.ErrBadConn) {
			return Disconnected
		}
		return Permanent
	}
	var seen []*DB
	c := config(t)
	c.Setup = func(_ context.Context, db *DB) error {
		if seen = append(seen, db); len(seen) < 3 {
			return driver.ErrBadConn
		}
		return nil
	}
	for n := 1; n <= 3; n++ {
		_, address, _ := strings.Cut(c.URL, ":")
		db, err := open(t.Context(), d, address, &c)
		if lost := n < 3; lost != d.IsDisconnected(err) {
			t.Fatalf("attempt %d: error %v, want disconnected: %t", n, err, lost)
		}
		if err == nil {
			defer db.Close()
		}
	}
	if len(seen) != 3 || seen[0] == seen[1] || seen[1] == seen[2] {
		t.Errorf("Setup was called with %v, want three different databases", seen)
	}
}

// Write commits on success, rolls back on an error, and retries after a retryable
// one.
func TestWrite(t *testing.T) {
	again := errors.New("deadlock")
	for _, c := range []struct {
		what     string
		errs     []error // of each attempt
		want     error
		attempts int
		rows     int
	}{
		{"success", []error{nil}, nil, 1, 1},
		{"permanent error", []error{sql.ErrNoRows}, sql.ErrNoRows, 1, 0},
		{"one deadlock", []error{again, nil}, nil, 2, 1},
		{"deadlocks only", []error{again, again, again, again, again, nil}, again, maxAttempts, 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			db := openTest(t, config(t))
			d := *db.Dialect
			d.Classify = func(err error) Class {
				if errors.Is(err, again) {
					return Retryable
				}
				return Permanent
			}
			db.Dialect = &d
			attempts := 0
			err := db.Write(t.Context(), func(ctx context.Context, tx *sqlx.Tx) error {
				attempts++
				if _, err := tx.ExecContext(ctx, `INSERT INTO items (body) VALUES (?)`, "x"); err != nil {
					t.Error(err)
				}
				return c.errs[attempts-1]
			})
			if !errors.Is(err, c.want) || attempts != c.attempts {
				t.Errorf("Write: error %v after %d attempts, want %v after %d", err, attempts, c.want, c.attempts)
			}
			var rows int
			if err := db.Get(t.Context(), &rows, `SELECT COUNT(*) FROM items`); err != nil || rows != c.rows {
				t.Errorf("%d rows stored (error %v), want %d", rows, err, c.rows)
			}
			if n := db.retries.Get(); n != uint64(c.attempts-1) {
				t.Errorf("%d retries counted, want %d", n, c.attempts-1)
			}
		})
	}
}

// A BatchStmt passes each row exactly once, or at least once where the statement
// allows repeats, for any number of rows.
func TestBatchStmt(t *testing.T) {
	db := openTest(t, config(t))
	insert, err := db.PrepareBatch(t.Context(), db.Writer, BatchSpec{Width: 2, Exact: true, SQL: func(n int) string {
		return `INSERT INTO items (id, body) VALUES ` + Repeated("(?, ?)", n)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer insert.Close()
	find, err := db.PrepareBatch(t.Context(), db.Writer, BatchSpec{Width: 1, SQL: func(n int) string {
		return `SELECT id FROM items WHERE ` + AnyOf("id = ?", n) + ` ORDER BY id`
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer find.Close()
	for _, n := range []int{0, 1, 2, 3, 5, 127, 128, 129, 300} {
		tx, err := db.Writer.Begin()
		if err != nil {
			t.Fatal(err)
		}
		var rows, ids []any
		var want, got []int
		for i := range n {
			rows, ids, want = append(rows, i, "x"), append(ids, i), append(want, i)
		}
		if err := insert.Exec(t.Context(), tx, rows); err != nil {
			t.Fatalf("insert %d rows: %v", n, err)
		}
		err = find.Query(t.Context(), tx, ids, func(r *sql.Rows) error {
			var id int
			err := r.Scan(&id)
			got = append(got, id)
			return err
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("query for %d rows: found %v (error %v), want %v", n, got, err, want)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
}

// The class of an error decides about retries. A wrong class would lose messages
// or store them twice.
func TestClassify(t *testing.T) {
	my := func(n uint16) error { return fmt.Errorf("insert: %w", &client.MySQLError{Number: n}) }
	for _, c := range []struct {
		what string
		err  error
		want Class
	}{
		{"nil", nil, Permanent},
		{"duplicate key", my(1062), Duplicate},
		{"lock wait timeout", my(1205), LockTimeout},
		{"deadlock", my(1213), Retryable},
		{"too many connections", my(1040), Retryable},
		{"disk full", my(1021), Transient},
		{"read-only server", my(1290), Transient},
		{"syntax error", my(1064), Permanent},
		{"broken connection", client.ErrInvalidConn, Disconnected},
		{"deadline", context.DeadlineExceeded, Disconnected},
		{"failed commit", &CommitError{driver.ErrBadConn}, Disconnected},
		{"canceled", context.Canceled, Permanent},
	} {
		if got := mysql().Classify(c.err); got != c.want {
			t.Errorf("mysql, %s: Classify(%v) = %d, want %d", c.what, c.err, got, c.want)
		}
	}
	db := openTest(t, config(t))
	_, err := db.Writer.Exec(`INSERT INTO items (id) VALUES (1), (1)`)
	if !db.IsDuplicate(err) {
		t.Errorf("sqlite, duplicate key: Classify(%v) = %d, want %d", err, db.Classify(err), Duplicate)
	}
	_, err = db.Writer.Exec(`INSERT INTO nothing VALUES (1)`)
	if got := db.Classify(err); err == nil || got != Permanent {
		t.Errorf("sqlite, no such table: Classify(%v) = %d, want %d", err, got, Permanent)
	}
}

// checkpoint shrinks a write-ahead log that is larger than bound.
func TestCheckpoint(t *testing.T) {
	c := config(t)
	db := openTest(t, c)
	if _, err := db.Writer.Exec(`PRAGMA wal_autocheckpoint(0)`); err != nil {
		t.Fatal(err)
	}
	wal := strings.TrimPrefix(c.URL, "sqlite:") + "-wal"
	size := func() int64 {
		st, err := os.Stat(wal)
		if err != nil {
			t.Fatal(err)
		}
		return st.Size()
	}
	const bound = 4 << 20
	for size() <= bound {
		if _, err := db.Writer.Exec(`INSERT INTO items (body) VALUES (?)`, make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := checkpoint(t.Context(), db, wal, bound); err != nil {
		t.Fatal(err)
	}
	if n := size(); n > bound/2 {
		t.Errorf("write-ahead log after the checkpoint: %d bytes, want at most %d", n, bound/2)
	}
	if _, err := db.Writer.Exec(`INSERT INTO items (body) VALUES ('after')`); err != nil {
		t.Errorf("write after the checkpoint: %v", err)
	}
}
