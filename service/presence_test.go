package service_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"chatd/proto"
	"chatd/service/bus"
)

// state returns the state of a friend, from FIND_USER. It is "" for strangers.
func (w *wire) state(id int64) string {
	w.tb.Helper()
	return w.ok(obj{"msgid": proto.FIND_USER, "userid": id}).str("state")
}

// presence waits for the next PRESENCE, which must have this id and state.
func (w *wire) presence(id int64, state string) {
	w.tb.Helper()
	f := w.op(proto.PRESENCE)
	if f.int("id") != id || f.str("state") != state {
		w.fatalf("got %v, want id %d and state %s", f, id, state)
	}
}

// Friends are notified at once when a user goes online, and after Grace when the
// user goes offline. A second session causes no notice. Strangers are never
// notified.
func TestPresence(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) { s.service.Presence.Grace = 200 * time.Millisecond })
	ids := n.users("anna", "berta", "stranger")
	n.befriend(ids[0], ids[1])
	a, c := n.login(ids[0]), n.login(ids[2])
	b := n.login(ids[1])
	a.presence(ids[1], "online")
	if s := a.state(ids[1]); s != "online" {
		t.Errorf("state of an online friend is %q, want online", s)
	}
	b2 := n.login(ids[1], obj{"device": "two"})
	b.close()
	n.settled(3)
	b2.close()
	a.presence(ids[1], "offline")
	if s := a.state(ids[1]); s != "offline" {
		t.Errorf("state of an offline friend is %q, want offline", s)
	}
	n.login(ids[1])
	a.presence(ids[1], "online")
	c.barrier()
	c.nothing(proto.PRESENCE)
	if f := n.login(ids[1]).welcome.list("friends"); len(f) != 1 || f[0].str("state") != "online" {
		t.Errorf("LOGIN_ACK has friends %v, want one who is online", f)
	}
}

// A reconnect within Grace causes no notice: the next one is about another user.
func TestReconnectWithinGrace(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) { s.service.Presence.Grace = time.Minute })
	ids := n.users("anna", "berta", "carla")
	n.befriend(ids[0], ids[1])
	n.befriend(ids[0], ids[2])
	a, b := n.login(ids[0]), n.login(ids[1])
	a.presence(ids[1], "online")
	for range 5 {
		b.close()
		n.settled(1)
		if s := a.state(ids[1]); s != "online" {
			t.Errorf("state within Grace is %q, want online", s)
		}
		b = n.login(ids[1])
	}
	n.login(ids[2])
	a.presence(ids[2], "online")
}

// Adding and removing a friend takes effect for both users at once, on all
// devices.
func TestFriends(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	a, b, b2 := n.login(ids[0]), n.login(ids[1]), n.login(ids[1], obj{"device": "two"})
	if s := a.state(ids[1]); s != "" {
		t.Errorf("a stranger's state is %q, want none", s)
	}
	if f := a.ok(obj{"msgid": proto.ADD_FRIEND, "friendid": ids[1]}); f.str("state") != "online" || f.str("name") != "berta" {
		t.Errorf("ADD_FRIEND got %v, want name berta and state online", f)
	}
	for _, w := range []*wire{b, b2} {
		if f := w.op(proto.ADD_FRIEND); f.int("id") != ids[0] || f.str("name") != "anna" {
			t.Errorf("the new friend got %v, want id %d and name anna", f, ids[0])
		}
		w.presence(ids[0], "online")
	}
	b.refused(proto.AlreadySo, obj{"msgid": proto.ADD_FRIEND, "friendid": ids[0]})
	if f := n.login(ids[1], obj{"device": "three"}).welcome.list("friends"); len(f) != 1 || f[0].int("id") != ids[0] {
		t.Errorf("LOGIN_ACK has friends %v, want only user %d", f, ids[0])
	}
	b.ok(obj{"msgid": proto.DEL_FRIEND, "friendid": ids[0]})
	if f := a.op(proto.DEL_FRIEND); f.int("id") != ids[1] {
		t.Errorf("the former friend got %v, want id %d", f, ids[1])
	}
	if f := b2.op(proto.DEL_FRIEND); f.int("id") != ids[0] {
		t.Errorf("the user's other device got %v, want id %d", f, ids[0])
	}
	a.refused(proto.AlreadySo, obj{"msgid": proto.DEL_FRIEND, "friendid": ids[1]})
	a.say(with(ids[1]), "strangers may write")
	b.has(with(ids[0]), 1, 1)
}

