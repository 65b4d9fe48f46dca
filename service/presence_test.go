package service_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"chatd/proto"
)

// state is what a user sees of another: FIND_USER says it of friends.
func (w *wire) state(id int64) string {
	w.tb.Helper()
	return w.ok(obj{"msgid": proto.FIND_USER, "userid": id}).str("state")
}

func (w *wire) presence(id int64, state string) {
	w.tb.Helper()
	f := w.op(proto.PRESENCE)
	if f.int("id") != id || f.str("state") != state {
		w.fatalf("%v, want %d %s", f, id, state)
	}
}

// Friends are told when a user comes, at once, and when the user has gone,
// after the grace; a second session and a reconnect within the grace are no
// news. Each PRESENCE is the next one: anything between would be seen.
func TestPresence(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) { s.service.Presence.Grace = 200 * time.Millisecond })
	ids := n.users("anna", "berta", "stranger")
	n.befriend(ids[0], ids[1])
	a, c := n.login(ids[0]), n.login(ids[2])
	b := n.login(ids[1])
	a.presence(ids[1], "online")
	if s := a.state(ids[1]); s != "online" {
		t.Errorf("state %q", s)
	}
	b2 := n.login(ids[1], obj{"device": "two"})
	b.close()
	n.settled(3)
	b2.close()
	a.presence(ids[1], "offline")
	if s := a.state(ids[1]); s != "offline" {
		t.Errorf("state %q", s)
	}
	n.login(ids[1])
	a.presence(ids[1], "online")
	c.barrier()
	c.nothing(proto.PRESENCE)
	if f := n.login(ids[1]).welcome.list("friends"); len(f) != 1 || f[0].str("state") != "online" {
		t.Errorf("friends %v", f)
	}
}

// A reconnect within the grace is no news: what comes next is about others.
func TestReconnectIsNoNews(t *testing.T) {
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
			t.Errorf("within the grace: %q", s)
		}
		b = n.login(ids[1])
	}
	n.login(ids[2])
	a.presence(ids[2], "online")
}

// Friends come and go at once on both sides, everywhere, and stay so.
func TestFriends(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	a, b, b2 := n.login(ids[0]), n.login(ids[1]), n.login(ids[1], obj{"device": "two"})
	if s := a.state(ids[1]); s != "" {
		t.Errorf("a stranger's state: %q", s)
	}
	if f := a.ok(obj{"msgid": proto.ADD_FRIEND, "friendid": ids[1]}); f.str("state") != "online" || f.str("name") != "berta" {
		t.Errorf("%v", f)
	}
	for _, w := range []*wire{b, b2} {
		if f := w.op(proto.ADD_FRIEND); f.int("id") != ids[0] || f.str("name") != "anna" {
			t.Errorf("%v", f)
		}
		w.presence(ids[0], "online")
	}
	b.refused(proto.AlreadySo, obj{"msgid": proto.ADD_FRIEND, "friendid": ids[0]})
	if f := n.login(ids[1], obj{"device": "three"}).welcome.list("friends"); len(f) != 1 || f[0].int("id") != ids[0] {
		t.Errorf("friends %v", f)
	}
	b.ok(obj{"msgid": proto.DEL_FRIEND, "friendid": ids[0]})
	if f := a.op(proto.DEL_FRIEND); f.int("id") != ids[1] {
		t.Errorf("%v", f)
	}
	if f := b2.op(proto.DEL_FRIEND); f.int("id") != ids[0] {
		t.Errorf("%v", f)
	}
	a.refused(proto.AlreadySo, obj{"msgid": proto.DEL_FRIEND, "friendid": ids[1]})
	a.say(with(ids[1]), "strangers may write")
	b.has(with(ids[0]), 1, 1)
}

// Whom a user blocks can't write, befriend or hint, and sees the user as
// offline, whatever they did before; the other direction is free, groups too.
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
		t.Errorf("%v", f)
	}

	a.ok(obj{"msgid": proto.BLOCK, "userid": ids[1], "on": true})
	f := b.op(proto.PRESENCE)
	if f.str("state") == "online" { // the two had come at about the same time
		f = b.op(proto.PRESENCE)
	}
	if f.int("id") != ids[0] || f.str("state") != "offline" {
		t.Errorf("the blocked one is told %v", f)
	}
	b.refused(proto.NotAllowed, with(ids[0]).chat("blocked"))
	b.refused(proto.NotAllowed, with(ids[0]).chat("blocked").with(obj{"retry": true}))
	b.send(with(ids[0]).event("blocked"))
	b.barrier() // the event has gone its way: it would have been first
	b.send(in(g).event("group"))
	if f := a.op(proto.EVENT); f.str("event") != "group" {
		t.Errorf("%v", f)
	}
	if s := b.state(ids[0]); s != "offline" {
		t.Errorf("the blocked one sees %q", s)
	}
	if s := a.state(ids[1]); s != "online" {
		t.Errorf("the blocker sees %q", s)
	}
	for _, u := range b.ok(obj{"msgid": proto.GROUP_USERS, "groupid": g}).list("users") {
		if u.int("id") == ids[0] && u.str("state") != "offline" {
			t.Errorf("in the group's list: %v", u)
		}
	}
	// Coming back is not told to the blocked one: what comes next is about carla.
	a.close()
	n.settled(1)
	a = n.login(ids[0])
	if f := n.login(ids[1], obj{"device": "two"}).welcome.list("friends"); f[0].str("state") != "offline" {
		t.Errorf("in the list of friends: %v", f)
	}
	n.login(ids[2])
	b.presence(ids[2], "online")
	// The blocker may write, and both may in groups.
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
		t.Errorf("%v", f)
	}
	b.ok(obj{"msgid": proto.ADD_FRIEND, "friendid": ids[0]})
	b.refused(proto.BadRequest, obj{"msgid": proto.BLOCK, "userid": ids[1], "on": true})
}

// A block ahead of any conversation: the first message is refused already.
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
			t.Errorf("a block is no conversation: %v", c)
		}
	}
	a.ok(obj{"msgid": proto.BLOCK, "userid": ids[1], "on": false})
	if seq := b.say(with(ids[0]), "x"); seq != 1 {
		t.Errorf("seq %d", seq)
	}
}

// Conversations come latest first, page by page, each once; a hundred with
// the longest messages still go into frames, which have a bound.
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
			want[in(n.group(anna))] = "" // nothing said in it
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
			t.Fatalf("page %d is empty: %v", pages, f)
		}
		for _, c := range cs {
			id := conv{c.int("peer"), c.int("groupid")}
			if got[id] || c.int("time") > last {
				t.Errorf("%v again, or out of order", id)
			}
			got[id], last = true, c.int("time")
			if m := c.obj("message"); m.str("msg") != want[id] || c.has("message") != (want[id] != "") {
				t.Errorf("conversation %v", id)
			}
		}
		if !f.bool("more") {
			break
		}
		before = obj{"before": last}
	}
	if len(got) != count || pages == 0 {
		t.Errorf("%d conversations on %d pages", len(got), pages+1)
	}
	if f := a.ok(obj{"msgid": proto.CONVERSATIONS, "limit": 1}); !f.bool("more") || len(f.list("conversations")) == 0 {
		t.Errorf("the first page of many: %d, more %v", len(f.list("conversations")), f.bool("more"))
	}
}
