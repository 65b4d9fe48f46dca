package sqldb

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

// Open's errors are one line that names the database and what is wrong, and
// never a password.
func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	file := write("file", "x")
	for _, c := range []struct {
		what, url, want string
	}{
		{"no scheme", "chat.db", "want sqlite:PATH"},
		{"unknown scheme", "oracle://scott:tiger@host/x", `unknown kind of store "oracle"`},
		{"no path", "sqlite:", "want the path of a file"},
		{"memory", "sqlite::memory:", "want the path of a file"},
		{"missing folder", "sqlite:" + filepath.Join(dir, "no", "chat.db"), "no does not exist"},
		{"a file as folder", "sqlite:" + filepath.Join(file, "chat.db"), "is not a folder"},
		{"read-only folder", "sqlite:/proc/self/chat.db", "cannot write"},
		{"a folder", "sqlite:" + dir, "is a folder"},
		{"not a database", "sqlite:" + write("text", strings.Repeat("no database at all ", 1000)), "is not an SQLite database"},
	} {
		t.Run(c.what, func(t *testing.T) {
			config := config(t)
			config.URL = c.url
			db, err := Open(t.Context(), config)
			if err == nil {
				db.Close()
				t.Fatal("opened")
			}
			if msg := err.Error(); !strings.Contains(msg, c.want) || strings.ContainsAny(msg, "\n") || strings.Contains(msg, "tiger") {
				t.Errorf("%q, want %q", msg, c.want)
			}
			if p, ok := strings.CutPrefix(c.url, "sqlite:/"); ok && !strings.Contains(err.Error(), "sqlite:/"+p) {
				t.Errorf("%q doesn't name the file", err)
			}
		})
	}
}

// prepare opens a database, runs statements, and closes it.
func prepare(t *testing.T, c Config, statements ...string) {
	t.Helper()
	db, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range statements {
		if _, err := db.Writer.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// A program must not use a schema newer than its own, nor, opened to read only,
// an older one.
func TestOtherSchema(t *testing.T) {
	c := config(t)
	prepare(t, c, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`)
	_, err := Open(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "version 99") || !strings.Contains(err.Error(), "the 1 this") {
		t.Errorf("a newer schema: %v, want an error with both versions", err)
	}
	c.ReadOnly, c.Shared = true, true
	_, err = Open(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "version 99") {
		t.Errorf("a newer schema, to read only: %v, want an error with both versions", err)
	}
}

// Another program's database must not get our tables.
func TestDatabaseOfAnotherProgram(t *testing.T) {
	c := config(t)
	prepare(t, c, `DROP TABLE goose_db_version`)
	_, err := Open(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("%v, want an error that says whose tables there are", err)
	}
	c.ReadOnly, c.Shared = true, true
	_, err = Open(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "holds no chat") {
		t.Errorf("to read only: %v, want an error that says what is missing", err)
	}
}

// Paths may hold characters that have a meaning in URLs.
func TestOddPaths(t *testing.T) {
	for _, name := range []string{"a b.db", "a?b=c.db", "a%20b.db", "a#b.db", "聊天.db"} {
		path := filepath.Join(t.TempDir(), name)
		c := config(t)
		c.URL = "sqlite:" + path
		db := openTest(t, c)
		if st, err := os.Stat(path); err != nil || st.Size() == 0 || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v (%v), want a file that only its owner can read", name, st, err)
		}
		if _, err := db.Writer.Exec(`INSERT INTO items (body) VALUES ('x')`); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An operator's command may come before the daemon's first start, and then
// migrates; while a daemon runs it must not.
func TestSharedMigrates(t *testing.T) {
	c := config(t)
	c.Shared = true
	for range 2 {
		prepare(t, c)
	}
	c.Shared = false
	openTest(t, c)
	c.Shared = true
	prepare(t, c) // the schema is current: nothing to lock
	c.Migrations = fstest.MapFS{
		"migrations/sqlite/00001_items.sql": {Data: []byte(schema)},
		"migrations/sqlite/00002_more.sql":  {Data: []byte("-- +goose Up\nCREATE TABLE more (id INTEGER PRIMARY KEY);\n")},
	}
	_, err := Open(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("an older schema that a daemon uses: %v, want an error that says so", err)
	}
}

// The connections have the settings that durability depends on, and readers
// can't write.
func TestPragmas(t *testing.T) {
	for sync, want := range map[string]string{"full": "2", "normal": "1"} {
		c := config(t)
		c.Sync = sync
		db := openTest(t, c)
		for q, want := range map[string]string{"synchronous": want, "journal_mode": "wal", "temp_store": "2"} {
			var got string
			if err := db.Writer.Get(&got, "PRAGMA "+q); err != nil || got != want {
				t.Errorf("sync %s: %s is %s (%v), want %s", sync, q, got, err, want)
			}
		}
		if _, err := db.Reader.Exec(`DELETE FROM items`); err == nil {
			t.Error("a connection for reading has deleted rows")
		}
	}
}

// Only the owner can read the files of a database, whatever the umask. Open
// warns about a file that others can read, and uses it all the same.
func TestFileModes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "chat.db")
	var log bytes.Buffer
	c := config(t)
	c.URL, c.Logger = "sqlite:"+path, slog.New(slog.NewTextHandler(&log, nil))
	old := syscall.Umask(0)
	db, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Writer.Exec(`INSERT INTO items (body) VALUES ('x')`); err != nil {
		t.Fatal(err)
	}
	syscall.Umask(old)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
		if info, err := f.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v (%v), want 0600", f.Name(), info.Mode(), err)
		}
	}
	if got, want := strings.Join(names, " "), "chat.db chat.db-shm chat.db-wal chat.db.lock"; got != want {
		t.Errorf("the files are %s, want %s", got, want)
	}
	if log.Len() > 0 {
		t.Errorf("warned without a reason: %s", &log)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	openTest(t, c)
	if got := log.String(); !strings.Contains(got, "chmod 600") || !strings.Contains(got, "rw-r-----") {
		t.Errorf("logged %q, want a warning with the mode and what to do", got)
	}
}
