package service_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/service"
	"chatd/service/bus"
)

// deaf is a bus on which all published messages are lost while lost is true.
type deaf struct {
	bus.Bus
	lost *atomic.Bool
}

func (d deaf) Publish(ctx context.Context, ms []bus.Message) error {
	if d.lost.Load() {
		return nil
	}
	return d.Bus.Publish(ctx, ms)
}

// quickTick makes nodes find out in a third of a second that another one is dead.
const quickTick = 20 * time.Millisecond

// pairOfNodes starts two nodes with the same bus and store. While lost is true,
// they lose each other's messages. Their repair runs every 100 ms.
func pairOfNodes(t *testing.T, change ...func(*setup)) (one, two *node, lost *atomic.Bool) {
	lost = new(atomic.Bool)
	one = serve(t, append(change, func(s *setup) {
		s.service.Delivery.RepairEvery = 100 * time.Millisecond
		s.service.Presence.Grace = 200 * time.Millisecond
		s.bus = func(b bus.Bus) bus.Bus { return deaf{b, lost} }
	})...)
	return one, one.second(), lost
}

// Users on two nodes share conversations: everyone gets all messages, in the
// same order and without gaps. Retries, events and read receipts work across
// nodes.
func TestNodesShareLogs(t *testing.T) {
	t.Parallel()
	const each = 150
	one, two, _ := pairOfNodes(t)
	ids := one.users("anna", "berta", "carla", "dora")
	g := one.group(ids...)
	a, b, c, d := one.login(ids[0]), two.login(ids[1]), one.login(ids[2]), two.login(ids[3])
	a2 := two.login(ids[0], obj{"device": "two", "ack": true})
	if n := a2.welcome.str("node"); n != "two" {
		t.Errorf("LOGIN_ACK has node %q, want two", n)
	}
	together(
		func() { a.pump(in(g), "a", each, 16); a.pump(with(ids[1]), "a", each, 16) },
		func() { b.pump(in(g), "b", each, 16); b.pump(with(ids[0]), "b", each, 16) },
		func() { c.pump(in(g), "c", each, 1) },
		func() { d.pump(in(g), "d", each, 64) },
	)
	for _, w := range []*wire{a, b, c, d, a2} {
		w.has(in(g), 1, 4*each)
	}
	a.has(with(ids[1]), 1, 2*each)
	a2.has(with(ids[1]), 1, 2*each)
	b.has(with(ids[0]), 1, 2*each)
	if l := d.history(in(g)); len(l) != 4*each {
		t.Errorf("the log has %d messages, want %d", len(l), 4*each)
	}
	// A retry on the other node gets the same answer.
	m := with(ids[1]).chat("x")
	if f, again := a.ok(m), a2.ok(m.with(obj{"retry": true})); f.int("seq") != again.int("seq") || f.int("time") != again.int("time") {
		t.Errorf("the retry on the other node got %v, want the seq and time of %v", again, f)
	}
	a.send(with(ids[1]).event("typing"), in(g).event("waving"))
	for _, want := range []string{"typing", "waving"} {
		if f := b.op(proto.EVENT); f.str("event") != want {
			t.Errorf("got %v, want event %s", f, want)
		}
	}
	b.send(with(ids[0]).receipt(5, obj{"read": true}))
	for _, w := range []*wire{a, a2} {
		if f := w.op(proto.RECEIPT); f.int("seq") != 5 || f.int("peer") != ids[1] {
			t.Errorf("got %v, want a receipt with seq 5 and peer %d", f, ids[1])
		}
	}
}

