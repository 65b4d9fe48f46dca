package service_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/service"
)

// Every op does what the protocol says: it has the right fields in its answer
// and notifies the right sessions. (wire checks that there are no other
// fields.)
func TestEveryOp(t *testing.T) {
	t.Parallel()
	n := serve(t)
	a, b := n.dial(), n.dial()
	seen := make(map[proto.Op]bool)
	note := func(w *wire, f frame) frame { seen[f.op()] = true; return f }
	ok := func(w *wire, r obj) frame { t.Helper(); return note(w, w.ok(r)) }
	op := func(w *wire, o proto.Op) frame { t.Helper(); return note(w, w.op(o)) }
	eq := func(what string, got, want any) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}

	ok(a, obj{"msgid": proto.PING})
	anna := ok(a, obj{"msgid": proto.REG, "name": "Anna", "password": secret}).int("id")
	berta := ok(b, obj{"msgid": proto.REG, "name": "berta", "password": secret}).int("id")

	f := ok(a, obj{"msgid": proto.LOGIN, "name": "ANNA", "password": secret})
	eq("name", f.str("name"), "Anna")
	eq("device", f.str("device"), "default")
	eq("node", f.str("node"), "one")
	eq("window", f.int("window"), 256)
	eq("epoch", f.int("epoch"), n.db.Epoch())
	eq("friends, groups, offlinemsg, more", []any{f["friends"], f["groups"], f["offlinemsg"], f["more"]}, "[[] [] [] false]")
	f = ok(b, obj{"msgid": proto.LOGIN, "id": berta, "password": secret, "device": "phone", "brief": true})
	if f.has("friends") || f.has("groups") {
		t.Errorf("LOGIN with brief got %v, want no friends and no groups", f)
	}
	a2 := n.login(anna, obj{"device": "tablet", "ack": true})

	f = ok(a, obj{"msgid": proto.ADD_FRIEND, "friendid": berta})
	eq("friend", []any{f.int("friendid"), f.str("name"), f.str("state")}, []any{berta, "berta", "online"})
	f = op(b, proto.ADD_FRIEND)
	eq("new friend", []any{f.int("id"), f.str("name")}, []any{anna, "Anna"})
	f = op(b, proto.PRESENCE)
	eq("presence", []any{f.int("id"), f.str("state")}, []any{anna, "online"})
	eq("the other device's new friend", op(a2, proto.ADD_FRIEND).int("id"), berta)

	f = ok(a, with(berta).chatID("hi", "c-1"))
	eq("ack", []any{f.str("cid"), f.int("toid"), f.int("seq")}, []any{"c-1", berta, 1})
	for _, w := range []*wire{b, a2} {
		m := op(w, proto.ONE_CHAT)
		eq("push", []any{m.int("id"), m.str("name"), m.int("toid"), m.str("msg"), m.int("seq"), m.str("cid"), m.int("time")},
			[]any{anna, "Anna", berta, "hi", 1, "c-1", f.int("time")})
	}

	b.send(with(anna).receipt(1, obj{"read": true}))
	for _, w := range []*wire{a, a2} {
		f = op(w, proto.RECEIPT)
		eq("receipt", []any{f.int("peer"), f.int("id"), f.int("seq"), f.bool("read")}, []any{berta, berta, 1, true})
	}

	f = ok(a, with(berta).sync())
	eq("sync", []any{f.int("peer"), f.int("first"), f.int("last"), f.bool("more"), len(f.list("messages"))}, []any{berta, 1, 1, false, 1})

	a.send(with(berta).event("typing").with(obj{"data": "…"}))
	f = op(b, proto.EVENT)
	eq("event", []any{f.int("id"), f.str("name"), f.int("toid"), f.str("event"), f.str("data")}, []any{anna, "Anna", berta, "typing", "…"})

	g := ok(a, obj{"msgid": proto.CREATE_GROUP, "groupname": "7 dwarfs", "groupdesc": "mine"}).int("groupid")
	eq("the other device's new group", []any{g, anna}, func() []any { f := op(a2, proto.ADD_GROUP); return []any{f.int("groupid"), f.int("id")} }())
	ok(a, in(g).chat("before"))
	f = ok(b, obj{"msgid": proto.ADD_GROUP, "groupid": g})
	eq("group", []any{f.int("groupid"), f.str("groupname"), f.str("groupdesc"), f.int("seq"), len(f.list("users"))}, []any{g, "7 dwarfs", "mine", 1, 2})
	f = op(a, proto.ADD_GROUP)
	eq("joined", []any{f.int("groupid"), f.int("id"), f.str("name")}, []any{g, berta, "berta"})
	f = ok(b, in(g).chatID("hello", "c-2"))
	eq("group ack", []any{f.str("cid"), f.int("groupid"), f.int("seq")}, []any{"c-2", g, 2})
	m := op(a, proto.GROUP_CHAT)
	eq("group push", []any{m.int("id"), m.str("name"), m.int("groupid"), m.str("msg"), m.int("seq"), m.str("cid"), m.int("time")},
		[]any{berta, "berta", g, "hello", 2, "c-2", f.int("time")})
	b.send(in(g).event("typing"))
	f = op(a, proto.EVENT)
	eq("group event", []any{f.int("groupid"), f.int("id"), f.has("data")}, []any{g, berta, false})

	f = ok(b, obj{"msgid": proto.GROUP_USERS, "groupid": g})
	eq("group users", f["users"], fmt.Sprintf("[map[id:%d name:Anna role:creator state:online] map[id:%d name:berta role:normal state:online]]", anna, berta))
	f = ok(b, obj{"msgid": proto.GROUP_USERS, "groupid": g, "after": anna})
	eq("group users after", []any{len(f.list("users")), f.list("users")[0].int("id"), f.bool("more")}, []any{1, berta, false})

	f = ok(b, obj{"msgid": proto.CONVERSATIONS})
	cs := f.list("conversations")
	eq("conversations", []any{len(cs), f.bool("more")}, []any{2, false})
	eq("group conversation", []any{cs[0].int("groupid"), cs[0].str("name"), cs[0].int("first"), cs[0].int("last"), cs[0].int("read"), cs[0].obj("message").str("msg")},
		[]any{g, "7 dwarfs", 2, 2, 1, "hello"})
	eq("pair conversation", []any{cs[1].int("peer"), cs[1].str("name"), cs[1].int("first"), cs[1].int("last"), cs[1].int("read"), cs[1].obj("message").str("msg")},
		[]any{anna, "Anna", 1, 1, 1, "hi"})
	eq("time", cs[0].int("time"), cs[0].obj("message").int("time"))

	f = ok(a, obj{"msgid": proto.FIND_USER, "name": "BERTA"})
	eq("found", []any{f.int("id"), f.str("name"), f.str("state")}, []any{berta, "berta", "online"})
	if f = ok(a, obj{"msgid": proto.FIND_USER, "userid": n.user("carla")}); f.has("state") {
		t.Errorf("FIND_USER for a stranger got %v, want no state", f)
	}

	f = ok(a, obj{"msgid": proto.BLOCK, "userid": berta, "on": true})
	eq("block", []any{f.int("userid"), f.bool("on")}, []any{berta, true})
	f = op(a2, proto.BLOCK)
	eq("the other device's block", []any{f.int("userid"), f.bool("on")}, []any{berta, true})
	eq("blocked presence", op(b, proto.PRESENCE).str("state"), "offline")
	ok(a, obj{"msgid": proto.BLOCK, "userid": berta, "on": false})
	eq("presence again", op(b, proto.PRESENCE).str("state"), "online")

	f = ok(b, obj{"msgid": proto.LEAVE_GROUP, "groupid": g})
	eq("left", f.int("groupid"), g)
	f = op(a, proto.LEAVE_GROUP)
	eq("leaver", []any{f.int("groupid"), f.int("id")}, []any{g, berta})
	ok(b, obj{"msgid": proto.ADD_GROUP, "groupid": g})
	f = ok(a, obj{"msgid": proto.KICK_MEMBER, "groupid": g, "userid": berta})
	eq("kicked", []any{f.int("groupid"), f.int("userid")}, []any{g, berta})
	f = op(b, proto.LEAVE_GROUP)
	eq("removed", []any{f.int("groupid"), f.int("id")}, []any{g, berta})
	ok(b, obj{"msgid": proto.ADD_GROUP, "groupid": g})
	eq("dismissed", ok(a, obj{"msgid": proto.DISMISS_GROUP, "groupid": g}).int("groupid"), g)
	eq("dismissal", []any{op(b, proto.DISMISS_GROUP).int("groupid"), op(a2, proto.DISMISS_GROUP).int("groupid")}, []any{g, g})

	eq("no friend", ok(a, obj{"msgid": proto.DEL_FRIEND, "friendid": berta}).int("friendid"), berta)
	eq("lost friend", []any{op(b, proto.DEL_FRIEND).int("id"), op(a2, proto.DEL_FRIEND).int("id")}, []any{anna, berta})

	a.send(obj{"msgid": 99})
	op(a, proto.ERROR)
	ok(a, obj{"msgid": proto.PASSWORD, "password": secret, "newpassword": "secret 2"})
	note(a2, a2.kicked())
	ok(a, obj{"msgid": proto.LOGOUT})

	for o := range shapes {
		if !seen[o] {
			t.Errorf("the server hasn't sent %v, want every op to be covered by this test", o)
		}
	}
}

