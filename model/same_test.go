package model

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// If the file of a SQLite store is removed or replaced while the store is open, no
// connection creates an empty one, CheckSame says so, and Close saves everything that
// was stored, before and after: at the same place if there is no other file.
func TestFileRemoved(t *testing.T) {
	for _, way := range []string{"removed", "replaced"} {
		t.Run(way, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "chat.db")
			db, err := Open(ctx, Options{DB: "sqlite:" + path})
			want(t, err, nil)
			_, err = db.CreateUser(ctx, "before", "before", "hash")
			want(t, err, nil)
			if same, err := db.CheckSame(ctx); !same || err != nil {
				t.Fatalf("CheckSame of an open store: %t, %v; want true and no error", same, err)
			}
			want(t, os.Remove(path), nil)
			if way == "replaced" {
				want(t, os.WriteFile(path, []byte("another file"), 0o600), nil)
			}
			_, err = db.CreateUser(ctx, "after", "after", "hash")
			want(t, err, nil)
			// New connections find nothing, rather than create an empty database.
			if way == "removed" {
				db.sql.Reader.SetMaxIdleConns(0)
				if _, err := db.UserByNameKey(ctx, "before"); err == nil {
					t.Error("a new connection reads a database that was removed; want an error")
				}
				if _, err := os.Stat(path); err == nil {
					t.Error("a new connection has created the file that was removed")
				}
			}
			if same, err := db.CheckSame(ctx); same || err == nil || !strings.Contains(err.Error(), way) {
				t.Errorf("CheckSame: %t, %v; want false, and an error that says that the file was %s", same, err, way)
			}
			err = db.Close()
			if err == nil || !strings.Contains(err.Error(), "what was in it is in ") {
				t.Fatalf("Close: %v; want an error that says where everything was saved", err)
			}
			_, saved, _ := strings.Cut(err.Error(), "what was in it is in ")
			if (saved == path) != (way == "removed") {
				t.Errorf("the saved file is %s; want it at %s only if there is no other file", saved, path)
			}
			if st, err := os.Stat(saved); err != nil || st.Mode().Perm() != 0o600 {
				t.Fatalf("the saved file: %v, %v; want a file with mode 0600", st, err)
			}
			db, err = Open(ctx, Options{DB: "sqlite:" + saved})
			want(t, err, nil)
			for _, name := range []string{"before", "after"} {
				if _, err := db.UserByNameKey(ctx, name); err != nil {
					t.Errorf("user %s in the saved file: %v; want no error", name, err)
				}
			}
			want(t, db.Close(), nil)
		})
	}
}

// A store that is open finds out that its epoch has changed: it was restored, and
// remembers much that is no longer true.
func TestEpochChanges(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		other, err := Open(ctx, Options{DB: h.o.DB, Shared: true})
		want(t, err, nil)
		_, _, err = other.NewEpoch(ctx)
		want(t, err, nil)
		want(t, other.Close(), nil)
		if same, err := h.CheckSame(ctx); same || err == nil || !strings.Contains(err.Error(), "epoch") {
			t.Errorf("CheckSame after a new epoch: %t, %v; want false, and an error about the epoch", same, err)
		}
	})
}

// A backup that is moved over the file of an open SQLite store has exactly its own users
// afterwards: Close removes the log of the old file, which the next start would otherwise
// write into the backup. What was in the old file is saved. Until then, no connection
// opens the backup with the old file's log.
func TestFileReplacedByStore(t *testing.T) {
	dir := t.TempDir()
	path, backup := filepath.Join(dir, "chat.db"), filepath.Join(dir, "backup.db")
	open := func(path string, users ...string) *DB {
		t.Helper()
		db, err := Open(ctx, Options{DB: "sqlite:" + path})
		want(t, err, nil)
		for _, name := range users {
			_, err = db.CreateUser(ctx, name, name, "hash")
			want(t, err, nil)
		}
		return db
	}
	check := func(path string, users ...string) {
		t.Helper()
		db := open(path)
		var names []string
		want(t, db.sql.Reader.Select(&names, `SELECT name FROM users ORDER BY id`), nil)
		if !slices.Equal(names, users) {
			t.Errorf("users in %s: %q, want %q", filepath.Base(path), names, users)
		}
		var sound string
		if err := db.sql.Reader.Get(&sound, `PRAGMA integrity_check`); err != nil || sound != "ok" {
			t.Errorf("integrity of %s: %q, %v; want ok", filepath.Base(path), sound, err)
		}
		want(t, db.Close(), nil)
	}
	want(t, open(backup, "restored 1", "restored 2", "restored 3").Close(), nil)
	db := open(path, "old 1", "old 2")
	want(t, os.Rename(backup, path), nil)
	_, err := db.CreateUser(ctx, "old 3", "old 3", "hash")
	want(t, err, nil)
	db.sql.Reader.SetMaxIdleConns(0)
	if _, err := db.UserByNameKey(ctx, "old 1"); err == nil || !strings.Contains(err.Error(), "the file was replaced") {
		t.Errorf("a query that needs a new connection: error %v, want that the file was replaced", err)
	}
	err = db.Close()
	if err == nil || !strings.Contains(err.Error(), "what was in it is in ") {
		t.Fatalf("Close: %v; want an error that says where everything was saved", err)
	}
	_, saved, _ := strings.Cut(err.Error(), "what was in it is in ")
	check(path, "restored 1", "restored 2", "restored 3")
	check(saved, "old 1", "old 2", "old 3")
}