// If hints are lost, messages only arrive later: repair finds them, in
// pairs and groups, and so does the next hint.
func TestLostHints(t *testing.T) {
	t.Parallel()
	one, two, lost := pairOfNodes(t)
	ids := one.users("anna", "berta")
	g := one.group(ids...)
	a, b := one.login(ids[0]), two.login(ids[1])
	a.say(with(ids[1]), "heard")
	a.say(in(g), "heard")
	b.has(with(ids[0]), 1, 1)
	b.has(in(g), 1, 1)
	for round := range int64(3) {
		lost.Store(true)
		a.say(with(ids[1]), "lost")
		a.say(in(g), "lost")
		if round == 1 { // the next hint shows the gap
			lost.Store(false)
			a.say(with(ids[1]), "heard")
			a.say(in(g), "heard")
		} else {
			b.say(with(ids[0]), "acknowledged after the gap")
			b.say(in(g), "acknowledged after the gap")
		}
		b.has(with(ids[0]), 1, 3+2*round)
		b.has(in(g), 1, 3+2*round)
		a.has(with(ids[1]), 1, 3+2*round)
		a.has(in(g), 1, 3+2*round)
	}
	// The first message of a conversation, of which the other node has never
	// heard.
	lost.Store(true)
	c := one.login(one.user("carla"))
	c.say(with(ids[1]), "lost")
	b.has(with(c.id), 1, 1)
}

// If the result of a retry shows that the other user has sent messages that this
// node has missed, the retrying session gets them.
func TestRetryAfterGap(t *testing.T) {
	t.Parallel()
	one, two, lost := pairOfNodes(t)
	ids := one.users("anna", "berta")
	a, b := two.login(ids[0]), one.login(ids[1])
	m := with(ids[1]).chat("x")
	a.ok(m)
	for round := range int64(5) {
		lost.Store(true)
		last := b.say(with(ids[0]), "lost")
		lost.Store(false)
		a.ok(m.with(obj{"retry": true}))
		a.has(with(ids[1]), 1, last)
		if got := a.pushed[with(ids[1])]; got[len(got)-1] != last {
			t.Fatalf("round %d: pushed %v, want seq %d last", round, got, last)
		}
	}
}

// A page of the log may contain a message whose ACK hasn't been sent yet,
// because the loop hasn't heard of the commit. It isn't pushed to the sending
// device.
func TestPageBeforeACK(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	one, two, lost := pairOfNodes(t, func(s *setup) {
		s.sunk = func(first []byte) {
			if string(first) == "held" {
				<-release
			}
		}
	})
	ids := one.users("anna", "berta")
	a, a2, b := one.login(ids[0]), one.login(ids[0], obj{"device": "two"}), two.login(ids[1])
	lost.Store(true)
	b.say(with(ids[0]), "lost")
	a.send(with(ids[1]).chat("held"))
	a2.has(with(ids[1]), 1, 2) // through the feed
	a.upTo(with(ids[1]), 1)
	close(release)
	a.op(proto.ONE_CHAT_ACK)
	if got := a.pushed[with(ids[1])]; len(got) != 1 {
		t.Errorf("the sending device was pushed seqs %v, want only 1", got)
	}
	b.has(with(ids[0]), 1, 2)
}

// A user with a session on any node is online, and goes offline when the last
// session on all nodes has ended.
func TestPresenceAcrossNodes(t *testing.T) {
	t.Parallel()
	one, two, _ := pairOfNodes(t)
	ids := one.users("anna", "berta", "carla")
	one.befriend(ids[0], ids[1])
	one.befriend(ids[0], ids[2])
	a := one.login(ids[0])
	b := two.login(ids[1])
	a.presence(ids[1], "online")
	if s := a.state(ids[1]); s != "online" {
		t.Errorf("state with a session on node two is %q, want online", s)
	}
	// With sessions on both nodes, the end of one changes nothing.
	b2 := one.login(ids[1], obj{"device": "two"})
	b.close()
	two.settled(0)
	eventually(t, "node two to unsubscribe from the user", func() bool { return !reaches(one, ids[1]) })
	if s := a.state(ids[1]); s != "online" {
		t.Errorf("state with a session on node one is %q, want online", s)
	}
	b2.close()
	for {
		f := a.op(proto.PRESENCE)
		if f.int("id") != ids[1] {
			t.Fatalf("got %v, want a PRESENCE of user %d", f, ids[1])
		}
		if f.str("state") == "offline" {
			break
		}
	}
	if s := a.state(ids[1]); s != "offline" {
		t.Errorf("state without a session is %q, want offline", s)
	}
	two.login(ids[2])
	a.presence(ids[2], "online")
	if f := two.login(ids[0], obj{"device": "two"}).welcome.list("friends"); len(f) != 2 || f[0].str("state") != "offline" || f[1].str("state") != "online" {
		t.Errorf("LOGIN_ACK has friends %v, want the first offline and the second online", f)
	}
}

