package service_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chatd/proto"
	"chatd/service/bus"
	"chatd/service/trace"
)

// trace traces a message on a node.
func (n *node) trace(q trace.Query) *trace.Result {
	n.tb.Helper()
	t, err := n.svc.Trace(n.tb.Context(), q)
	if err != nil {
		n.tb.Fatalf("Trace(%+v): %v", q, err)
	}
	return t
}

// found traces a message in the store only.
func (n *node) found(q trace.Query) *trace.Result {
	n.tb.Helper()
	t, err := trace.Find(n.tb.Context(), n.db, q)
	if err != nil {
		n.tb.Fatalf("Find(%+v): %v", q, err)
	}
	return t
}

// states lists the devices in a trace as user/device=state, and members without
// devices as user=why.
func states(t *trace.Result) string {
	var all []string
	for _, m := range t.Members {
		if len(m.Devices) == 0 {
			all = append(all, m.Name+"="+m.Why)
		}
		for _, d := range m.Devices {
			all = append(all, m.Name+"/"+d.Device+"="+d.State)
		}
	}
	return strings.Join(all, ", ")
}

// why returns Device.Why of a device.
func why(tb testing.TB, t *trace.Result, name, device string) string {
	tb.Helper()
	for _, m := range t.Members {
		for _, d := range m.Devices {
			if m.Name == name && d.Device == device {
				return d.Why
			}
		}
	}
	tb.Errorf("the trace has %s, want device %s/%s in it", states(t), name, device)
	return ""
}

