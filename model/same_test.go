package model

import (
	"os"
	"path/filepath"
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