// reaches reports whether a node other than n has subscribed to a user.
func reaches(n *node, user int64) bool { return n.bus.MayHaveSubscribers(bus.User(user)) }

// A device has at most one session on all nodes: a login ends the device's
// earlier session on any node. A password change ends the sessions of all other
// devices.
func TestReplacedAcrossNodes(t *testing.T) {
	t.Parallel()
	one, two, _ := pairOfNodes(t)
	anna := one.user("anna")
	nodes := []*node{one, two}
	w := one.login(anna)
	for i := range 6 {
		next := nodes[(i+1)%2].login(anna)
		if f := w.kicked(); f == nil || f.str("reason") != proto.Replaced {
			t.Fatalf("the earlier session got %v, want KICK with reason %s", f, proto.Replaced)
		}
		w = next
	}
	w.barrier()
	other := two.login(anna, obj{"device": "two"})
	w.ok(obj{"msgid": proto.PASSWORD, "password": secret, "newpassword": "secret 2"})
	if f := other.kicked(); f == nil || f.str("reason") != proto.LoggedOut {
		t.Errorf("the other device got %v, want KICK with reason %s", f, proto.LoggedOut)
	}
	w.barrier()
	w.nothing(proto.KICK)
}

// All nodes know the same members of a group. If the hint about a change is lost,
// the membership version in the next message shows that there was one: a removed
// member gets no more messages and can't send any.
func TestMembersAcrossNodes(t *testing.T) {
	t.Parallel()
	one, two, lost := pairOfNodes(t)
	ids := one.users("anna", "berta", "carla")
	a, b, c := one.login(ids[0]), two.login(ids[1]), two.login(ids[2])
	g := a.ok(obj{"msgid": proto.CREATE_GROUP, "groupname": "g", "groupdesc": ""}).int("groupid")
	a.say(in(g), "1")
	for _, w := range []*wire{b, c} {
		w.ok(obj{"msgid": proto.ADD_GROUP, "groupid": g})
		if f := a.op(proto.ADD_GROUP); f.int("id") != w.id {
			t.Errorf("got %v, want ADD_GROUP with id %d", f, w.id)
		}
	}
	a.say(in(g), "2")
	b.has(in(g), 2, 2)
	c.has(in(g), 2, 2)
	a.ok(obj{"msgid": proto.KICK_MEMBER, "groupid": g, "userid": ids[1]})
	b.op(proto.LEAVE_GROUP)
	a.say(in(g), "3")
	c.has(in(g), 2, 3)
	b.ok(obj{"msgid": proto.ADD_GROUP, "groupid": g})
	a.say(in(g), "4")
	c.has(in(g), 2, 4)
	b.upTo(in(g), 4)

	lost.Store(true)
	a.ok(obj{"msgid": proto.KICK_MEMBER, "groupid": g, "userid": ids[1]})
	a.say(in(g), "5")
	lost.Store(false)
	a.say(in(g), "6")
	c.has(in(g), 2, 6)
	b.refused(proto.NotAllowed, in(g).chat("x"))
	b.barrier()
	if got := fmt.Sprint(b.pushed[in(g)]); got != "[2 4]" {
		t.Errorf("the removed member was pushed %v, want [2 4]", got)
	}
	b.send(in(g).event("x").with(obj{"rid": 500}))
	if f := b.answer(500); proto.Errno(f.int("errno")) != proto.NotAllowed {
		t.Errorf("an event of the removed member got %v, want errno %d", f, proto.NotAllowed)
	}
	// After joining again, the member doesn't get the messages in between.
	b.ok(obj{"msgid": proto.ADD_GROUP, "groupid": g})
	a.say(in(g), "7")
	b.upTo(in(g), 7)
	if got := fmt.Sprint(b.pushed[in(g)]); got != "[2 4 7]" {
		t.Errorf("the member was pushed %v, want [2 4 7]", got)
	}
	// If the hint about a dismissal is lost, repair finds it.
	lost.Store(true)
	a.ok(obj{"msgid": proto.DISMISS_GROUP, "groupid": g})
	for _, w := range []*wire{b, c} {
		w.op(proto.DISMISS_GROUP)
		w.refused(proto.NotFound, in(g).chat("x"))
	}
}