// The trace of a group message says for each device whether it has the message
// and, if not, why.
func TestTraceGroup(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta", "carla", "dora", "emma", "fritz")
	g := n.group(ids[0], ids[1], ids[2], ids[3], ids[5])
	ack := obj{"ack": true}
	d := n.login(ids[3]) // dora logs out again; fritz never logs in
	d.ok(obj{"msgid": proto.LOGOUT})
	c := n.login(ids[2], ack)
	c.close()
	n.settled(0)
	a := n.login(ids[0])
	phone, pad := n.login(ids[1], ack, obj{"device": "phone"}), n.login(ids[1], obj{"device": "pad"})
	a.say(in(g), "one")
	a.ok(in(g).chatID("two, sehr groß", "my cid"))
	phone.has(in(g), 1, 2)
	pad.has(in(g), 1, 2)
	phone.send(in(g).receipt(1))
	phone.barrier()
	if _, err := n.db.JoinGroup(t.Context(), g, ids[4], 100, 100); err != nil {
		t.Fatal(err)
	}

	q := trace.Query{Group: g, CID: "my cid", Sender: "anna"}
	got := n.trace(q)
	if got.Node != "one" || !got.Stored || got.Message.Seq != 2 || got.Message.Size != int64(len("two, sehr groß")) ||
		got.Message.Sender.ID != ids[0] || got.Conversation.Name != "group" || got.Conversation.Last != 2 {
		t.Errorf("got %+v with message %+v, want node one and seq 2 from anna in the group", got, got.Message)
	}
	if got.Topic == nil || !got.Topic.Known || got.Topic.Heard != 2 || got.Topic.Bus != "up" {
		t.Errorf("Topic is %+v, want a known one with Heard 2 and Bus up", got.Topic)
	}
	want := "anna/default=has, berta/pad=has, berta/phone=sent, carla/default=offline, dora/default=logged-out, " +
		"emma=joined later, after seq 2: doesn't get the message, fritz=has never logged in"
	if got := states(got); got != want {
		t.Errorf("states:\n got %s\nwant %s", got, want)
	}
	for _, c := range [][3]string{
		{"berta", "phone", "online on one; sent, but its receipts only go up to seq 1"},
		{"berta", "pad", "online on one; uses no receipts; the kernel has accepted the bytes"},
		{"carla", "default", "offline"},
		{"dora", "default", "logged out; gets it after its next login"},
	} {
		if got := why(t, got, c[0], c[1]); !strings.HasPrefix(got, c[2]) {
			t.Errorf("%s/%s: %q, want it to start with %q", c[0], c[1], got, c[2])
		}
	}

	phone.send(in(g).receipt(2, obj{"read": true}))
	phone.barrier()
	got = n.trace(trace.Query{Group: g, Seq: 2, User: "BERTA"})
	if s := states(got); s != "berta/pad=has, berta/phone=has" || !got.Members[0].Read {
		t.Errorf("after a read receipt: %s, %+v; want both of berta's devices to have it, and Read", s, got.Members[0])
	}

	// Find knows no sessions, and says so. A former member isn't listed, but
	// can be asked for, and may have the message.
	if err := n.db.Flush(t.Context(), ids[1]); err != nil {
		t.Fatal(err)
	}
	a.ok(obj{"msgid": proto.KICK_MEMBER, "groupid": g, "userid": ids[1]})
	got = n.found(trace.Query{Group: g, Seq: 2})
	if s := states(got); strings.Contains(s, "berta") || !strings.Contains(s, "carla/default=unknown") || got.Node != "" || got.Topic != nil ||
		!strings.Contains(strings.Join(got.Notes, "\n"), "up to 10 s late") {
		t.Errorf("Find: %s, %+v; want carla unknown, not berta, and a note that cursors are stored late", s, got)
	}
	if why := why(t, got, "carla", "default"); !strings.HasPrefix(why, "not used since") {
		t.Errorf("carla/default: %q, want it to start with \"not used since\"", why)
	}
	got = n.found(trace.Query{Group: g, Seq: 2, User: "berta"})
	// The cursor of the pad, which sends no receipts, may or may not be stored
	// yet.
	if s := states(got); !strings.Contains(s, "berta/phone=has") || got.Members[0].Sees || !strings.HasPrefix(got.Members[0].Why, "not a member") {
		t.Errorf("former member: %s, %+v; want berta/phone=has, Sees false and not a member", s, got.Members[0])
	}

	a.ok(obj{"msgid": proto.DISMISS_GROUP, "groupid": g})
	got = n.found(trace.Query{Group: g, Seq: 2})
	if !got.Conversation.Gone || len(got.Members) != 1 || got.Members[0].Sees || !strings.HasPrefix(got.Members[0].Why, "the group was dismissed") {
		t.Errorf("dismissed group: %+v, %s, %+v; want Gone and one member, who doesn't see it", got.Conversation, states(got), got.Members)
	}
}

// The users of a pair may be named in any order, by name or ID. The trace
// reports blocks and deleted users.
func TestTracePair(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	a := n.login(ids[0])
	pair := [2]string{"Berta", fmt.Sprint(ids[0])}
	got := n.found(trace.Query{Pair: pair, Seq: 1})
	if got.Stored || !strings.Contains(strings.Join(got.Missing, "\n"), "this conversation has no messages") {
		t.Errorf("before the first message: %+v, want it not stored, in a conversation without messages", got)
	}
	a.say(with(ids[1]), "hello")
	got = n.trace(trace.Query{Pair: pair, Seq: 1})
	if s := states(got); s != "anna/default=has, berta=has never logged in" || got.Conversation.Group || len(got.Conversation.Pair) != 2 {
		t.Errorf("states %s in %+v, want anna to have it and berta never logged in, in a pair", s, got.Conversation)
	}
	if _, err := n.db.Block(t.Context(), ids[1], ids[0], true); err != nil {
		t.Fatal(err)
	}
	got = n.trace(trace.Query{Pair: pair, CID: "refused", Sender: "anna"})
	if text := strings.Join(got.Missing, "\n"); got.Stored || !strings.Contains(text, "has blocked the sender") || !strings.Contains(text, "no message from this sender with this cid") {
		t.Errorf("blocked sender: stored %v, %q; want not stored, with both reasons", got.Stored, text)
	}
	if err := n.db.DeleteUser(t.Context(), ids[1]); err != nil {
		t.Fatal(err)
	}
	got = n.found(trace.Query{Pair: [2]string{fmt.Sprint(ids[1]), "anna"}, Seq: 1})
	if s := states(got); s != "anna/default=unknown, berta=deleted" && s != "anna/default=has, berta=deleted" {
		t.Errorf("states %s, want anna/default unknown or has, and berta deleted", s)
	}
	got = n.found(trace.Query{Pair: [2]string{"anna", "anna"}, CID: "x", Sender: fmt.Sprint(ids[1])})
	if text := strings.Join(got.Missing, "\n"); !strings.Contains(text, "deleted") {
		t.Errorf("Missing is %q, want it to say that the sender was deleted", text)
	}
}

