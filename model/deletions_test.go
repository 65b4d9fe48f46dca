package model

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"chatd/internal/realservice"
)

// A user with many friends and conversations is deleted in several transactions. If the
// process ends after any of them, the user can't log in or be added any more, and
// FinishDeletions removes the rest. Each friend and group is in the feed once.
func TestDeletionInPages(t *testing.T) {
	const many = 2*deletionPage + 10
	each(t, func(t *testing.T, h *harness) {
		u := h.users(many + 1)
		gone, other := u[0], u[1]
		for _, id := range u[1:] {
			_, err := h.AddFriend(ctx, gone, id, many+1)
			want(t, err, nil)
			g := h.group(id, gone)
			h.store(toPeer(gone, id, "x"))
			h.SetDelivered(gone, "phone", g, 1)
		}
		_, err := h.logIn(gone, "phone", []byte("token"), 10)
		want(t, err, nil)
		f := follow(t, h)
		left := func() int64 {
			return h.count(`SELECT (SELECT COUNT(*) FROM friends WHERE ? IN (user_id, friend_id)) + (SELECT COUNT(*) FROM members WHERE user_id = ?)
				+ (SELECT COUNT(*) FROM cursors WHERE user_id = ?) + (SELECT COUNT(*) FROM devices WHERE user_id = ?)`, gone, gone, gone, gone)
		}
		before := left()
		want(t, h.endAccount(ctx, gone), nil)
		want(t, h.writeOperator(ctx, func(ctx context.Context, tx *sqlx.Tx) (changes, error) {
			c, more, err := h.leavePage(ctx, tx, gone)
			if !more {
				t.Error("the first page is the last one, want others")
			}
			return c, err
		}), nil)
		if n := left(); n >= before || n < before/2 {
			t.Errorf("after the first page, the user has %d of %d rows; want some less", n, before)
		}
		_, err = h.TokenDevice(ctx, []byte("token"))
		want(t, err, ErrNotFound)
		_, err = h.AddFriend(ctx, other, gone, many)
		want(t, err, ErrNotFound)
		_, err = h.JoinGroup(ctx, h.group(other), gone, many, many)
		want(t, err, ErrNotFound)
		want(t, h.DeleteUser(ctx, gone), ErrNotFound)

		// Two nodes continue at the same time.
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if err := h.FinishDeletions(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := left(); n != 0 {
			t.Errorf("after FinishDeletions, the user has %d rows, want none", n)
		}
		if n := h.count(`SELECT COUNT(*) FROM deletions`); n != 0 {
			t.Errorf("%d deletions aren't finished, want none", n)
		}
		f.look()
		friends, groups, ended := make(map[int64]int), make(map[int64]int), 0
		for _, r := range f.rows {
			ended += len(r.Ended)
			for _, x := range r.Relations {
				friends[x.Other.User]++
			}
			for _, m := range r.Members {
				if m.User == gone {
					groups[m.Group]++
				}
			}
		}
		for what, found := range map[string]map[int64]int{"friends": friends, "groups": groups} {
			for id, n := range found {
				if n != 1 {
					t.Errorf("the feed has %s %d %d times, want once", what, id, n)
				}
			}
			if len(found) != many {
				t.Errorf("the feed has %d %s, want %d", len(found), what, many)
			}
		}
		if ended != 1 {
			t.Errorf("the feed has %d ends of sessions, want 1", ended)
		}
		if a := toPeer(other, gone, "y"); true {
			h.store(a)
			want(t, a.Err, ErrNotFound)
		}
	})
}

// A deletion that can't be finished doesn't keep others from being finished.
func TestDeletionsAfterFailure(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(3)
		g := h.group(u[2], u[1])
		want(t, h.endAccount(ctx, u[0]), nil)
		want(t, h.endAccount(ctx, u[1]), nil)
		const nowhere = 1 << 40 // a group that doesn't exist
		_, err := h.sql.Writer.Exec(`INSERT INTO members (conversation_id, user_id, role, joined_seq) VALUES (?, ?, 0, 0)`, int64(nowhere), u[0])
		want(t, err, nil)
		if err := h.FinishDeletions(ctx); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("user %d", u[0])) {
			t.Errorf("FinishDeletions: error %v, want one about user %d", err, u[0])
		}
		if n := h.count(`SELECT COUNT(*) FROM members WHERE conversation_id = ? AND user_id = ?`, g, u[1]); n != 0 {
			t.Error("the second user is still a member of a group, want the deletion finished")
		}
		if n := h.count(`SELECT COUNT(*) FROM deletions`); n != 1 {
			t.Errorf("%d deletions aren't finished, want 1", n)
		}
		ended, end := context.WithCancel(ctx)
		end()
		if err := h.FinishDeletions(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("FinishDeletions with a context that has ended: error %v, want context.Canceled", err)
		}
	})
}

// The deletion of a user locks the rows of users in the order of their IDs, as all
// transactions do. Otherwise it deadlocks with changes between two users: here, it would
// hold the deleted user's row while it waits for a friend's.
func TestDeletionLocksInOrder(t *testing.T) {
	h := newHarness(t, Options{DB: realservice.MariaDB(t), noBackground: true})
	u := h.users(3)
	for _, friend := range u[:2] {
		_, err := h.AddFriend(ctx, u[2], friend, 10)
		want(t, err, nil)
	}
	want(t, h.endAccount(ctx, u[2]), nil)
	tx, err := h.sql.Writer.Beginx()
	want(t, err, nil)
	defer tx.Rollback()
	want(t, h.lockUsers(ctx, tx, u[1]), nil)
	done := make(chan error, 1)
	go func() { done <- h.FinishDeletions(ctx) }()
	for waiting := 0; waiting == 0; {
		want(t, h.sql.Reader.Get(&waiting, `SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'`), nil)
		select {
		case err := <-done:
			t.Fatalf("FinishDeletions returned (error %v) while a friend's row was locked, want it to wait", err)
		case <-time.After(200 * time.Millisecond): // the server keeps the table of transactions while it is read more often
		}
	}
	var id int64
	if err := tx.Get(&id, `SELECT id FROM users WHERE id = ? FOR UPDATE NOWAIT`, u[2]); err != nil {
		t.Errorf("locking the deleted user's row, after that of a friend for whom the deletion waits: error %v, want none", err)
	}
	want(t, tx.Rollback(), nil)
	want(t, <-done, nil)
	if n := h.count(`SELECT COUNT(*) FROM friends`); n != 0 {
		t.Errorf("the deleted user still has %d rows of friends, want none", n)
	}
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
