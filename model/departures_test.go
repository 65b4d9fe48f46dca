package model

import (
	"errors"
	"testing"
	"time"
)

// Departures returns each deletion once: to each friend and from each group, with what
// the announcement needs. Old ones are deleted.
func TestDepartures(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(3)
		_, err := h.AddFriend(ctx, u[0], u[1], 10)
		want(t, err, nil)
		_, others := h.group(u[0], u[1]), h.group(u[1], u[0], u[2])
		h.store(toGroup(u[2], others, "a"))
		last, l, err := h.Departures(ctx, -1)
		want(t, err, nil)
		if len(l) != 0 {
			t.Fatalf("Departures(-1) = %v, want none", l)
		}
		want(t, h.DeleteUser(ctx, u[0]), nil)
		next, l, err := h.Departures(ctx, last)
		want(t, err, nil)
		if next <= last || len(l) != 2 || l[0].User != u[0] || l[0].Friend != u[1] || l[0].Left != nil || l[1].User != u[0] || l[1].Left == nil {
			t.Fatalf("Departures(%d) = %d, %+v; want a higher ID, the friend %d and a group", last, next, l, u[1])
		}
		wantChange(t, "the group", l[1].Left, Append{Group: others, Conv: others, Version: 4, Last: 1}, Change{Kind: Left, User: u[0], Count: 2})
		again, l, err := h.Departures(ctx, next)
		want(t, err, nil)
		if again != next || len(l) != 0 {
			t.Errorf("Departures(%d) = %d, %v; want the same ID and none", next, again, l)
		}
		rows := func() (n int) {
			want(t, h.sql.Reader.Get(&n, `SELECT COUNT(*) FROM departures`), nil)
			return n
		}
		h.pass(KeepFeed)
		want(t, h.TrimFeed(ctx), nil)
		if n := rows(); n != 2 {
			t.Errorf("after %s, TrimFeed has left %d departures, want 2", KeepFeed, n)
		}
		h.pass(time.Millisecond)
		want(t, h.TrimFeed(ctx), nil)
		if n := rows(); n != 0 {
			t.Errorf("later, TrimFeed has left %d departures, want none", n)
		}
		_, err = h.AddFriend(ctx, u[1], u[2], 10)
		want(t, err, nil)
		want(t, h.DeleteUser(ctx, u[1]), nil)
		if later, l, err := h.Departures(ctx, next); err != nil || later <= next || len(l) != 1 || l[0].Friend != u[2] {
			t.Errorf("Departures(%d) after trimming = %d, %+v, %v; want a higher ID and only the friend %d: the group is dismissed", next, later, l, err, u[2])
		}
	})
}

// The name of a deleted user stays reserved for as long as the option says. Meanwhile
// nobody finds the user by it.
func TestReservedNames(t *testing.T) {
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			const hold = 30 * 24 * time.Hour
			h := newHarness(t, Options{DB: d.url(t), ReserveNames: hold})
			old := h.user("name")
			h.pass(time.Hour)
			want(t, h.DeleteUser(ctx, old), nil)
			_, err := h.UserByNameKey(ctx, "name")
			want(t, err, ErrNotFound)
			h.pass(hold - time.Millisecond)
			_, err = h.CreateUser(ctx, "name", "name", "hash")
			want(t, err, ErrTaken)
			h.pass(time.Millisecond)
			id := h.user("name")
			u, err := h.UserByNameKey(ctx, "name")
			want(t, err, nil)
			if u.ID != id || id == old {
				t.Errorf("UserByNameKey = user %d, want the new user %d, who isn't the old user %d", u.ID, id, old)
			}
			_, err = h.CreateUser(ctx, "name", "name", "hash")
			want(t, err, ErrTaken)
		})
	}
}

// Names that look like the name of a deleted user stay reserved as long as that name:
// otherwise somebody could pass for the deleted user. UpdateLooks keeps that so.
func TestReservedLooks(t *testing.T) {
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			const hold = 30 * 24 * time.Hour
			h := newHarness(t, Options{DB: d.url(t), ReserveNames: hold, noBackground: true})
			taken := func(when string) {
				t.Helper()
				if _, err := h.CreateUser(ctx, cyrillicCoca, cyrillicCoca, ""); !errors.Is(err, ErrTaken) {
					t.Errorf("%s: a name that looks like a reserved one: error %v, want ErrTaken", when, err)
				}
			}
			old := h.user("coca")
			want(t, h.DeleteUser(ctx, old), nil)
			taken("after the deletion")
			want(t, h.UpdateLooks(ctx, 0), nil)
			taken("after UpdateLooks")
			_, err := h.sql.Writer.Exec(`DELETE FROM looks`)
			want(t, err, nil)
			want(t, h.UpdateLooks(ctx, 0), nil)
			taken("after UpdateLooks of a copied store")
			h.pass(hold)
			h.user(cyrillicCoca)
			_, err = h.CreateUser(ctx, "coca", "coca", "")
			want(t, err, ErrTaken)

			// Another user registers the name: the old user's rows are gone, and stay so.
			gone := h.user("name")
			want(t, h.DeleteUser(ctx, gone), nil)
			h.pass(hold)
			h.user("name")
			want(t, h.UpdateLooks(ctx, 0), nil)
			if n := h.count(`SELECT COUNT(*) FROM looks WHERE user_id = ?`, gone); n != 0 {
				t.Errorf("looks has %d rows of a user whose name another user has taken, want none", n)
			}
		})
	}
}

// Messages and conversations of a deleted user say that the account is gone.
func TestGone(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		a, b := toPeer(u[0], u[1], "a"), toPeer(u[1], u[0], "b")
		h.store(a, b)
		check := func(when string, gone bool) {
			t.Helper()
			if l := h.log(a.Conv); len(l) != 2 || l[0].Gone != gone || l[1].Gone {
				t.Errorf("%s: log = %+v, want Gone %t for the first message, false for the second", when, l, gone)
			}
			list, _, err := h.Conversations(ctx, u[1], 0, 10)
			want(t, err, nil)
			if len(list) != 1 || list[0].Gone != gone || list[0].Name != "user0" {
				t.Errorf("%s: Conversations = %+v, want one with user0 and Gone %t", when, list, gone)
			}
		}
		check("before", false)
		want(t, h.DeleteUser(ctx, u[0]), nil)
		check("after the deletion", true)
		c := toPeer(u[1], u[0], "c")
		h.store(c)
		want(t, c.Err, ErrNotFound)
	})
}