// Requests that can't be served are refused with the right errno, and have no
// effect.
func TestRefusals(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) {
		s.service.People.MaxFriends, s.service.Groups.MaxGroups, s.service.Groups.MaxMembers = 2, 2, 2
	})
	ids := n.users("anna", "berta", "carla", "dora", "emma")
	anna, berta, carla, dora := ids[0], ids[1], ids[2], ids[3]
	const nobody = 1 << 50
	n.befriend(anna, berta)
	n.befriend(anna, carla)
	g := n.group(anna, berta) // full
	g2 := n.group(anna, berta)
	gone := n.group(dora)
	if _, err := n.db.DismissGroup(t.Context(), gone, dora); err != nil {
		t.Fatal(err)
	}
	if _, err := n.db.Block(t.Context(), berta, dora, true); err != nil {
		t.Fatal(err)
	}

	open := n.dial()
	a, b, d := n.login(anna), n.login(berta), n.login(dora)
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		w     *wire
		errno proto.Errno
		req   obj
	}{
		// Before login.
		{open, proto.NotLoggedIn, with(berta).chat("x")},
		{open, proto.NotLoggedIn, in(g).chat("x")},
		{open, proto.NotLoggedIn, with(berta).event("typing")},
		{open, proto.NotLoggedIn, with(berta).receipt(1)},
		{open, proto.NotLoggedIn, with(berta).sync()},
		{open, proto.NotLoggedIn, obj{"msgid": proto.LOGOUT}},
		{open, proto.NotLoggedIn, obj{"msgid": proto.ADD_FRIEND, "friendid": berta}},
		{open, proto.NotLoggedIn, obj{"msgid": proto.DEL_FRIEND, "friendid": berta}},
		{open, proto.NotLoggedIn, obj{"msgid": proto.CREATE_GROUP, "groupname": "g", "groupdesc": ""}},
		{open, proto.NotLoggedIn, obj{"msgid": proto.ADD_GROUP, "groupid": g}},
		{open, proto.NotLoggedIn, obj{"msgid": proto.LEAVE_GROUP, "groupid": g}},
		{open, proto.NotLoggedIn, obj{"msgid": proto.KICK_MEMBER, "groupid": g, "userid": berta}},
		{open, proto.NotLoggedIn, obj{"msgid": proto.DISMISS_GROUP, "groupid": g}},
		{open, proto.NotLoggedIn, obj{"msgid": proto.BLOCK, "userid": berta, "on": true}},
		{open, proto.NotLoggedIn, obj{"msgid": proto.FIND_USER, "userid": berta}},
		{open, proto.NotLoggedIn, obj{"msgid": proto.PASSWORD, "password": secret, "newpassword": "secret 2"}},
		{open, proto.NotLoggedIn, obj{"msgid": proto.GROUP_USERS, "groupid": g}},
		{open, proto.NotLoggedIn, obj{"msgid": proto.CONVERSATIONS}},

		{open, proto.Refused, obj{"msgid": proto.LOGIN, "id": anna, "password": "wrong one"}},
		{open, proto.Refused, obj{"msgid": proto.LOGIN, "id": anna, "password": "x"}},
		{open, proto.Refused, obj{"msgid": proto.LOGIN, "id": nobody, "password": secret}},
		{open, proto.Refused, obj{"msgid": proto.LOGIN, "name": "nobody", "password": secret}},
		{open, proto.Refused, obj{"msgid": proto.LOGIN, "token": "x"}},
		{open, proto.BadRequest, obj{"msgid": proto.LOGIN, "id": anna}},
		{open, proto.BadRequest, obj{"msgid": proto.LOGIN, "id": anna, "name": "anna", "password": secret}},
		{open, proto.BadRequest, obj{"msgid": proto.LOGIN, "id": anna, "password": secret, "device": long(65)}},
		{open, proto.Refused, obj{"msgid": proto.REG, "name": "ANNA", "password": secret}},
		{open, proto.BadRequest, obj{"msgid": proto.REG, "name": "12345", "password": secret}},
		{open, proto.BadRequest, obj{"msgid": proto.REG, "name": " frieda", "password": secret}},
		{open, proto.BadRequest, obj{"msgid": proto.REG, "name": "fri\neda", "password": secret}},
		{open, proto.BadRequest, obj{"msgid": proto.REG, "name": long(51), "password": secret}},
		{open, proto.BadRequest, obj{"msgid": proto.REG, "name": "", "password": secret}},
		{open, proto.BadRequest, obj{"msgid": proto.REG, "name": "frieda", "password": "short"}},
		{open, proto.BadRequest, obj{"msgid": proto.REG, "name": "frieda", "password": long(129)}},

		{a, proto.LoggedIn, obj{"msgid": proto.LOGIN, "id": anna, "password": secret}},
		{a, proto.UnknownOp, obj{"msgid": proto.Op(proto.OpCount)}},
		{a, proto.UnknownOp, obj{"msgid": proto.Op(0)}},
		{a, proto.UnknownOp, obj{"msgid": proto.LOGIN_ACK}}, // what only a server sends

		{a, proto.NotFound, with(nobody).chat("x")},
		{a, proto.NotAllowed, with(berta).chat("x").with(obj{"id": berta})},
		{a, proto.NotAllowed, in(g).chat("x").with(obj{"id": berta})},
		{d, proto.NotAllowed, with(berta).chat("x")}, // blocked
		{a, proto.BadRequest, with(berta).chat("")},
		{a, proto.BadRequest, with(berta).chat(long(32<<10 + 1))},
		{a, proto.BadRequest, with(berta).chatID("x", "")},
		{a, proto.BadRequest, with(berta).chatID("x", long(65))},
		{a, proto.BadRequest, with(0).chat("x")},
		{a, proto.NotFound, in(nobody).chat("x")},
		{a, proto.NotFound, in(gone).chat("x")},
		{d, proto.NotAllowed, in(g).chat("x")},

		{a, proto.NotFound, obj{"msgid": proto.ADD_FRIEND, "friendid": nobody}},
		{a, proto.AlreadySo, obj{"msgid": proto.ADD_FRIEND, "friendid": berta}},
		{a, proto.BadRequest, obj{"msgid": proto.ADD_FRIEND, "friendid": anna}},
		{a, proto.LimitFull, obj{"msgid": proto.ADD_FRIEND, "friendid": dora}},
		{d, proto.LimitFull, obj{"msgid": proto.ADD_FRIEND, "friendid": anna}}, // the other's list
		{d, proto.NotAllowed, obj{"msgid": proto.ADD_FRIEND, "friendid": berta}},
		{a, proto.NotFound, obj{"msgid": proto.DEL_FRIEND, "friendid": nobody}},
		{b, proto.AlreadySo, obj{"msgid": proto.DEL_FRIEND, "friendid": carla}},

		{a, proto.LimitFull, obj{"msgid": proto.CREATE_GROUP, "groupname": "g", "groupdesc": ""}},
		{d, proto.BadRequest, obj{"msgid": proto.CREATE_GROUP, "groupname": "77", "groupdesc": ""}},
		{d, proto.BadRequest, obj{"msgid": proto.CREATE_GROUP, "groupname": "g", "groupdesc": long(201)}},
		{d, proto.BadRequest, obj{"msgid": proto.CREATE_GROUP, "groupname": "g"}},
		{d, proto.LimitFull, obj{"msgid": proto.ADD_GROUP, "groupid": g}},
		{b, proto.AlreadySo, obj{"msgid": proto.ADD_GROUP, "groupid": g}},
		{d, proto.NotFound, obj{"msgid": proto.ADD_GROUP, "groupid": nobody}},
		{d, proto.NotFound, obj{"msgid": proto.ADD_GROUP, "groupid": gone}},
		{a, proto.NotAllowed, obj{"msgid": proto.LEAVE_GROUP, "groupid": g}}, // the creator
		{d, proto.NotAllowed, obj{"msgid": proto.LEAVE_GROUP, "groupid": g}},
		{d, proto.NotFound, obj{"msgid": proto.LEAVE_GROUP, "groupid": gone}},
		{b, proto.NotAllowed, obj{"msgid": proto.KICK_MEMBER, "groupid": g, "userid": anna}},
		{a, proto.NotFound, obj{"msgid": proto.KICK_MEMBER, "groupid": nobody, "userid": berta}},
		{b, proto.NotAllowed, obj{"msgid": proto.DISMISS_GROUP, "groupid": g}},
		{b, proto.NotFound, obj{"msgid": proto.DISMISS_GROUP, "groupid": gone}},
		{d, proto.NotAllowed, obj{"msgid": proto.GROUP_USERS, "groupid": g2}},
		{d, proto.NotFound, obj{"msgid": proto.GROUP_USERS, "groupid": gone}},

		{a, proto.NotFound, with(nobody).sync()},
		{a, proto.NotFound, in(nobody).sync()},
		{d, proto.NotAllowed, in(g).sync()},
		{d, proto.NotFound, in(gone).sync()},
		{a, proto.BadRequest, with(berta).sync(obj{"limit": 0})},
		{a, proto.BadRequest, with(berta).sync(obj{"limit": 201})},
		{a, proto.BadRequest, with(berta).sync(obj{"after": 1, "before": 3})},
		{a, proto.BadRequest, with(berta).sync(obj{"groupid": g})},
		{a, proto.BadRequest, obj{"msgid": proto.SYNC}},
		{a, proto.BadRequest, obj{"msgid": proto.CONVERSATIONS, "limit": 101}},
		{a, proto.BadRequest, with(berta).receipt(0)},
		{d, proto.NotAllowed, in(g).receipt(1)},
		{a, proto.NotFound, in(nobody).receipt(1)},
		{d, proto.NotAllowed, in(g).event("typing")},
		{a, proto.NotFound, in(nobody).event("typing")},
		{a, proto.BadRequest, with(berta).event(long(33))},
		{a, proto.BadRequest, with(berta).event("typing").with(obj{"data": long(1025)})},

		{a, proto.BadRequest, obj{"msgid": proto.BLOCK, "userid": anna, "on": true}},
		{a, proto.NotFound, obj{"msgid": proto.BLOCK, "userid": nobody, "on": true}},
		{a, proto.BadRequest, obj{"msgid": proto.BLOCK, "userid": berta}},
		{a, proto.NotFound, obj{"msgid": proto.FIND_USER, "name": "nobody"}},
		{a, proto.NotFound, obj{"msgid": proto.FIND_USER, "userid": nobody}},
		{a, proto.BadRequest, obj{"msgid": proto.FIND_USER}},
		{a, proto.Refused, obj{"msgid": proto.PASSWORD, "password": "wrong one", "newpassword": "secret 2"}},
		{a, proto.BadRequest, obj{"msgid": proto.PASSWORD, "password": secret, "newpassword": "short"}},
	} {
		f := c.w.call(c.req)
		if proto.Errno(f.int("errno")) != c.errno {
			t.Errorf("%s got %v, want errno %d", c.req.json(), f, c.errno)
		}
		for _, k := range []string{"cid", "toid", "groupid", "friendid", "userid", "peer"} {
			// A refusal repeats the same fields of the request as an ACK.
			if v, ok := c.req[k]; ok && f.has(k) && fmt.Sprint(f[k]) != fmt.Sprint(v) {
				t.Errorf("%s got %v, want %s as in the request", c.req.json(), f, k)
			}
		}
	}
	for _, w := range []*wire{a, b, d} {
		w.barrier()
		w.nothing(proto.ONE_CHAT)
		w.nothing(proto.GROUP_CHAT)
		w.nothing(proto.ADD_FRIEND)
		w.nothing(proto.ADD_GROUP)
	}
	if c := b.history(with(anna)); len(c) != 0 {
		t.Errorf("the log has %v, want no refused messages", c)
	}
}

