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

// Open's errors are one line, name the database and the problem, and contain no
// password.
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
		{"unknown scheme", "oracle://scott:tiger@host/x", `unknown kind of database "oracle"`},
		{"no path", "sqlite:", "want the path of a file"},
		{"memory", "sqlite::memory:", "want the path of a file"},
		{"missing folder", "sqlite:" + filepath.Join(dir, "no", "chat.db"), "no does not exist"},
		{"a file as folder", "sqlite:" + filepath.Join(file, "chat.db"), "is not a folder"},
		{"read-only folder", "sqlite:/proc/self/chat.db", "can't create or open the lock file"},
		{"a folder", "sqlite:" + dir, "is a folder"},
		{"not a database", "sqlite:" + write("text", strings.Repeat("no database at all ", 1000)), "is not a SQLite database"},
	} {
		t.Run(c.what, func(t *testing.T) {
			config := config(t)
			config.URL = c.url
			db, err := Open(t.Context(), config)
			if err == nil {
				db.Close()
				t.Fatalf("Open(%q) succeeded, want an error with %q", c.url, c.want)
			}
			if msg := err.Error(); !strings.Contains(msg, c.want) || strings.ContainsAny(msg, "\n") || strings.Contains(msg, "tiger") {
				t.Errorf("Open(%q): error %q, want one line with %q and without the password", c.url, msg, c.want)
			}
			if p, ok := strings.CutPrefix(c.url, "sqlite:/"); ok && !strings.Contains(err.Error(), "sqlite:/"+p) {
				t.Errorf("Open(%q): error %q, want one that names the file", c.url, err)
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

// Open refuses a schema newer than the program's, also with ReadOnly.
func TestOtherSchema(t *testing.T) {
	c := config(t)
	prepare(t, c, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`)
	_, err := Open(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "version 99") || !strings.Contains(err.Error(), "version 1 of this") {
		t.Errorf("newer schema: error %v, want one with both versions", err)
	}
	c.ReadOnly, c.Shared = true, true
	_, err = Open(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "version 99") {
		t.Errorf("newer schema, read-only: error %v, want one with version 99", err)
	}
}

// Open doesn't create tables in the database of another program.
func TestDatabaseOfAnotherProgram(t *testing.T) {
	c := config(t)
	prepare(t, c, `DROP TABLE goose_db_version`)
	_, err := Open(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("tables of another program: error %v, want one that says so", err)
	}
	c.ReadOnly, c.Shared = true, true
	_, err = Open(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "not a chatd database") {
		t.Errorf("tables of another program, read-only: error %v, want that it isn't a chatd database", err)
	}
}

// Paths may contain characters that have a meaning in URLs.
func TestSpecialCharactersInPaths(t *testing.T) {
	for _, name := range []string{"a b.db", "a?b=c.db", "a%20b.db", "a#b.db", "聊天.db"} {
		path := filepath.Join(t.TempDir(), name)
		c := config(t)
		c.URL = "sqlite:" + path
		db := openTest(t, c)
		if st, err := os.Stat(path); err != nil || st.Size() == 0 || st.Mode().Perm() != 0o600 {
			t.Errorf("file %q: %v (error %v), want it to have contents and mode 0600", name, st, err)
		}
		if _, err := db.Writer.Exec(`INSERT INTO items (body) VALUES ('x')`); err != nil {
			t.Errorf("insert into %q: %v", name, err)
		}
	}
}

// An operator's command may run before chatd's first start, and then migrates
// the schema. While chatd runs, it must not migrate.
func TestSharedMigrates(t *testing.T) {
	c := config(t)
	c.Shared = true
	for range 2 {
		prepare(t, c)
	}
	c.Shared = false
	openTest(t, c)
	c.Shared = true
	prepare(t, c) // the schema is up to date, so no lock is needed
	c.Migrations = fstest.MapFS{
		"migrations/sqlite/00001_items.sql": {Data: []byte(schema)},
		"migrations/sqlite/00002_more.sql":  {Data: []byte("-- +goose Up\nCREATE TABLE more (id INTEGER PRIMARY KEY);\n")},
	}
	_, err := Open(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("older schema that a running chatd uses: error %v, want that it is in use", err)
	}
}

// The writing connection has the settings that durability depends on, and reading
// connections can't write.
func TestPragmas(t *testing.T) {
	for sync, want := range map[string]string{"full": "2", "normal": "1"} {
		c := config(t)
		c.Sync = sync
		db := openTest(t, c)
		for q, want := range map[string]string{"synchronous": want, "journal_mode": "wal", "temp_store": "2"} {
			var got string
			if err := db.Writer.Get(&got, "PRAGMA "+q); err != nil || got != want {
				t.Errorf("with Sync %q: PRAGMA %s = %s (error %v), want %s", sync, q, got, err, want)
			}
		}
		if _, err := db.Reader.Exec(`DELETE FROM items`); err == nil {
			t.Error("DELETE on a reading connection succeeded, want an error")
		}
	}
}

// Only the owner can read the files of a database, whatever the umask. If others
// can read the file, Open logs a warning, but uses it.
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
			t.Errorf("file %s: mode %v (error %v), want 0600", f.Name(), info.Mode(), err)
		}
	}
	if got, want := strings.Join(names, " "), "chat.db chat.db-shm chat.db-wal chat.db.lock"; got != want {
		t.Errorf("files = %s, want %s", got, want)
	}
	if log.Len() > 0 {
		t.Errorf("Open with mode 0600 logged %q, want nothing", &log)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	openTest(t, c)
	if got := log.String(); !strings.Contains(got, "chmod 600") || !strings.Contains(got, "rw-r-----") {
		t.Errorf("Open with mode 0640 logged %q, want a warning with the mode and chmod 600", got)
	}
}
