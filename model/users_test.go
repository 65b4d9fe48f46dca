package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"chatd/model/feed"
)

var ctx = context.Background()

// want fails the test unless err is want, by errors.Is.
func want(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

// Names are unique by their key. IDs are never used again, but the name of a
// deleted user can be registered again.
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
				t.Errorf("found %+v, want user %d with name Ann O'Neil and hash h1", u, id)
			}
		}
		_, err = h.UserByID(ctx, id+1)
		want(t, err, ErrNotFound)
		_, err = h.UserByNameKey(ctx, "Ann O'Neil")
		want(t, err, ErrNotFound)

		want(t, h.SetHash(ctx, id, "stale", "h3"), nil)
		want(t, h.SetHash(ctx, id, "h1", "h4"), nil)
		if u, _ := h.UserByID(ctx, id); u.Hash != "h4" {
			t.Errorf("after SetHash: hash %q, want h4", u.Hash)
		}
		want(t, h.DeleteUser(ctx, id), nil)
		want(t, h.DeleteUser(ctx, id), ErrNotFound)
		again, err := h.CreateUser(ctx, "ann o'neil", "ann o'neil", "h5")
		want(t, err, nil)
		if again <= id {
			t.Errorf("ID of the new user = %d, want above %d, the deleted user's", again, id)
		}
	})
}

// A token is valid until a new login, a logout, a password change, a ban or the
// deletion of the user revokes it.
func TestTokens(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.user("a")
		token := []byte("token 1")
		session := int64(0) // of the last valid
		valid := func(token []byte, device string) {
			t.Helper()
			got, err := h.TokenDevice(ctx, token)
			want(t, err, nil)
			if got.ID != u || got.Name != "a" || got.Device != device {
				t.Fatalf("TokenDevice = %+v, want user %d (a), device %q", got, u, device)
			}
			n, err := h.startSession(token)
			want(t, err, nil)
			if n <= got.Session {
				t.Fatalf("StartSession = %d, want more than %d, the device's last session", n, got.Session)
			}
			session = n
		}
		invalid := func(token []byte) {
			t.Helper()
			_, err := h.TokenDevice(ctx, token)
			want(t, err, ErrNotFound)
			_, err = h.startSession(token)
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

		_, err := h.CloseDevice(ctx, u, "phone", session, []byte("token 2"))
		want(t, err, nil)
		invalid([]byte("token 2"))

		open("phone", []byte("p"))
		open("pad", []byte("q"))
		valid([]byte("q"), "pad")
		_, err = h.ChangePassword(ctx, User{ID: u, Hash: "hash of a"}, "new hash", "pad", session, []byte("q"), []byte("q2"))
		want(t, err, nil)
		invalid([]byte("p"))
		invalid([]byte("q"))
		valid([]byte("q2"), "pad")
		if got, _ := h.UserByID(ctx, u); got.Hash != "new hash" {
			t.Errorf("after ChangePassword: hash %q, want new hash", got.Hash)
		}

		// A login whose old password was checked before the change comes too late.
		_, _, _, err = h.OpenDevice(ctx, User{ID: u, Hash: "hash of a"}, "thief", []byte("late"), 8, connected)
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
		_, err = h.ChangePassword(ctx, User{ID: u}, "x", "pad", session, []byte("q5"), []byte("q7"))
		want(t, err, ErrNotFound)
	})
}

// A token expires when it wasn't used for DefaultTokenLife. Each login extends it,
// and so does a connected session, even before that is written.
func TestTokenLife(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.user("a")
		_, err := h.logIn(u, "phone", []byte("t"), 8)
		want(t, err, nil)
		check := func(wanted error) {
			t.Helper()
			_, err := h.TokenDevice(ctx, []byte("t"))
			want(t, err, wanted)
		}
		for range 3 {
			h.pass(DefaultTokenLife)
			check(nil)
			_, err := h.startSession([]byte("t"))
			want(t, err, nil)
		}
		for _, flush := range []bool{true, false} {
			h.pass(DefaultTokenLife)
			h.SetUsed(u, "phone")
			if flush {
				want(t, h.Flush(ctx, u), nil)
			}
			h.pass(DefaultTokenLife)
			check(nil)
		}
		h.pass(time.Millisecond)
		check(ErrNotFound)
		_, err = h.startSession([]byte("t"))
		want(t, err, ErrNotFound)
	})
}