// If a message isn't stored, Find returns no error: Missing says why the message
// may not have been stored.
func TestTraceMissing(t *testing.T) {
	t.Parallel()
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	n := serve(t, func(s *setup) {
		s.sunk = func(first []byte) {
			if string(first) == "waits" {
				held <- struct{}{}
				<-hold
			}
		}
	})
	ids := n.users("anna", "berta", "carla")
	g := n.group(ids[0], ids[1])
	a := n.login(ids[0])
	a.say(in(g), "one")
	missing := func(q trace.Query, want string) {
		t.Helper()
		got := n.trace(q)
		if text := strings.Join(got.Missing, "\n"); got.Stored || got.Message != nil || !strings.Contains(text, want) {
			t.Errorf("Trace(%+v): stored %v, Missing %q; want not stored, and %q", q, got.Stored, text, want)
		}
	}
	missing(trace.Query{Group: g, Seq: 2}, "seq 2 doesn't exist yet: the last one is 1")
	missing(trace.Query{Group: g, CID: "x", Sender: "carla"}, "the sender isn't a member")
	if err := n.db.Ban(t.Context(), ids[1], true); err != nil {
		t.Fatal(err)
	}
	missing(trace.Query{Group: g, CID: "x", Sender: "berta"}, "the sender is banned")

	// A message that is committed but not posted to the loops yet is stored,
	// but the node hasn't heard of it, and nobody has it.
	a.send(in(g).chatID("waits", "slow"))
	<-held
	got := n.trace(trace.Query{Group: g, CID: "slow", Sender: "anna"})
	if !got.Stored || got.Topic.Heard != 1 || !got.Topic.Sending || !strings.Contains(got.Published, "hasn't heard of it yet") || states(got) == "" ||
		strings.Contains(states(got), "=has,") {
		t.Errorf("committed, not posted: %+v, %+v, %s; want it stored, Heard 1, Sending, and no device that has it", got, got.Topic, states(got))
	}
	close(hold)
	a.op(proto.GROUP_CHAT_ACK)
}

// Each node reports what it knows: that a device is on another node, or that a
// device on this node lacks a message whose hint was lost.
func TestTraceNodes(t *testing.T) {
	t.Parallel()
	lost := new(atomic.Bool)
	one := serve(t, func(s *setup) {
		s.service.Delivery.RepairEvery = time.Hour // no repair during the test
		s.bus = func(b bus.Bus) bus.Bus { return deaf{b, lost} }
	})
	two := one.second()
	ids := one.users("anna", "berta")
	a, b := one.login(ids[0]), two.login(ids[1], obj{"ack": true})
	one.knows(2)
	a.say(with(ids[1]), "heard")
	b.has(with(ids[0]), 1, 1)
	lost.Store(true)
	a.say(with(ids[1]), "not heard")
	q := trace.Query{Pair: [2]string{"anna", "berta"}, Seq: 2}
	got := one.trace(q)
	if s := states(got); s != "anna/default=has, berta/default=elsewhere" || got.Topic.Heard != 2 {
		t.Errorf("node one: %s, %+v; want berta elsewhere, and Heard 2", s, got.Topic)
	}
	if why := got.Members[1].Devices[0].Why; !strings.Contains(why, "online on node two: ask there") {
		t.Errorf("node one says of berta's device: %q, want that it is online on node two", why)
	}
	got = two.trace(q)
	if s := states(got); !strings.Contains(s, "berta/default=behind") || got.Topic.Heard != 1 || !strings.Contains(got.Published, "hasn't heard of it yet") {
		t.Errorf("node two: %s, %+v, %s; want berta behind, Heard 1, and the message not heard of", s, got.Topic, got.Published)
	}
	for _, m := range got.Members {
		if m.Name == "berta" {
			if ss := m.Devices[0].Session; ss == nil || ss.Node != "two" || ss.Sent != 1 || !ss.Receipts {
				t.Errorf("berta's session is %+v, want one on node two with Sent 1 and receipts", ss)
			}
		}
	}
}