// When a node stops, its users log in on another one and get all acknowledged
// messages.
func TestNodeStops(t *testing.T) {
	t.Parallel()
	one, two, _ := pairOfNodes(t)
	ids := one.users("anna", "berta")
	a, b := one.login(ids[0], obj{"ack": true}), two.login(ids[1])
	a.pump(with(ids[1]), "a", 50, 8)
	b.pump(with(ids[0]), "b", 50, 8)
	one.stop()
	a.kicked()
	a = two.login(ids[0], obj{"ack": true})
	b.pump(with(ids[0]), "b", 50, 8)
	a.has(with(ids[1]), 1, 150)
	b.has(with(ids[0]), 1, 150)
}

// A user has two devices on two nodes, and one reconnects. Its new session knows
// about the other device: its messages are pushed there at once.
func TestReconnectLearnsOtherNodes(t *testing.T) {
	t.Parallel()
	one := serve(t, func(s *setup) { s.service.Delivery.RepairEvery = time.Hour }) // no repair during the test
	two := one.second()
	ids := one.users("anna", "berta")
	one.login(ids[1])
	a2 := two.login(ids[0], obj{"device": "two"})
	for round := range int64(3) {
		a := one.login(ids[0])
		a.send(with(ids[0]).event("hello")) // arrives after the announcements of the logins, in both directions
		a2.op(proto.EVENT)
		a2.send(with(ids[0]).event("hello"))
		a.op(proto.EVENT)
		a.say(with(ids[1]), "x")
		a2.has(with(ids[1]), 1, round+1)
		a.close()
		one.settled(1)
	}
}

// If two users become friends while online and the node of one crashes, the
// other sees that user go offline.
func TestNewFriendsNodeDies(t *testing.T) {
	t.Parallel()
	one, two, lost := pairOfNodes(t, func(s *setup) { s.service.Cluster.Tick = quickTick })
	ids := one.users("anna", "berta", "carla")
	a, b, c := one.login(ids[0]), two.login(ids[1]), two.login(ids[2])
	a.ok(obj{"msgid": proto.ADD_FRIEND, "friendid": ids[1]})
	b.op(proto.ADD_FRIEND)
	c.ok(obj{"msgid": proto.ADD_FRIEND, "friendid": ids[0]})
	a.presence(ids[2], "online")
	lost.Store(true) // a crashed node publishes nothing
	two.stop()
	gone := map[int64]bool{}
	for len(gone) < 2 {
		if f := a.op(proto.PRESENCE); f.str("state") != "offline" {
			t.Fatalf("got %v, want a PRESENCE with state offline", f)
		} else {
			gone[f.int("id")] = true
		}
	}
}

// held is a store in which the first read of backlogs blocks until release is
// closed. Logins, which read with another limit of bytes, don't.
type held struct {
	service.Store
	once           *sync.Once
	asked, release chan struct{}
}

func (h held) Pages(ctx context.Context, pages []model.PageRequest, maxBytes int) ([]model.Message, error) {
	if maxBytes == proto.MaxSyncBytes {
		h.once.Do(func() {
			close(h.asked)
			<-h.release
		})
	}
	return h.Store.Pages(ctx, pages, maxBytes)
}