// A failed login doesn't reveal anything about accounts: the answer is the same
// for an unknown user, a wrong password, a banned or deleted user, and an
// unknown token. (So is its duration: see TestRefusalsCostTheSame.)
func TestFailedLoginRevealsNothing(t *testing.T) {
	t.Parallel()
	n := serve(t)
	anna, banned := n.user("anna"), n.user("banned")
	if err := n.db.Ban(t.Context(), banned, true); err != nil {
		t.Fatal(err)
	}
	deleted := n.user("deleted")
	if err := n.db.DeleteUser(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	w := n.dial()
	var first string
	for _, r := range []obj{
		{"id": anna, "password": "wrong one"},
		{"id": anna, "password": "x"},
		{"name": "anna", "password": "wrong one"},
		{"id": anna + 1000, "password": secret},
		{"name": "nobody", "password": secret},
		{"id": banned, "password": secret},
		{"id": banned, "password": "wrong one"},
		{"id": deleted, "password": secret},
		{"name": "deleted", "password": secret},
		{"token": "x"},
	} {
		f := w.refused(proto.Refused, obj{"msgid": proto.LOGIN}.with(r))
		delete(f, "rid")
		if first == "" {
			first = f.String()
		} else if f.String() != first {
			t.Errorf("%v got %v, want %s as for the other logins", r, f, first)
		}
	}
}

// brokenStore is a store that returns errDisk while broken is true.
type brokenStore struct {
	service.Store
	broken atomic.Bool
}

var errDisk = errors.New("the disk is on fire: /secret/path")

func (s *brokenStore) Append(batch ...*model.Append) error {
	if s.broken.Load() {
		return errDisk
	}
	return s.Store.Append(batch...)
}

func (s *brokenStore) VisibleRange(ctx context.Context, user, group, peer int64) (model.VisibleRange, error) {
	if s.broken.Load() {
		return model.VisibleRange{}, errDisk
	}
	return s.Store.VisibleRange(ctx, user, group, peer)
}

func (s *brokenStore) UserByID(ctx context.Context, id int64) (model.User, error) {
	if s.broken.Load() {
		return model.User{}, errDisk
	}
	return s.Store.UserByID(ctx, id)
}

// If the store fails, requests get errno 10 without the reason. When it works
// again, so do requests.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	st := &brokenStore{}
	n := serve(t, func(s *setup) {
		s.faults = true
		s.store = func(in service.Store) service.Store { st.Store = in; return st }
	})
	ids := n.users("anna", "berta")
	w, b, open := n.login(ids[0]), n.login(ids[1]), n.dial()
	st.broken.Store(true)
	msg := with(ids[1]).chat("x")
	for _, c := range []struct {
		w *wire
		r obj
	}{
		{w, msg}, {w, with(ids[1]).sync()}, {w, obj{"msgid": proto.FIND_USER, "userid": ids[1]}},
		{w, with(ids[1]).receipt(1)},
		{open, obj{"msgid": proto.LOGIN, "id": ids[1], "password": secret}},
	} {
		f := c.w.refused(proto.Unavailable, c.r)
		if strings.Contains(f.String(), "fire") || strings.Contains(f.String(), "secret") {
			t.Errorf("%s got %v, want a refusal without the store's error", c.r.json(), f)
		}
	}
	st.broken.Store(false)
	if f := w.ok(msg.with(obj{"retry": true})); f.int("seq") != 1 {
		t.Errorf("the resent message got %v, want seq 1", f)
	}
	open.login(ids[1], obj{"device": "other"})
	b.has(with(ids[0]), 1, 1)
}

