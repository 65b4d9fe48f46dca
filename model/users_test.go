package model

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

var ctx = context.Background()

func want(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%v, want %v", err, want)
	}
}

// Names are unique by key, ids are never given twice, and a name is free
// again once its user is deleted.
func TestUsers(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		id, err := h.CreateUser(ctx, "Ann O'Neil", "ann o'neil", "h1")
		want(t, err, nil)
		_, err = h.CreateUser(ctx, "ANN O'NEIL", "ann o'neil", "h2")
		want(t, err, ErrTaken)
		for _, find := range []func() (User, error){
			func() (User, error) { return h.UserByID(ctx, id) },
			func() (User, error) { return h.UserByNameKey(ctx, "ann o'neil") },
		} {
			u, err := find()
			want(t, err, nil)
			if u != (User{ID: id, Name: "Ann O'Neil", Hash: "h1"}) {
				t.Errorf("%+v", u)
			}
		}
		_, err = h.UserByID(ctx, id+1)
		want(t, err, ErrNotFound)
		_, err = h.UserByNameKey(ctx, "Ann O'Neil")
		want(t, err, ErrNotFound)

		want(t, h.SetHash(ctx, id, "stale", "h3"), nil)
		want(t, h.SetHash(ctx, id, "h1", "h4"), nil)
		if u, _ := h.UserByID(ctx, id); u.Hash != "h4" {
			t.Errorf("hash %s", u.Hash)
		}
		want(t, h.DeleteUser(ctx, id), nil)
		want(t, h.DeleteUser(ctx, id), ErrNotFound)
		again, err := h.CreateUser(ctx, "ann o'neil", "ann o'neil", "h5")
		want(t, err, nil)
		if again <= id {
			t.Errorf("id %d after %d", again, id)
		}
	})
}

// A token finds its device until something ends it.
func TestTokens(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.user("a")
		token := []byte("token 1")
		valid := func(token []byte, device string) {
			t.Helper()
			got, d, err := h.TokenDevice(ctx, token)
			want(t, err, nil)
			if got.ID != u || got.Name != "a" || d != device {
				t.Fatalf("%+v %s", got, d)
			}
		}
		invalid := func(token []byte) {
			t.Helper()
			_, _, err := h.TokenDevice(ctx, token)
			want(t, err, ErrNotFound)
		}
		open := func(device string, token []byte) {
			t.Helper()
			_, err := h.logIn(u, device, token, 8)
			want(t, err, nil)
		}
		invalid(token)
		open("phone", token)
		valid(token, "phone")
		open("phone", []byte("token 2"))
		invalid(token)
		valid([]byte("token 2"), "phone")

		want(t, h.CloseDevice(ctx, []byte("token 2")), nil)
		invalid([]byte("token 2"))

		open("phone", []byte("p"))
		open("pad", []byte("q"))
		others, err := h.ChangePassword(ctx, u, "new hash", "pad", []byte("q2"))
		want(t, err, nil)
		if !slices.Equal(others, []string{"phone"}) {
			t.Error(others)
		}
		invalid([]byte("p"))
		invalid([]byte("q"))
		valid([]byte("q2"), "pad")
		if got, _ := h.UserByID(ctx, u); got.Hash != "new hash" {
			t.Error(got.Hash)
		}

		// Who has proven the old password comes too late.
		_, err = h.OpenDevice(ctx, User{ID: u, Hash: "hash of a"}, "thief", []byte("late"), 8)
		want(t, err, ErrNotFound)

		want(t, h.Ban(ctx, u, true), nil)
		invalid([]byte("q2"))
		_, err = h.logIn(u, "pad", []byte("q3"), 8)
		want(t, err, ErrNotFound)
		want(t, h.Ban(ctx, u, false), nil)
		invalid([]byte("q2"))
		open("pad", []byte("q4"))
		want(t, h.OperatorPassword(ctx, u, "set"), nil)
		invalid([]byte("q4"))
		open("pad", []byte("q5"))
		want(t, h.DeleteUser(ctx, u), nil)
		invalid([]byte("q5"))
		_, err = h.logIn(u, "pad", []byte("q6"), 8)
		want(t, err, ErrNotFound)
		_, err = h.ChangePassword(ctx, u, "x", "pad", []byte("q7"))
		want(t, err, ErrNotFound)
	})
}

// A token ends after 30 days unused, and its use, written later, keeps it.
func TestTokenLife(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.user("a")
		_, err := h.logIn(u, "phone", []byte("t"), 8)
		want(t, err, nil)
		use := func(wanted error) {
			t.Helper()
			_, _, err := h.TokenDevice(ctx, []byte("t"))
			want(t, err, wanted)
			want(t, h.Flush(ctx, u), nil)
		}
		for range 3 {
			h.pass(DefaultTokenLife)
			use(nil)
		}
		// Within a minute nothing is written.
		rows := h.m.cursorRows.Get()
		h.pass(usedEvery - time.Millisecond)
		use(nil)
		if n := h.m.cursorRows.Get() - rows; n != 0 {
			t.Errorf("%d rows written", n)
		}
		h.pass(DefaultTokenLife + time.Millisecond)
		use(ErrNotFound)
	})
}