// A blocked user can't send messages or events to the user who has blocked
// them, or add them as a friend, and sees them as offline. The other direction
// and groups aren't affected.
func TestBlock(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) { s.service.Presence.Grace = time.Millisecond })
	ids := n.users("anna", "berta", "carla")
	n.befriend(ids[0], ids[1])
	n.befriend(ids[1], ids[2])
	g := n.group(ids...)
	a, b := n.login(ids[0]), n.login(ids[1])
	a.presence(ids[1], "online")
	b.say(with(ids[0]), "before")
	b.send(with(ids[0]).event("before"))
	if f := a.op(proto.EVENT); f.str("event") != "before" {
		t.Errorf("got %v, want the event sent before the block", f)
	}

	a.ok(obj{"msgid": proto.BLOCK, "userid": ids[1], "on": true})
	f := b.op(proto.PRESENCE)
	if f.str("state") == "online" { // from anna's login, which may arrive after berta's
		f = b.op(proto.PRESENCE)
	}
	if f.int("id") != ids[0] || f.str("state") != "offline" {
		t.Errorf("the blocked user got %v, want id %d and state offline", f, ids[0])
	}
	b.refused(proto.NotAllowed, with(ids[0]).chat("blocked"))
	b.refused(proto.NotAllowed, with(ids[0]).chat("blocked").with(obj{"retry": true}))
	b.send(with(ids[0]).event("blocked"))
	b.barrier() // the blocked event has been handled; it would arrive before the next one
	b.send(in(g).event("group"))
	if f := a.op(proto.EVENT); f.str("event") != "group" {
		t.Errorf("got %v, want the group event", f)
	}
	if s := b.state(ids[0]); s != "offline" {
		t.Errorf("the blocked user sees state %q, want offline", s)
	}
	if s := a.state(ids[1]); s != "online" {
		t.Errorf("the blocking user sees state %q, want online", s)
	}
	for _, u := range b.ok(obj{"msgid": proto.GROUP_USERS, "groupid": g}).list("users") {
		if u.int("id") == ids[0] && u.str("state") != "offline" {
			t.Errorf("GROUP_USERS has %v for the blocked user, want state offline", u)
		}
	}
	// The blocked user gets no notice of anna's login: the next one is about
	// carla.
	a.close()
	n.settled(1)
	a = n.login(ids[0])
	if f := n.login(ids[1], obj{"device": "two"}).welcome.list("friends"); f[0].str("state") != "offline" {
		t.Errorf("LOGIN_ACK of the blocked user has friends %v, want the first offline", f)
	}
	n.login(ids[2])
	b.presence(ids[2], "online")
	// anna may send to berta, and both may send to the group.
	a.say(with(ids[1]), "listen")
	b.has(with(ids[0]), 1, 2)
	b.say(in(g), "x")
	a.has(in(g), 1, 1)
	b.ok(obj{"msgid": proto.DEL_FRIEND, "friendid": ids[0]})
	b.refused(proto.NotAllowed, obj{"msgid": proto.ADD_FRIEND, "friendid": ids[0]})

	a.ok(obj{"msgid": proto.BLOCK, "userid": ids[1], "on": false})
	b.say(with(ids[0]), "again")
	b.send(with(ids[0]).event("again"))
	if f := a.op(proto.EVENT); f.str("event") != "again" {
		t.Errorf("got %v, want the event sent after the unblock", f)
	}
	b.ok(obj{"msgid": proto.ADD_FRIEND, "friendid": ids[0]})
	b.refused(proto.BadRequest, obj{"msgid": proto.BLOCK, "userid": ids[1], "on": true})
}

