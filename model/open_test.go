package model

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is wrong with a store is told in one line that names it, and nothing
// is left running or locked.
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
			db, err := Open(context.Background(), Options{URL: c.url})
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
	if _, err := Open(context.Background(), Options{URL: "sqlite:" + filepath.Join(dir, "c.db"), Sync: "off"}); err == nil || !strings.Contains(err.Error(), `"off"`) {
		t.Errorf("sync off: %v", err)
	}
}

// An old program must not write to a store whose schema it doesn't know.
func TestNewerSchema(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "chat.db")
	h := newHarness(t, Options{URL: url})
	if _, err := h.sql.Writer.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(context.Background(), Options{URL: url})
	if err == nil || !strings.Contains(err.Error(), "version 99") || !strings.Contains(err.Error(), "the 1 this") {
		t.Errorf("%v", err)
	}
}

// Another program's database must not get our tables.
func TestForeignDatabase(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "chat.db")
	h := newHarness(t, Options{URL: url})
	for _, q := range []string{`DROP TABLE goose_db_version`} {
		if _, err := h.sql.Writer.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(context.Background(), Options{URL: url})
	if err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("%v", err)
	}
}

// Paths with characters that mean something in a URL are paths all the same.
func TestOddPaths(t *testing.T) {
	for _, name := range []string{"a b.db", "a?b=c.db", "a%20b.db", "a#b.db", "聊天.db"} {
		path := filepath.Join(t.TempDir(), name)
		h := newHarness(t, Options{URL: "sqlite:" + path})
		if st, err := os.Stat(path); err != nil || st.Size() == 0 || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, st, err)
		}
		h.user("x")
	}
}

// The epoch stays with the store, and an operator's new one is seen by the
// next start.
func TestEpoch(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		e := h.Epoch()
		if e <= 0 || e >= 1<<53 {
			t.Fatal(e)
		}
		h.reopen()
		if h.Epoch() != e {
			t.Error("the epoch has changed")
		}
		other, err := Open(context.Background(), Options{URL: h.o.URL, Shared: true})
		if err != nil {
			t.Fatal(err)
		}
		n, err := other.NewEpoch(context.Background())
		if err != nil || n == e || other.Epoch() != n {
			t.Error(n, err)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		h.reopen()
		if h.Epoch() != n {
			t.Error("the new epoch is not seen")
		}
	})
}

// An operator's command may come before the daemon's first start, and must
// not migrate under one that runs.
func TestSharedMigrates(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "chat.db")
	for range 2 {
		db, err := Open(context.Background(), Options{URL: url, Shared: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	newHarness(t, Options{URL: url}).user("x")
}

// Reads see with which pragmas they were promised: full means full.
func TestPragmas(t *testing.T) {
	for want, o := range map[string]Options{"2": {}, "1": {Sync: "normal"}} {
		o.URL = "sqlite:" + filepath.Join(t.TempDir(), "chat.db")
		h := newHarness(t, o)
		for q, want := range map[string]string{"synchronous": want, "journal_mode": "wal", "temp_store": "2"} {
			var got string
			if err := h.sql.Writer.Get(&got, "PRAGMA "+q); err != nil || got != want {
				t.Errorf("%s %s, want %s (%v)", q, got, want, err)
			}
		}
		if _, err := h.sql.Reader.Exec(`DELETE FROM users`); err == nil {
			t.Error("a reader can write")
		}
	}
}