// With a limit of 8 devices, the ninth evicts the least recently used one with its
// token and cursors. A known device that logs in again evicts none.
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
				t.Fatalf("login of device %d evicted %q, want none", i+1, out)
			}
			h.SetDelivered(u[0], fmt.Sprint("d", i), a.Conv, 1)
		}
		h.pass(time.Minute)
		_, err := h.startSession([]byte("t0"))
		want(t, err, nil)
		h.SetUsed(u[0], "d1") // connected: now d2 is the least recently used
		out, err := h.logIn(u[0], "d5", []byte("new"), 8)
		want(t, err, nil)
		if len(out) != 0 {
			t.Fatalf("login of a known device evicted %q, want none", out)
		}
		out, err = h.logIn(u[0], "ninth", []byte("ninth"), 8)
		want(t, err, nil)
		if !slices.Equal(out, []string{"d2"}) {
			t.Fatalf("login of the ninth device evicted %q, want [d2]", out)
		}
		_, err = h.TokenDevice(ctx, []byte("t2"))
		want(t, err, ErrNotFound)
		h.SetDelivered(u[0], "d2", a.Conv, 1) // a late receipt of the evicted device
		want(t, h.Flush(ctx, u[0]), nil)
		var n int
		want(t, h.sql.Reader.Get(&n, `SELECT COUNT(*) FROM cursors WHERE device = 'd2'`), nil)
		if n != 0 {
			t.Errorf("%d cursors of the evicted device, want 0", n)
		}
	})
}

// Deleting a user removes friendships and memberships and dismisses the user's
// groups. The messages stay.
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
		f := follow(t, h)
		f.seen[others] = 1
		want(t, h.DeleteUser(ctx, u[0]), nil)
		f.look()
		var got feed.Row
		for _, r := range f.rows {
			got.Spans = append(got.Spans, r.Spans...)
			got.Relations, got.Members = append(got.Relations, r.Relations...), append(got.Members, r.Members...)
		}
		slices.SortFunc(got.Spans, func(a, b feed.Span) int { return cmp.Compare(a.Conv, b.Conv) })
		if want := (feed.Row{
			Spans: []feed.Span{{Conv: own, Version: 3, First: 1}, {Conv: others, Version: 3, First: 2, Last: 1}},
			Notices: feed.Notices{
				Relations: []feed.Relation{{What: feed.Unfriended, By: feed.Party{User: u[0], Number: 3}, Other: feed.Party{User: u[1], Number: 2}}},
				Members:   []feed.Member{{Group: others, User: u[0], Version: 3, Last: 1}},
			},
		}); !reflect.DeepEqual(got, want) {
			t.Errorf("the feed has %+v, want %+v", got, want)
		}

		if f, _ := h.Friends(ctx, u[1]); len(f) != 0 {
			t.Errorf("Friends = %v, want none", f)
		}
		_, _, err = h.MemberIDs(ctx, own)
		want(t, err, ErrNotFound)
		version, members, err := h.MemberIDs(ctx, others)
		want(t, err, nil)
		if version <= before || len(members) != 1 || members[0].User != u[1] {
			t.Errorf("MemberIDs = version %d, %v; want a version above %d, and only user %d", version, members, before, u[1])
		}
		if g, _ := h.Groups(ctx, u[1]); len(g) != 1 || g[0].Count != 1 {
			t.Errorf("Groups = %+v, want one with one member", g)
		}
		if l := h.log(a.Conv); len(l) != 1 || l[0].Name != "user0" {
			t.Errorf("log = %+v, want one message of user0", l)
		}
		v, err := h.VisibleRange(ctx, u[1], 0, u[0])
		want(t, err, nil)
		if v.Conv != a.Conv || v.Last != 1 {
			t.Errorf("VisibleRange = %+v, want conversation %d up to seq 1", v, a.Conv)
		}
		list, _, err := h.Conversations(ctx, u[1], 0, 10)
		want(t, err, nil)
		if len(list) != 2 {
			t.Errorf("Conversations = %+v, want two", list)
		}
		_, err = h.AddFriend(ctx, u[1], u[0], 10)
		want(t, err, ErrNotFound)
		_, err = h.VisibleRange(ctx, u[2], 0, u[0])
		want(t, err, ErrNotFound)
	})
}