// The trace shows that a client doesn't read, and how much is waiting for it.
func TestTraceSlowReader(t *testing.T) {
	t.Parallel()
	const count = 300 // of 16 KiB: more than the sockets hold
	n := serve(t)
	ids := n.users("anna", "berta")
	a := n.login(ids[0])
	text := strings.Repeat("x", 16<<10)
	for range count / 50 {
		for range 50 {
			a.send(with(ids[1]).chat(text))
		}
		for range 50 {
			a.op(proto.ONE_CHAT_ACK)
		}
	}
	b := n.dial()
	b.narrow()
	b.login(ids[1], obj{"ack": true})
	q := trace.Query{Pair: [2]string{"anna", "berta"}, Seq: count, User: "berta"}
	var got *trace.Result
	eventually(t, "the backlog to be paused", func() bool {
		got = n.trace(q)
		d := got.Members[0].Devices[0]
		return d.Session != nil && d.Session.Paused
	})
	d := got.Members[0].Devices[0]
	if d.State != trace.Behind || !d.Session.Behind || d.Session.Waiting == 0 || !strings.Contains(d.Why, "reads too slowly") {
		t.Errorf("got %+v, session %+v; want state behind with bytes waiting, because it reads too slowly", d, d.Session)
	}
	b.has(with(ids[0]), 1, count)
}

// An invalid query is refused with the reason, and so is one with an unknown
// user or group.
func TestTraceRefused(t *testing.T) {
	t.Parallel()
	n := serve(t)
	n.users("anna")
	for _, c := range []struct {
		q     trace.Query
		errno proto.Errno
		says  string
	}{
		{trace.Query{Seq: 1}, proto.BadRequest, "name one conversation"},
		{trace.Query{Group: 1, Pair: [2]string{"a", "b"}, Seq: 1}, proto.BadRequest, "name one conversation"},
		{trace.Query{Pair: [2]string{"anna", ""}, Seq: 1}, proto.BadRequest, "a pair has two users"},
		{trace.Query{Group: 1}, proto.BadRequest, "name one message"},
		{trace.Query{Group: 1, Seq: 1, CID: "x"}, proto.BadRequest, "name one message"},
		{trace.Query{Group: 1, CID: "x"}, proto.BadRequest, "name the sender"},
		{trace.Query{Group: -1, Seq: 1}, proto.BadRequest, "positive"},
		{trace.Query{Group: 77, Seq: 1}, proto.NotFound, "no such group: 77"},
		{trace.Query{Pair: [2]string{"anna", "no\x1bbody"}, Seq: 1}, proto.NotFound, `no such user: "no\x1bbody"`},
	} {
		_, err := n.svc.Trace(t.Context(), c.q)
		var e *proto.Error
		if !errors.As(err, &e) || e.Errno != c.errno || !strings.Contains(e.Message, c.says) {
			t.Errorf("Trace(%+v): error %v, want errno %d and %q", c.q, err, c.errno, c.says)
		}
	}
}
