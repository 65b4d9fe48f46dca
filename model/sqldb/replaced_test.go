package sqldb

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// openReplaceable opens a new database with one row, and returns it with the path of its
// file. The test closes it.
func openReplaceable(t *testing.T) (db *DB, c Config, path string) {
	t.Helper()
	c = config(t)
	db, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Writer.Exec(`INSERT INTO items (body) VALUES ('x')`); err != nil {
		t.Fatal(err)
	}
	return db, c, strings.TrimPrefix(c.URL, "sqlite:")
}

// rows returns how many rows a database has.
func rows(t *testing.T, db *DB) (n int) {
	t.Helper()
	if err := db.Get(t.Context(), &n, `SELECT COUNT(*) FROM items`); err != nil {
		t.Fatal(err)
	}
	return n
}

// A process that waits for the lock of a database whose file was removed opens the file
// that Close puts back, with everything in it. It doesn't create an empty one meanwhile.
func TestSuccessorWaitsForRemovedFile(t *testing.T) {
	db, c, path := openReplaceable(t)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		db  *DB
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		for {
			next, err := Open(t.Context(), c)
			if err == nil || !strings.Contains(err.Error(), "in use by another process") {
				done <- outcome{next, err}
				return
			}
		}
	}()
	for opened := 1; opened < 2; { // until the goroutine has opened the lock file, too
		opened = 0
		fds, err := filepath.Glob("/proc/self/fd/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil && to == path+".lock" {
				opened++
			}
		}
	}
	if err := db.Close(); err == nil || !strings.HasSuffix(err.Error(), "what was in it is in "+path) {
		t.Errorf("Close: error %v, want that everything is at %s again", err, path)
	}
	next := <-done
	if next.err != nil {
		t.Fatal(next.err)
	}
	if n := rows(t, next.db); n != 1 {
		t.Errorf("the next process finds %d rows, want 1", n)
	}
	if err := next.db.Close(); err != nil {
		t.Error(err)
	}
}

// An operator's command doesn't create an empty file in place of one that was removed
// while chatd uses it: Close couldn't put the file back.
func TestSharedCreatesNoFileInUse(t *testing.T) {
	db, c, path := openReplaceable(t)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	c.Shared = true
	if other, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("Open of a removed file in use: error %v, want that another process uses it", err)
		if err == nil {
			other.Close()
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of a removed file in use has created a file (error %v), want none", err)
	}
	if err := db.Close(); err == nil || !strings.HasSuffix(err.Error(), "what was in it is in "+path) {
		t.Errorf("Close: error %v, want that everything is at %s again", err, path)
	}
}

// If closing fails after the contents of a removed file were saved, Close still puts the
// file back, and names it.
func TestCloseFailsAfterRescue(t *testing.T) {
	db, c, path := openReplaceable(t)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("closing failed")
	closePools := db.close
	db.close = func() error { return errors.Join(closePools(), failed) }
	if err := db.Close(); !errors.Is(err, failed) || !strings.Contains(err.Error(), "what was in it is in "+path) {
		t.Errorf("Close: error %v, want that of closing, and that everything is in %s", err, path)
	}
	db = openTest(t, c)
	if n := rows(t, db); n != 1 {
		t.Errorf("the file that was put back has %d rows, want 1", n)
	}
}

// If the contents of a replaced file can't be saved, Close keeps its log under another
// name, and names it: the next process must not write it into the new file. Logs that
// this process didn't use stay where they are.
func TestRescueFails(t *testing.T) {
	for _, foreign := range []bool{false, true} {
		db, c, path := openReplaceable(t)
		for _, name := range []string{"", "-wal"} {
			if name != "" && !foreign {
				continue
			}
			if err := errors.Join(os.WriteFile(path+".new", nil, 0o600), os.Rename(path+".new", path+name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Writer.Close(); err != nil { // so that rescue fails
			t.Fatal(err)
		}
		err := db.Close()
		if err == nil || !strings.Contains(err.Error(), "saving what was in it failed") {
			t.Fatalf("Close: error %v, want that nothing could be saved", err)
		}
		const log = ".saved-wal-1"
		kept, statErr := os.Stat(path + log)
		if foreign {
			if _, err := os.Stat(path + "-wal"); err != nil || statErr == nil {
				t.Errorf("a log of another process: error %v, and the renamed log: error %v; want it where it was", err, statErr)
			}
			continue
		}
		if statErr != nil || kept.Size() == 0 || !strings.Contains(err.Error(), path+log) {
			t.Errorf("Close: error %v; the renamed log: %v; want one with contents, which the error names", err, statErr)
		}
		if n := rows(t, openTest(t, c)); n != 0 {
			t.Errorf("the new file has %d rows, want none", n)
		}
	}
}