// A ninth device takes the place of the one unused longest, with its token and
// its cursors; one that is known already takes nobody's.
func TestEviction(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		a := toPeer(u[1], u[0], "a")
		h.store(a)
		for i := range 8 {
			h.pass(time.Minute)
			out, err := h.logIn(u[0], fmt.Sprint("d", i), fmt.Append(nil, "t", i), 8)
			want(t, err, nil)
			if len(out) != 0 {
				t.Fatal(out)
			}
			h.SetDelivered(u[0], fmt.Sprint("d", i), a.Conv, 1)
		}
		h.pass(time.Minute)
		_, _, err := h.TokenDevice(ctx, []byte("t0")) // d1 is unused longest now
		want(t, err, nil)
		out, err := h.logIn(u[0], "d5", []byte("new"), 8)
		want(t, err, nil)
		if len(out) != 0 {
			t.Fatal(out)
		}
		out, err = h.logIn(u[0], "ninth", []byte("ninth"), 8)
		want(t, err, nil)
		if !slices.Equal(out, []string{"d1"}) {
			t.Fatal(out)
		}
		_, _, err = h.TokenDevice(ctx, []byte("t1"))
		want(t, err, ErrNotFound)
		h.SetDelivered(u[0], "d1", a.Conv, 1) // a late receipt of it
		want(t, h.Flush(ctx, u[0]), nil)
		var n int
		want(t, h.sql.Reader.Get(&n, `SELECT COUNT(*) FROM cursors WHERE device = 'd1'`), nil)
		if n != 0 {
			t.Error("cursors of a device that is gone")
		}
	})
}

// What an operator revokes in another process, a daemon learns by asking.
func TestRevocations(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(3)
		other, err := Open(ctx, Options{DB: h.o.DB, Shared: true})
		want(t, err, nil)
		defer other.Close()
		want(t, other.Ban(ctx, u[0], true), nil)
		last, users, err := h.Revocations(ctx, -1)
		want(t, err, nil)
		if last == 0 || users != nil {
			t.Fatal(last, users)
		}
		want(t, other.OperatorPassword(ctx, u[1], "x"), nil)
		want(t, other.DeleteUser(ctx, u[2]), nil)
		want(t, other.Ban(ctx, u[0], false), nil) // ends nothing
		want(t, other.Ban(ctx, 999, true), ErrNotFound)
		next, users, err := h.Revocations(ctx, last)
		want(t, err, nil)
		if !slices.Equal(users, []int64{u[1], u[2]}) {
			t.Fatal(users)
		}
		again, users, err := h.Revocations(ctx, next)
		want(t, err, nil)
		if again != next || users != nil {
			t.Fatal(again, users)
		}
	})
}

// Deleting a user ends friendships, memberships and groups, and keeps what
// was said.
func TestDeleteUser(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(3)
		_, err := h.AddFriend(ctx, u[0], u[1], 10)
		want(t, err, nil)
		own, others := h.group(u[0], u[1]), h.group(u[1], u[0])
		a, b := toPeer(u[0], u[1], "a"), toGroup(u[0], others, "b")
		h.store(a, b)
		before, _, err := h.MemberIDs(ctx, others)
		want(t, err, nil)
		want(t, h.DeleteUser(ctx, u[0]), nil)

		if f, _ := h.Friends(ctx, u[1]); len(f) != 0 {
			t.Error(f)
		}
		_, _, err = h.MemberIDs(ctx, own)
		want(t, err, ErrNotFound)
		version, members, err := h.MemberIDs(ctx, others)
		want(t, err, nil)
		if version <= before || len(members) != 1 || members[0].User != u[1] {
			t.Error(version, members)
		}
		if g, _ := h.Groups(ctx, u[1]); len(g) != 1 || g[0].Count != 1 {
			t.Error(g)
		}
		if l := h.log(a.Conv); len(l) != 1 || l[0].Name != "user0" {
			t.Error(l)
		}
		v, err := h.VisibleRange(ctx, u[1], 0, u[0])
		want(t, err, nil)
		if v.Conv != a.Conv || v.Last != 1 {
			t.Error(v)
		}
		list, _, err := h.Conversations(ctx, u[1], 0, 10)
		want(t, err, nil)
		if len(list) != 2 {
			t.Error(list)
		}
		_, err = h.AddFriend(ctx, u[1], u[0], 10)
		want(t, err, ErrNotFound)
		_, err = h.VisibleRange(ctx, u[2], 0, u[0])
		want(t, err, ErrNotFound)
	})
}