// A user may block a stranger: then already the first message is refused.
func TestBlockStranger(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	a, b := n.login(ids[0]), n.login(ids[1])
	a.ok(obj{"msgid": proto.BLOCK, "userid": ids[1], "on": true})
	b.refused(proto.NotAllowed, with(ids[0]).chat("x"))
	b.refused(proto.NotAllowed, obj{"msgid": proto.ADD_FRIEND, "friendid": ids[0]})
	for _, w := range []*wire{a, b} {
		if c := w.ok(obj{"msgid": proto.CONVERSATIONS}).list("conversations"); len(c) != 0 {
			t.Errorf("CONVERSATIONS got %v, want none without messages", c)
		}
	}
	a.ok(obj{"msgid": proto.BLOCK, "userid": ids[1], "on": false})
	if seq := b.say(with(ids[0]), "x"); seq != 1 {
		t.Errorf("the first message after the unblock has seq %d, want 1", seq)
	}
}

// CONVERSATIONS returns each conversation once, latest first, in pages. With
// messages of maximum size, a page has fewer conversations than asked for,
// because frames have a maximum size.
func TestConversations(t *testing.T) {
	t.Parallel()
	const count = 100
	n := serve(t)
	anna := n.user("anna")
	a := n.login(anna)
	text := strings.Repeat("x", 32<<10-10)
	want := make(map[conv]string)
	for i := range count {
		id := n.user(fmt.Sprint("user ", i))
		if i%10 == 0 {
			want[in(n.group(anna))] = "" // a group without messages
			continue
		}
		m := fmt.Sprint(i, " ", text)
		a.say(with(id), m)
		want[with(id)] = m
	}
	got := make(map[conv]bool)
	pages, before := 0, obj{}
	for last := int64(proto.MaxID); ; pages++ {
		f := a.ok(obj{"msgid": proto.CONVERSATIONS, "limit": 100}.with(before))
		cs := f.list("conversations")
		if len(cs) == 0 {
			t.Fatalf("page %d is empty, want conversations: %v", pages, f)
		}
		for _, c := range cs {
			id := conv{c.int("peer"), c.int("groupid")}
			if got[id] || c.int("time") > last {
				t.Errorf("conversation %v with time %d comes again or after time %d, want each once, latest first", id, c.int("time"), last)
			}
			got[id], last = true, c.int("time")
			if m := c.obj("message"); m.str("msg") != want[id] || c.has("message") != (want[id] != "") {
				t.Errorf("conversation %v has message %.20q…, want %.20q…", id, m.str("msg"), want[id])
			}
		}
		if !f.bool("more") {
			break
		}
		before = obj{"before": last}
	}
	if len(got) != count || pages == 0 {
		t.Errorf("%d conversations on %d pages, want %d on more than one page", len(got), pages+1, count)
	}
	if f := a.ok(obj{"msgid": proto.CONVERSATIONS, "limit": 1}); !f.bool("more") || len(f.list("conversations")) == 0 {
		t.Errorf("with limit 1: %d conversations, more %v; want at least 1, and more", len(f.list("conversations")), f.bool("more"))
	}
}

// lateBus is a bus on which one subscription becomes active only when the test
// says so.
type lateBus struct {
	bus.Bus
	late   bus.Channel
	active chan struct{} // closed when the subscription is active
}

func (b *lateBus) Subscribe(c bus.Channel) {
	if c != b.late {
		b.Bus.Subscribe(c)
	}
}

func (b *lateBus) Unsubscribe(c bus.Channel) {
	if c != b.late {
		b.Bus.Unsubscribe(c)
	}
}

func (b *lateBus) Await(ctx context.Context) error {
	select {
	case <-b.active:
		return b.Bus.Await(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A subscription may take longer than a login waits for it: when a node has died,
// all its users come at once. A friend who logs in meanwhile is shown online once
// the subscription is active.
func TestLateSubscription(t *testing.T) {
	t.Parallel()
	late := &lateBus{active: make(chan struct{})}
	one := serve(t)
	ids := one.users("anna", "berta")
	one.befriend(ids[0], ids[1])
	late.late = bus.User(ids[1])
	two := one.second(func(s *setup) {
		s.bus = func(b bus.Bus) bus.Bus { late.Bus = b; return late }
		s.service.Presence.SweepEvery = 100 * time.Millisecond
	})
	berta := two.login(ids[1])
	one.login(ids[0]) // berta's node gets no hint
	two.knows(2)
	berta.barrier()
	berta.nothing(proto.PRESENCE)
	late.Bus.Subscribe(late.late)
	close(late.active)
	berta.presence(ids[0], "online")
}