// A page of the log may contain a message that was acknowledged, but is held
// back on the loop because earlier ones are missing. It isn't pushed to the
// sending device.
func TestPageWithHeldBackMessage(t *testing.T) {
	t.Parallel()
	h := held{once: new(sync.Once), asked: make(chan struct{}), release: make(chan struct{})}
	one := serve(t, func(s *setup) {
		s.service.Delivery.RepairEvery = time.Hour
		s.store = func(st service.Store) service.Store { h.Store = st; return h }
	})
	var lost atomic.Bool
	lost.Store(true)
	two := one.second(func(s *setup) {
		s.store = nil
		s.bus = func(b bus.Bus) bus.Bus { return deaf{b, &lost} }
	})
	ids := one.users("anna", "berta")
	g := one.group(ids...)
	a, b := one.login(ids[0]), two.login(ids[1])
	b.say(in(g), "lost")
	a.say(in(g), "after the gap")
	<-h.asked
	b.say(in(g), "lost")
	a.say(in(g), "after the second gap")
	close(h.release)
	a.has(in(g), 1, 4)
	a.barrier()
	if got := fmt.Sprint(a.pushed[in(g)]); got != "[1 3]" {
		t.Errorf("the sending device was pushed %v, want [1 3]", got)
	}
}

// If a client resends a message from an earlier connection and gets its ACK, the
// message isn't pushed to it afterwards, however long the backlog before it is.
func TestRetryDuringBacklog(t *testing.T) {
	t.Parallel()
	h := held{once: new(sync.Once), asked: make(chan struct{}), release: make(chan struct{})}
	n := serve(t, func(s *setup) {
		s.service.Delivery.RepairEvery = time.Hour
		s.store = func(st service.Store) service.Store { h.Store = st; return h }
	})
	ids := n.users("anna", "berta")
	to := with(ids[1])
	n.login(ids[0], obj{"ack": true}).close()
	n.settled(0)
	two, b := n.login(ids[0], obj{"device": "two"}), n.login(ids[1])
	const missed = proto.MaxOffline + 20
	for range missed {
		b.say(with(ids[0]), "missed")
	}
	mine := to.chat("mine")
	two.send(mine)
	two.op(proto.ONE_CHAT_ACK)
	b.say(with(ids[0]), "the last")

	a := n.login(ids[0], obj{"ack": true})
	<-h.asked
	a.send(mine.with(obj{"retry": true}))
	if f := a.op(proto.ONE_CHAT_ACK); f.int("errno") != 0 || f.int("seq") != missed+1 {
		t.Fatalf("the resent message got %v, want seq %d", f, missed+1)
	}
	close(h.release)
	a.has(to, 1, missed+2)
	a.barrier()
	if got := a.pushed[to]; len(got) != missed+1 || got[missed-1] != missed || got[missed] != missed+2 {
		t.Errorf("the sending device was pushed %v, want 1 to %d and %d", got, missed, missed+2)
	}
}

// If the hint about a join is lost, the user's devices on the other node still
// get the group's messages, on all loops, whether or not the node has other
// members.
func TestLostJoin(t *testing.T) {
	t.Parallel()
	one, two, lost := pairOfNodes(t)
	ids := one.users("anna", "berta", "carla")
	a, b, c2 := one.login(ids[0]), one.login(ids[1]), two.login(ids[2])
	devices := []*wire{two.login(ids[0], obj{"device": "two"}), two.login(ids[0], obj{"device": "three"})}
	g := b.ok(obj{"msgid": proto.CREATE_GROUP, "groupname": "g", "groupdesc": ""}).int("groupid")
	c2.ok(obj{"msgid": proto.ADD_GROUP, "groupid": g})
	lost.Store(true)
	a.ok(obj{"msgid": proto.ADD_GROUP, "groupid": g})
	lost.Store(false)
	b.say(in(g), "1")
	for _, w := range append(devices, a, c2) {
		w.has(in(g), 1, 1)
	}
}
