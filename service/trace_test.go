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

// trace asks a node where a message is.
func (n *node) trace(q trace.Query) *trace.Result {
	n.tb.Helper()
	t, err := n.svc.Trace(n.tb.Context(), q)
	if err != nil {
		n.tb.Fatalf("%+v: %v", q, err)
	}
	return t
}

// found asks the store alone.
func (n *node) found(q trace.Query) *trace.Result {
	n.tb.Helper()
	t, err := trace.Find(n.tb.Context(), n.db, q)
	if err != nil {
		n.tb.Fatalf("%+v: %v", q, err)
	}
	return t
}

// states are the devices of a trace as user/device=state, and the members who
// have none as user=why.
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

// why is what a trace says of a device.
func why(tb testing.TB, t *trace.Result, name, device string) string {
	tb.Helper()
	for _, m := range t.Members {
		for _, d := range m.Devices {
			if m.Name == name && d.Device == device {
				return d.Why
			}
		}
	}
	tb.Errorf("nothing of %s/%s in %s", name, device, states(t))
	return ""
}

// An operator is told of one message of a group, device by device, who has it
// and why the others haven't: each reason that a node can know.
func TestTraceGroup(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta", "carla", "dora", "emma", "fritz")
	g := n.group(ids[0], ids[1], ids[2], ids[3], ids[5])
	ack := obj{"ack": true}
	d := n.login(ids[3]) // dora logs out again, fritz never logs in
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
		t.Errorf("%+v %+v", got, got.Message)
	}
	if got.Topic == nil || !got.Topic.Known || got.Topic.Heard != 2 || got.Topic.Bus != "up" {
		t.Errorf("%+v", got.Topic)
	}
	want := "anna/default=has, berta/pad=has, berta/phone=sent, carla/default=offline, dora/default=logged-out, " +
		"emma=joined after it, when the last was 2: doesn't see it, fritz=has never logged in"
	if got := states(got); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, c := range [][3]string{
		{"berta", "phone", "online on one, was sent it, but its receipt is behind: at seq 1"},
		{"berta", "pad", "online on one, doesn't use receipts: the kernel has taken its bytes"},
		{"carla", "default", "offline"},
		{"dora", "default", "logged out; gets it after its next login"},
	} {
		if got := why(t, got, c[0], c[1]); !strings.HasPrefix(got, c[2]) {
			t.Errorf("%s/%s: %q, want %q", c[0], c[1], got, c[2])
		}
	}

	phone.send(in(g).receipt(2, obj{"read": true}))
	phone.barrier()
	got = n.trace(trace.Query{Group: g, Seq: 2, User: "BERTA"})
	if s := states(got); s != "berta/pad=has, berta/phone=has" || !got.Members[0].Read {
		t.Errorf("%s, %+v", s, got.Members[0])
	}

	// The store alone knows no session, and says so; one who left is in no list,
	// but can be asked for, and may have it.
	if err := n.db.Flush(t.Context(), ids[1]); err != nil {
		t.Fatal(err)
	}
	a.ok(obj{"msgid": proto.KICK_MEMBER, "groupid": g, "userid": ids[1]})
	got = n.found(trace.Query{Group: g, Seq: 2})
	if s := states(got); strings.Contains(s, "berta") || !strings.Contains(s, "carla/default=unknown") || got.Node != "" || got.Topic != nil ||
		!strings.Contains(strings.Join(got.Notes, "\n"), "by up to 10 s") {
		t.Errorf("%s, %+v", s, got)
	}
	if why := why(t, got, "carla", "default"); !strings.HasPrefix(why, "hasn't logged in since") {
		t.Error(why)
	}
	got = n.found(trace.Query{Group: g, Seq: 2, User: "berta"})
	// (The pad's cursor, which no receipt moves, may be written by now or not.)
	if s := states(got); !strings.Contains(s, "berta/phone=has") || got.Members[0].Sees || !strings.HasPrefix(got.Members[0].Why, "no member") {
		t.Errorf("%s, %+v", s, got.Members[0])
	}

	a.ok(obj{"msgid": proto.DISMISS_GROUP, "groupid": g})
	got = n.found(trace.Query{Group: g, Seq: 2})
	if !got.Conversation.Gone || len(got.Members) != 1 || got.Members[0].Sees || !strings.HasPrefix(got.Members[0].Why, "the group is dismissed") {
		t.Errorf("%+v, %s, %+v", got.Conversation, states(got), got.Members)
	}
}