// gatedStore is a store in which looking up users by ID blocks until gate is
// closed.
type gatedStore struct {
	service.Store
	gate    chan struct{}
	waiting atomic.Int32 // number of lookups started
}

func (s *gatedStore) UserByID(ctx context.Context, id int64) (model.User, error) {
	s.waiting.Add(1)
	<-s.gate
	return s.Store.UserByID(ctx, id)
}

// While the append queue is full, messages are refused with errno 9 and
// retry_after. Refused messages aren't stored. If the client waits and resends
// them, all messages are stored in the order of sending.
func TestQueueFull(t *testing.T) {
	t.Parallel()
	const count = 300
	var now *atomicTime
	n := serve(t, func(s *setup) {
		now = standing(s)
		s.service.Session.Window = 1000
		s.model.QueueMessages = 8
	})
	ids := n.users("anna", "berta")
	w := n.login(ids[0])
	reqs := make([]obj, count)
	for i := range reqs {
		reqs[i] = with(ids[1]).chat(fmt.Sprint(i)).with(obj{"rid": i})
	}
	w.send(reqs...) // more than fit into the queue in one turn
	acked := make(map[string]int64)
	var again []obj
	for range reqs {
		switch f := w.op(proto.ONE_CHAT_ACK); proto.Errno(f.int("errno")) {
		case proto.Done:
			acked[f.str("cid")] = f.int("seq")
		case proto.TooFast:
			again = append(again, reqs[f.int("rid")])
		default:
			t.Fatalf("got %v, want errno %d or %d", f, proto.Done, proto.TooFast)
		}
	}
	if len(again) == 0 {
		t.Fatal("no message was refused, want some because the queue is full")
	}
	w.tooFast(time.Second, with(ids[1]).chat("on its way")) // must not overtake the refused messages
	now.add(time.Second)
	for _, r := range again {
		acked[r["cid"].(string)] = w.ok(r).int("seq")
	}
	log := w.history(with(ids[1]))
	if len(log) != count {
		t.Errorf("the log has %d messages, want %d", len(log), count)
	}
	for i, m := range log {
		if acked[m.str("cid")] != m.int("seq") || m.str("msg") != fmt.Sprint(i) {
			t.Errorf("message %d in the log is %v, want text %d and the acknowledged seq %d", i, m, i, acked[m.str("cid")])
		}
	}
}

