package model

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"

	"chatd/internal/names"
)

// Cyrillic names that look like "coca" and "coco".
const (
	cyrillicCoca = "\u0441\u043e\u0441\u0430"
	cyrillicCoco = "\u0441\u043e\u0441\u043e"
)

// A new name may not look like an existing one in another script. The name of a
// deleted user, and names of the same script, don't matter.
func TestLookAlikesAreRefused(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		id := h.user("coca")
		_, err := h.CreateUser(ctx, cyrillicCoca, cyrillicCoca, "")
		want(t, err, ErrTaken)
		_, err = h.CreateUser(ctx, strings.ToUpper(cyrillicCoca), cyrillicCoca, "")
		want(t, err, ErrTaken)
		if _, err := h.UserByNameKey(ctx, cyrillicCoca); !errors.Is(err, ErrNotFound) {
			t.Errorf("the refused user is found, error %v; want ErrNotFound", err)
		}
		h.user("modern")
		h.user("modem") // rn looks like m, but both are Latin
		want(t, h.DeleteUser(ctx, id), nil)
		h.user(cyrillicCoca)
		_, err = h.CreateUser(ctx, "coca", "coca", "")
		want(t, err, ErrTaken)
	})
}

// Of two users who register names that look alike at the same time, on two nodes,
// only one succeeds. Other registrations don't suffer.
func TestLookAlikesRace(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		other := h
		if h.sql.Name == "mysql" {
			other = newHarness(t, h.o)
		}
		for i := range 20 {
			var failed [3]error
			var running sync.WaitGroup
			start := make(chan struct{})
			suffix := strings.Repeat("\u2014", i) // a dash, common to all scripts
			for j, name := range []string{"coca" + suffix, cyrillicCoca + suffix, fmt.Sprint("anna", i)} {
				db := []*harness{h, other, other}[j]
				running.Go(func() {
					<-start
					_, failed[j] = db.CreateUser(ctx, name, name, "")
				})
			}
			close(start)
			running.Wait()
			if (failed[0] == nil) == (failed[1] == nil) || failed[0] != nil && !errors.Is(failed[0], ErrTaken) || failed[1] != nil && !errors.Is(failed[1], ErrTaken) {
				t.Fatalf("round %d: registering two names that look alike: %v, %v; want one success and one ErrTaken", i, failed[0], failed[1])
			}
			want(t, failed[2], nil)
		}
	})
}

// clashes formats the clashes of a store.
func clashes(t *testing.T, db *DB, reserved ...string) (all []string) {
	t.Helper()
	l, err := db.Clashes(ctx, reserved)
	want(t, err, nil)
	for _, c := range l {
		s := c.Reserved + ":"
		for _, u := range c.Users {
			s += " " + u.Name
		}
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}

// A store of an earlier release may have users whose names look alike. They stay.
// The next start computes what all names look like, while the store is used. From
// then on, new names can't look like them, and Clashes lists them.
func TestLooksOfExistingUsers(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		old := []string{"coca", cyrillicCoca, "admin", cyrillicCoco, "alice", "alice\u3164", "gone"}
		for i := range 3 * lookPage {
			old = append(old, fmt.Sprint("filler ", i))
		}
		want(t, h.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
			for i, name := range old {
				if _, err := tx.ExecContext(ctx, `INSERT INTO users (name, name_key, password_hash, created_at) VALUES (?, ?, '', 0)`, name, fmt.Sprint(i)); err != nil {
					return err
				}
			}
			// An earlier version of the tables, and a user whom an earlier
			// release deletes.
			_, err := tx.ExecContext(ctx, `INSERT INTO looks (user_id, look, script, version) SELECT id, 'outdated', '', ? FROM users WHERE name IN ('alice', 'gone')`, -1)
			if err == nil {
				_, err = tx.ExecContext(ctx, `UPDATE users SET deleted = 1, name_key = NULL WHERE name = 'gone'`)
			}
			return err
		}), nil)
		want(t, h.UpdateLooks(ctx, 0), nil)
		got := clashes(t, h.DB, "admin", "root")
		if wanted := []string{": alice alice\u3164", ": coca " + cyrillicCoca, "admin: admin"}; !slices.Equal(got, wanted) {
			t.Errorf("Clashes = %q, want %q", got, wanted)
		}
		_, err := h.CreateUser(ctx, "Coco", "coco", "")
		want(t, err, ErrTaken)
		var rows, outdated int
		want(t, h.sql.Reader.Get(&rows, `SELECT COUNT(DISTINCT user_id) FROM looks`), nil)
		want(t, h.sql.Reader.Get(&outdated, `SELECT COUNT(*) FROM looks WHERE version < ?`, names.LookVersion), nil)
		if wanted := len(old) - 1; rows != wanted || outdated != 0 {
			t.Errorf("looks has rows of %d users, and %d outdated rows; want %d and 0", rows, outdated, wanted)
		}
	})
}

// Open computes the looks of existing users in the background.
func TestLooksAreComputedAtStart(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2*lookPage + 1)
		_, err := h.sql.Writer.Exec(`DELETE FROM looks`)
		want(t, err, nil)
		want(t, h.Close(), nil)
		again := newHarness(t, Options{DB: h.o.DB})
		n := 0
		for n < len(u) {
			want(t, again.sql.Reader.Get(&n, `SELECT COUNT(*) FROM looks`), nil)
		}
	})
}