// Of a pair: whichever is named first, by name or id; blocks and deletions are told.
func TestTracePair(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	a := n.login(ids[0])
	pair := [2]string{"Berta", fmt.Sprint(ids[0])}
	got := n.found(trace.Query{Pair: pair, Seq: 1})
	if got.Stored || !strings.Contains(strings.Join(got.Missing, "\n"), "nothing was ever said") {
		t.Errorf("%+v", got)
	}
	a.say(with(ids[1]), "hello")
	got = n.trace(trace.Query{Pair: pair, Seq: 1})
	if s := states(got); s != "anna/default=has, berta=has never logged in" || got.Conversation.Group || len(got.Conversation.Pair) != 2 {
		t.Errorf("%s, %+v", s, got.Conversation)
	}
	if err := n.db.Block(t.Context(), ids[1], ids[0], true); err != nil {
		t.Fatal(err)
	}
	got = n.trace(trace.Query{Pair: pair, CID: "refused", Sender: "anna"})
	if text := strings.Join(got.Missing, "\n"); got.Stored || !strings.Contains(text, "has blocked the sender") || !strings.Contains(text, "no message of this sender with this cid") {
		t.Errorf("%s", text)
	}
	if err := n.db.DeleteUser(t.Context(), ids[1]); err != nil {
		t.Fatal(err)
	}
	got = n.found(trace.Query{Pair: [2]string{fmt.Sprint(ids[1]), "anna"}, Seq: 1})
	if s := states(got); s != "anna/default=unknown, berta=deleted" && s != "anna/default=has, berta=deleted" {
		t.Error(s)
	}
	got = n.found(trace.Query{Pair: [2]string{"anna", "anna"}, CID: "x", Sender: fmt.Sprint(ids[1])})
	if text := strings.Join(got.Missing, "\n"); !strings.Contains(text, "deleted") {
		t.Error(text)
	}
}

// A message that isn't stored is no error: what is known of it is said, a seq
// that isn't given out apart from a hole in the log.
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
			t.Errorf("%+v: %q, want %q", q, text, want)
		}
	}
	missing(trace.Query{Group: g, Seq: 2}, "seq 2 isn't given out yet: the last is 1")
	missing(trace.Query{Group: g, CID: "x", Sender: "carla"}, "the sender is not a member")
	if err := n.db.Ban(t.Context(), ids[1], true); err != nil {
		t.Fatal(err)
	}
	missing(trace.Query{Group: g, CID: "x", Sender: "berta"}, "its sender is banned")

	// What was committed and not yet handed on is there, while the node has not
	// heard of it; nobody is said to have it.
	a.send(in(g).chatID("waits", "slow"))
	<-held
	got := n.trace(trace.Query{Group: g, CID: "slow", Sender: "anna"})
	if !got.Stored || got.Topic.Heard != 1 || !got.Topic.Sending || !strings.Contains(got.Published, "not heard of it yet") || states(got) == "" ||
		strings.Contains(states(got), "=has,") {
		t.Errorf("%+v %+v %s", got, got.Topic, states(got))
	}
	close(hold)
	a.op(proto.GROUP_CHAT_ACK)
}

// Of a device on another node, and of one that lacks what was lost between
// the nodes, each node says what it knows.
func TestTraceNodes(t *testing.T) {
	t.Parallel()
	lost := new(atomic.Bool)
	one := serve(t, func(s *setup) {
		s.service.Delivery.SweepEvery = time.Hour // nothing is to be repaired here
		s.bus = func(b bus.Bus) bus.Bus { return deaf{b, lost} }
	})
	two := one.second()
	ids := one.users("anna", "berta")
	a, b := one.login(ids[0]), two.login(ids[1], obj{"ack": true})
	a.say(with(ids[1]), "heard")
	b.has(with(ids[0]), 1, 1)
	lost.Store(true)
	a.say(with(ids[1]), "not heard")
	q := trace.Query{Pair: [2]string{"anna", "berta"}, Seq: 2}
	got := one.trace(q)
	if s := states(got); s != "anna/default=has, berta/default=elsewhere" || got.Topic.Heard != 2 {
		t.Errorf("node one: %s, %+v", s, got.Topic)
	}
	got = two.trace(q)
	if s := states(got); !strings.Contains(s, "berta/default=behind") || got.Topic.Heard != 1 || !strings.Contains(got.Published, "not heard of it yet") {
		t.Errorf("node two: %s, %+v, %s", s, got.Topic, got.Published)
	}
	for _, m := range got.Members {
		if m.Name == "berta" {
			if ss := m.Devices[0].Session; ss == nil || ss.Node != "two" || ss.Sent != 1 || !ss.Receipts {
				t.Errorf("%+v", ss)
			}
		}
	}
}

// A client that reads nothing is seen as that: what waits for its connection
// is told.
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
	eventually(t, "a backlog that waits for its reader", func() bool {
		got = n.trace(q)
		d := got.Members[0].Devices[0]
		return d.Session != nil && d.Session.Paused
	})
	d := got.Members[0].Devices[0]
	if d.State != trace.Behind || !d.Session.Behind || d.Session.Waiting == 0 || !strings.Contains(d.Why, "reads too slowly") {
		t.Errorf("%+v %+v", d, d.Session)
	}
	b.has(with(ids[0]), 1, count)
}

// A question that makes no sense is told what is wrong with it, and one about
// nobody that there is nobody.
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
			t.Errorf("%+v: %v, want %q", c.q, err, c.says)
		}
	}
}