// While a worker's queue is full, requests are refused at once with errno 9.
// Afterwards they are served again.
func TestLanesFull(t *testing.T) {
	t.Parallel()
	st := &gatedStore{gate: make(chan struct{})}
	n := serve(t, func(s *setup) {
		s.reactor.QuickLanes, s.reactor.LaneQueue = 1, 1
		s.store = func(in service.Store) service.Store { st.Store = in; return st }
	})
	ids := n.users("anna", "berta", "carla")
	var ws []*wire
	for i := range ids {
		w := n.dial()
		w.ok(obj{"msgid": proto.LOGIN, "name": []string{"anna", "berta", "carla"}[i], "password": secret})
		ws = append(ws, w)
	}
	find := obj{"msgid": proto.FIND_USER, "userid": ids[0]}
	first := ws[0].ask(find)
	eventually(t, "the only quick worker to be busy", func() bool { return st.waiting.Load() == 1 })
	second := ws[1].ask(find)
	ws[1].ask(obj{"msgid": proto.PING})
	ws[1].op(proto.PONG) // the second request is in the queue now
	ws[2].refused(proto.TooFast, find)
	close(st.gate)
	for i, rid := range []int64{first, second} {
		if f := ws[i].answer(rid); f.int("errno") != 0 {
			t.Errorf("request %d got %v, want errno 0", i, f)
		}
	}
	ws[2].ok(find)
}

// Events reach exactly the sessions that the receiver has at the moment, and stop when
// the receiver blocks the sender, although the server remembers where it sent the last
// event to.
func TestEventsFollowChanges(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta", "carla")
	a, b, c := n.login(ids[0]), n.login(ids[1]), n.login(ids[2])
	count := 0
	arrives := func(ws ...*wire) {
		t.Helper()
		count++
		name := fmt.Sprint("event ", count)
		a.send(with(ids[1]).event(name))
		for _, w := range ws {
			w.await(name, func(f frame) bool { return f.op() == proto.EVENT && f.str("event") == name })
		}
	}
	arrives(b)
	arrives(b)
	b2 := n.login(ids[1], obj{"device": "two"})
	arrives(b, b2)
	b.close()
	n.settled(3)
	arrives(b2)
	b = n.login(ids[1])
	arrives(b, b2)

	b.ok(obj{"msgid": proto.BLOCK, "userid": ids[0], "on": true})
	for blocked := false; !blocked; { // the loop of the sender hears of the block after the answer to it
		a.send(with(ids[1]).event("blocked"))
		a.barrier()
		c.send(with(ids[1]).event("marker"))
		f := b.op(proto.EVENT)
		if blocked = f.str("event") == "marker"; !blocked {
			b.op(proto.EVENT)
		}
	}
	b.ok(obj{"msgid": proto.BLOCK, "userid": ids[0], "on": false})
	for arrived := false; !arrived; {
		a.send(with(ids[1]).event("unblocked"))
		a.barrier()
		c.send(with(ids[1]).event("marker"))
		if arrived = b.op(proto.EVENT).str("event") == "unblocked"; arrived {
			b.op(proto.EVENT)
		}
	}
	arrives(b, b2)
}
