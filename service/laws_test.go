package service_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"chatd/proto"
)

// pump sends count messages with at most window of them unacknowledged, and
// checks that their seqs rise in the order of sending. The texts start with
// name.
func (w *wire) pump(c conv, name string, count, window int) {
	w.tb.Helper()
	last, op := int64(0), proto.ONE_CHAT_ACK
	if c.group != 0 {
		op = proto.GROUP_CHAT_ACK
	}
	ack := func() {
		w.tb.Helper()
		f := w.await("an ACK", func(f frame) bool { return f.op() == op })
		if f.int("errno") != 0 || f.int("seq") <= last {
			w.fatalf("got %v, want an ACK with a seq above %d", f, last)
		}
		last = f.int("seq")
	}
	for i := range count {
		if i >= window {
			ack()
		}
		w.send(c.chat(fmt.Sprintf("%s %d", name, i)))
	}
	for range min(count, window) {
		ack()
	}
}

// Several clients send to a group and to each other at the same time. Everyone
// gets all messages, in the same order and without gaps. The messages of each
// sender are in the order of sending, and the log has what was acknowledged and
// pushed.
func TestOneOrderForAll(t *testing.T) {
	t.Parallel()
	const senders, each = 4, 150
	n := serve(t)
	ids := n.users("anna", "berta", "carla", "dora", "emma")
	g := n.group(ids...)
	// anna has two devices.
	ws := make([]*wire, senders)
	for i := range ws {
		ws[i] = n.login(ids[i+1])
	}
	anna, anna2 := n.login(ids[0]), n.login(ids[0], obj{"device": "two", "ack": true})
	together(
		func() { ws[0].pump(in(g), "0", each, 64) },
		func() { ws[1].pump(in(g), "1", each, 1) },
		func() { ws[2].pump(in(g), "2", each, 200); ws[2].pump(with(ids[0]), "p", each, 32) },
		func() { ws[3].pump(in(g), "3", each, 7) },
		func() { anna.pump(with(ids[3]), "a", each, 16) },
		func() { anna2.has(in(g), 1, senders*each); anna2.has(with(ids[3]), 1, 2*each) },
	)
	for i, w := range append(ws, anna) {
		w.has(in(g), 1, senders*each)
		if i < senders && len(w.pushed[in(g)]) != (senders-1)*each {
			t.Errorf("sender %d was pushed %d group messages, want %d without its own", i, len(w.pushed[in(g)]), (senders-1)*each)
		}
	}
	anna.has(with(ids[3]), 1, 2*each)
	ws[2].has(with(ids[0]), 1, 2*each)

	log := anna.history(in(g))
	next := make(map[string]int)
	for i, m := range log {
		var who string
		var k int
		fmt.Sscan(m.str("msg"), &who, &k)
		if k != next[who] {
			t.Errorf("in the log, message %d of sender %s comes next, want message %d", k, who, next[who])
		}
		next[who]++
		for _, w := range append(ws, anna, anna2) {
			if cid, own := w.own[in(g)][int64(i+1)]; own && cid != m.str("cid") {
				t.Errorf("the log has %v, want cid %s as acknowledged to user %d", m, cid, w.id)
			}
			if p := w.bodies[in(g)][int64(i+1)]; p != nil && p.String() != m.String() {
				t.Errorf("pushed %v, want %v as in the log", p, m)
			}
		}
	}
	if len(log) != senders*each {
		t.Errorf("the log has %d messages, want %d", len(log), senders*each)
	}
}

// A resent message gets the same answer as the first time: on any connection or
// device, with or without retry, several at the same time, and even if the
// sender is no longer allowed to send. A message with the same cid from another
// sender or in another conversation is another message.
func TestRetry(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta", "carla")
	g := n.group(ids[0], ids[1])
	a, b := n.login(ids[0]), n.login(ids[1])
	msg := with(ids[1]).chatID("x", "aB1")
	first := a.ok(msg)
	same := func(f frame) {
		t.Helper()
		if f.int("seq") != first.int("seq") || f.int("time") != first.int("time") {
			t.Errorf("the resent message got %v, want the seq and time of %v", f, first)
		}
	}
	retry := obj{"retry": true}
	same(a.ok(msg))
	same(a.ok(msg.with(retry)))
	a.say(with(ids[1]), "y")
	same(a.ok(msg.with(retry)))
	same(n.login(ids[0], obj{"device": "two"}).ok(msg.with(retry)))
	a.close()
	a = n.login(ids[0])
	same(a.ok(msg))
	if f := b.ok(with(ids[0]).chatID("x", "aB1").with(retry)); f.int("seq") != 3 {
		t.Errorf("the same cid from another sender got %v, want seq 3", f)
	}
	if f := a.ok(with(ids[1]).chatID("x", "Ab1").with(retry)); f.int("seq") != 4 {
		t.Errorf("another cid got %v, want seq 4", f)
	}
	if f := a.ok(with(ids[2]).chatID("x", "aB1").with(retry)); f.int("seq") != 1 {
		t.Errorf("the same cid in another conversation got %v, want seq 1", f)
	}
	// The same cid several times at once, from several devices.
	devices := make([]*wire, 4)
	for i := range devices {
		devices[i] = n.login(ids[0], obj{"device": fmt.Sprint("d", i)})
	}
	race := in(g).chatID("race", "race")
	for _, w := range devices {
		w.send(race, race.with(retry), race)
	}
	for _, w := range devices {
		for range 3 {
			if f := w.op(proto.GROUP_CHAT_ACK); f.int("seq") != 1 || f.int("errno") != 0 {
				t.Errorf("got %v, want seq 1 for each", f)
			}
		}
	}
	if l := b.history(in(g)); len(l) != 1 {
		t.Errorf("the log has %d messages, want 1", len(l))
	}
	// A former member still gets the answer, but can't send new messages.
	m := in(g).chatID("last words", "last words")
	lw := b.ok(m)
	a.ok(obj{"msgid": proto.KICK_MEMBER, "groupid": g, "userid": ids[1]})
	if f := b.ok(m.with(retry)); f.int("seq") != lw.int("seq") {
		t.Errorf("a former member's resent message got %v, want seq %d", f, lw.int("seq"))
	}
	b.refused(proto.NotAllowed, in(g).chat("x"))
}

// If a resent message and newer messages of others are in the same transaction,
// the sender still gets those of the others.
func TestRetryInBatchWithOthers(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta", "carla")
	g := n.group(ids...)
	ws := []*wire{n.login(ids[0]), n.login(ids[1]), n.login(ids[2])}
	const rounds = 50
	send := func(w *wire) {
		for i := range rounds {
			m := in(g).chat(fmt.Sprint(i))
			w.send(m, m.with(obj{"retry": true}), in(g).chat("more"), m)
			for range 4 {
				w.op(proto.GROUP_CHAT_ACK)
			}
		}
	}
	together(func() { send(ws[0]) }, func() { send(ws[1]) }, func() { send(ws[2]) })
	for _, w := range ws {
		w.has(in(g), 1, 3*2*rounds)
	}
}

// All devices of a user get all messages, except that the sending device gets
// only the ACK. The same goes for messages to oneself.
func TestDevices(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	one, two, b := n.login(ids[0], obj{"device": "one"}), n.login(ids[0], obj{"device": "two"}), n.login(ids[1])
	one.say(with(ids[1]), "from one")
	two.say(with(ids[1]), "from two")
	b.say(with(ids[0]), "from berta")
	for _, w := range []*wire{one, two, b} {
		w.has(map[bool]conv{true: with(ids[0]), false: with(ids[1])}[w == b], 1, 3)
	}
	if !slices.Equal(one.pushed[with(ids[1])], []int64{2, 3}) || !slices.Equal(two.pushed[with(ids[1])], []int64{1, 3}) {
		t.Errorf("device one was pushed %v and device two %v, want seqs [2 3] and [1 3]", one.pushed, two.pushed)
	}
	one.say(with(ids[0]), "note")
	two.has(with(ids[0]), 1, 1)
	two.say(with(ids[0]), "note")
	one.has(with(ids[0]), 1, 2)
	if len(one.pushed[with(ids[0])]) != 1 {
		t.Errorf("messages to oneself: device one was pushed seqs %v, want only the seq of device two's message", one.pushed[with(ids[0])])
	}
}

// A user's first device gets all messages. Another device starts at the highest
// delivered cursor of the user's devices.
func TestFirstLogin(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	a := n.login(ids[0])
	for i := range 10 {
		a.say(with(ids[1]), fmt.Sprint(i))
	}
	b := n.login(ids[1], obj{"ack": true})
	b.has(with(ids[0]), 1, 10)
	b.send(with(ids[0]).receipt(7))
	b.barrier()
	b2 := n.login(ids[1], obj{"ack": true, "device": "two"})
	b2.has(with(ids[0]), 8, 10)
	b2.send(with(ids[0]).receipt(9))
	b2.barrier()
	n.login(ids[1], obj{"device": "three"}).has(with(ids[0]), 10, 10)
	// The cursor of the first device hasn't changed.
	b.close()
	n.login(ids[1], obj{"ack": true}).has(with(ids[0]), 8, 10)
}

// A backlog of many pages arrives completely and in order while others send: the
// first messages in LOGIN_ACK, the rest as pushes.
func TestBacklogDuringTraffic(t *testing.T) {
	t.Parallel()
	const backlog, live = 3000, 300
	n := serve(t)
	ids := n.users("anna", "berta", "carla")
	g := n.group(ids...)
	b, c := n.login(ids[1]), n.login(ids[2])
	together(
		func() { b.pump(in(g), "b", backlog, 250) },
		func() { c.pump(with(ids[0]), "c", backlog/4, 250) },
	)
	b.pump(with(ids[0]), "b", 20, 20)

	one, two := n.dial(), n.dialWeb()
	together(
		func() { b.pump(in(g), "live", live, 16) },
		func() { c.pump(with(ids[0]), "live", live, 16) },
		func() {
			one.login(ids[0], obj{"ack": true, "device": "one"})
			one.has(in(g), 1, backlog+live)
			one.has(with(ids[2]), 1, backlog/4+live)
			one.has(with(ids[1]), 1, 20)
		},
		func() {
			two.login(ids[0], obj{"device": "two"})
			two.has(in(g), 1, backlog+live)
			two.has(with(ids[2]), 1, backlog/4+live)
			two.has(with(ids[1]), 1, 20)
		},
	)
	for _, w := range []*wire{one, two} {
		if !w.welcome.bool("more") || len(w.welcome.list("offlinemsg")) != proto.MaxOffline {
			t.Errorf("LOGIN_ACK has more %v and %d offline messages, want true and %d", w.welcome.bool("more"), len(w.welcome.list("offlinemsg")), proto.MaxOffline)
		}
	}
}

// With a lower MaxPage, backlogs and SYNC take more pages, and nothing is lost.
func TestShortPages(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) { s.service.Delivery.MaxPage = 7 })
	ids := n.users("anna", "berta", "carla")
	a, c := n.login(ids[0]), n.login(ids[2])
	for range 30 {
		a.say(with(ids[1]), "one of many")
		c.say(with(ids[1]), "one of many")
	}
	b := n.login(ids[1])
	if missed := b.welcome.list("offlinemsg"); len(missed) != 7 || !b.welcome.bool("more") {
		t.Errorf("offlinemsg has %d messages, more %v; want 7 and true", len(missed), b.welcome.bool("more"))
	}
	b.has(with(ids[0]), 1, 30)
	b.has(with(ids[2]), 1, 30)
	if f := b.ok(with(ids[0]).sync(obj{"after": 3, "limit": proto.MaxSyncMessages})); len(f.list("messages")) != 7 || !f.bool("more") || f.list("messages")[0].int("seq") != 4 {
		t.Errorf("SYNC after 3 got %v, want 7 messages from seq 4 on, and more", f)
	}
	if f := b.ok(with(ids[0]).sync(obj{"limit": 5})); len(f.list("messages")) != 5 {
		t.Errorf("SYNC with limit 5 got %v, want 5 messages", f)
	}
	if l := b.history(with(ids[0])); len(l) != 30 {
		t.Errorf("all pages of SYNC have %d messages, want 30", len(l))
	}
	// One page in LOGIN_ACK, 53/7 pushed, one for the first SYNC, 4 for history.
	if full, want := n.limited("page"), 1+53/7+1+4; full < want {
		t.Errorf("counted %d full pages, want at least %d", full, want)
	}
}

// offlinemsg and SYNC stay within their size limits. These count the size in
// JSON, where escapes make messages longer than they are in the store.
func TestBacklogOfLargeMessages(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	a := n.login(ids[0])
	// A control character takes six bytes in JSON.
	for _, text := range []string{strings.Repeat("x", 32<<10), "x" + strings.Repeat("\x01", 10<<10), strings.Repeat("y", 32<<10),
		"x" + strings.Repeat("\x02", 10<<10), strings.Repeat("z", 32<<10)} {
		a.say(with(ids[1]), text)
	}
	b := n.login(ids[1])
	if !b.welcome.bool("more") {
		t.Errorf("LOGIN_ACK has more false with %d offline messages, want true", len(b.welcome.list("offlinemsg")))
	}
	b.has(with(ids[0]), 1, 5)
	if l := b.history(with(ids[0])); len(l) != 5 {
		t.Errorf("SYNC got %d messages, want 5", len(l))
	}
}

// After a reconnect, a device with receipts gets exactly the messages after its
// last receipt. A receipt for a seq that doesn't exist yet counts as one for the
// last message. A receipt lower than an earlier one changes nothing.
func TestReceipts(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	a := n.login(ids[0])
	g := n.group(ids[1], ids[0])
	ack := obj{"ack": true}
	b := n.login(ids[1], ack)
	for i := range 6 {
		a.say(with(ids[1]), fmt.Sprint(i))
		a.say(in(g), fmt.Sprint(i))
	}
	b.has(with(ids[0]), 1, 6)
	b.has(in(g), 1, 6)
	b.send(with(ids[0]).receipt(4), with(ids[0]).receipt(2), in(g).receipt(5))
	b.barrier()
	b.close()

	b = n.login(ids[1], ack)
	b.has(with(ids[0]), 5, 6)
	b.has(in(g), 6, 6)
	b.send(with(ids[0]).receipt(1000), in(g).receipt(proto.MaxID))
	b.barrier()
	b.close()
	a.say(with(ids[1]), "after")
	b = n.login(ids[1], ack)
	b.has(with(ids[0]), 7, 7)
	if len(b.pushed[in(g)]) != 0 {
		t.Errorf("the group's seqs %v were pushed, want none after the receipt", b.pushed[in(g)])
	}
	// A receipt for a message that wasn't pushed on this connection is accepted.
	b.send(in(g).receipt(6, obj{"rid": 77}))
	b.barrier()
	b.nothing(proto.ERROR)
}

// A device without receipts gets no message twice if it has read everything
// before it closed the connection, and gets what was sent while it was offline.
func TestWithoutReceipts(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	a, b := n.login(ids[0]), n.login(ids[1])
	for round := range int64(4) {
		for i := range int64(5) {
			a.say(with(ids[1]), "x")
			b.upTo(with(ids[0]), round*10+i+1)
		}
		b.close()
		n.settled(1)
		for range 5 {
			a.say(with(ids[1]), "offline")
		}
		b = n.login(ids[1])
		b.has(with(ids[0]), round*10+6, round*10+10)
	}
}

// Read receipts are sent to the peer and to the user's other devices, and to
// nobody else. CONVERSATIONS has the read cursor.
func TestReadReceipts(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta", "carla")
	g := n.group(ids...)
	a, b, b2, c := n.login(ids[0]), n.login(ids[1]), n.login(ids[1], obj{"device": "two"}), n.login(ids[2])
	for range 3 {
		a.say(with(ids[1]), "x")
		a.say(in(g), "x")
	}
	b.has(with(ids[0]), 1, 3)
	b.has(in(g), 1, 3)
	b.send(with(ids[0]).receipt(2, obj{"read": true}), with(ids[0]).receipt(3), in(g).receipt(3, obj{"read": true}),
		with(ids[0]).receipt(100, obj{"read": true}))
	want := func(w *wire, peer, group, seq int64) {
		t.Helper()
		f := w.op(proto.RECEIPT)
		if f.int("peer") != peer || f.int("groupid") != group || f.int("id") != ids[1] || f.int("seq") != seq || !f.bool("read") {
			t.Errorf("got %v, want peer %d, groupid %d, id %d, seq %d and read", f, peer, group, ids[1], seq)
		}
	}
	want(a, ids[1], 0, 2)
	want(a, ids[1], 0, 3)
	want(b2, ids[0], 0, 2)
	want(b2, 0, g, 3)
	want(b2, ids[0], 0, 3)
	for _, w := range []*wire{a, b, c} {
		w.barrier()
		w.nothing(proto.RECEIPT)
	}
	for _, e := range b.ok(obj{"msgid": proto.CONVERSATIONS}).list("conversations") {
		if e.int("read") != 3 {
			t.Errorf("conversation %v has read %d, want 3", e, e.int("read"))
		}
	}
}

// SYNC reads the log in both directions, within its limits. It returns the first
// and last seq that the user may see, and changes no cursor.
func TestSync(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta", "carla", "dora")
	g := n.group(ids[0], ids[1])
	a := n.login(ids[0])
	a.pump(in(g), "x", 120, 100)
	c := n.login(ids[2], obj{"ack": true})
	c.ok(obj{"msgid": proto.ADD_GROUP, "groupid": g})
	a.pump(in(g), "y", 30, 30)
	a.pump(with(ids[3]), "z", 10, 10)

	for _, q := range []struct {
		w                     *wire
		c                     conv
		q                     obj
		from, to, first, last int64
		more                  bool
	}{
		{a, in(g), obj{}, 101, 150, 1, 150, true},
		{a, in(g), obj{"limit": 200}, 1, 150, 1, 150, false},
		{a, in(g), obj{"after": 0, "limit": 7}, 1, 7, 1, 150, true},
		{a, in(g), obj{"after": 145, "limit": 5}, 146, 150, 1, 150, false},
		{a, in(g), obj{"after": 150}, 0, 0, 1, 150, false},
		{a, in(g), obj{"after": 1000}, 0, 0, 1, 150, false},
		{a, in(g), obj{"before": 11, "limit": 5}, 6, 10, 1, 150, true},
		{a, in(g), obj{"before": 6, "limit": 5}, 1, 5, 1, 150, false},
		{a, in(g), obj{"before": 1}, 0, 0, 1, 150, false},
		{a, in(g), obj{"before": 0}, 0, 0, 1, 150, false},
		{a, in(g), obj{"before": 9999, "limit": 1}, 150, 150, 1, 150, true},
		// carla joined after seq 120.
		{c, in(g), obj{"after": 0, "limit": 10}, 121, 130, 121, 150, true},
		{c, in(g), obj{"limit": 200}, 121, 150, 121, 150, false},
		{c, in(g), obj{"before": 121}, 0, 0, 121, 150, false},
		{c, in(g), obj{"before": 50}, 0, 0, 121, 150, false},
		{c, with(ids[1]), obj{}, 0, 0, 1, 0, false}, // no messages
		{c, with(ids[2]), obj{}, 0, 0, 1, 0, false}, // no messages to herself
		{a, with(ids[3]), obj{"limit": 3}, 8, 10, 1, 10, true},
	} {
		f := q.w.ok(q.c.sync(q.q))
		ms := f.list("messages")
		var from, to int64
		if len(ms) > 0 {
			from, to = ms[0].int("seq"), ms[len(ms)-1].int("seq")
		}
		if from != q.from || to != q.to || len(ms) > 0 && int64(len(ms)) != to-from+1 ||
			f.int("first") != q.first || f.int("last") != q.last || f.bool("more") != q.more {
			t.Errorf("SYNC %v %v got %d messages, seq %d to %d, first %d, last %d, more %v; want seq %d to %d, first %d, last %d, more %v",
				q.c, q.q, len(ms), from, to, f.int("first"), f.int("last"), f.bool("more"), q.from, q.to, q.first, q.last, q.more)
		}
	}
	// With messages of 32 KiB, the size limits the page.
	for range 12 {
		a.say(with(ids[1]), strings.Repeat("x", 32<<10))
	}
	for _, q := range []obj{{"after": 0}, {"before": 13}} {
		f := a.ok(with(ids[1]).sync(q))
		ms := f.list("messages")
		if len(ms) == 0 || len(ms) > 8 || !f.bool("more") || q["after"] != nil && ms[0].int("seq") != 1 ||
			q["before"] != nil && ms[len(ms)-1].int("seq") != 12 {
			t.Errorf("SYNC %v of large messages got %d, more %v; want 1 to 8, starting at seq 1 or ending at seq 12, and more", q, len(ms), f.bool("more"))
		}
	}
	// carla's cursor hasn't moved.
	c.has(in(g), 121, 150)
	c.close()
	n.login(ids[2], obj{"ack": true}).has(in(g), 121, 150)
}

// A user who logs in gets the messages of a conversation for which the loop
// already has a topic.
func TestLoginIntoConversation(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) { s.reactor.Loops = 1 })
	ids := n.users("anna", "berta")
	a := n.login(ids[0])
	a.say(with(ids[1]), "before")
	b := n.login(ids[1])
	seq := a.say(with(ids[1]), "after")
	b.has(with(ids[0]), 1, seq)
	b.close()
	n.settled(1)
	a.say(with(ids[1]), "away")
	n.login(ids[1]).has(with(ids[0]), 3, 3)
}

// A client that reads its backlog slowly isn't disconnected. New messages wait
// until it has the backlog, and others aren't delayed.
func TestSlowReaderOfBacklog(t *testing.T) {
	t.Parallel()
	const count = 300 // of 16 KiB each: more than fits into all buffers
	n := serve(t)
	ids := n.users("anna", "berta", "carla")
	a, c := n.login(ids[0]), n.login(ids[2])
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
	// berta reads nothing yet.
	for i := range int64(20) {
		c.say(with(ids[1]), "live")
		if i%4 == 0 {
			a.say(with(ids[1]), "live")
		}
	}
	b.has(with(ids[0]), 1, count+5)
	b.has(with(ids[2]), 1, 20)
	b.nothing(proto.KICK)
}

// A client that doesn't read is disconnected when too much waits for it. It
// doesn't delay others, and gets everything at its next login.
func TestNeverReads(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta", "carla")
	b := n.dial()
	b.narrow()
	b.login(ids[1], obj{"ack": true})
	a, c := n.login(ids[0]), n.login(ids[2])
	text := strings.Repeat("x", 30<<10)
	sent := int64(0)
	for n.gauge("chatd_service_sessions") == 3 {
		sent = a.say(with(ids[1]), text)
		if sent > 2000 {
			t.Fatalf("a client that doesn't read is still connected after %d messages, want it closed", sent)
		}
		if sent%50 == 1 {
			c.say(with(ids[0]), "not delayed")
		}
	}
	if f := b.kicked(); f != nil && f.str("reason") != proto.Slow {
		t.Errorf("got %v, want KICK with reason %s, or none", f, proto.Slow)
	}
	got := b.pushed[with(ids[0])]
	for i, seq := range got {
		if seq != int64(i+1) {
			t.Fatalf("pushed before the connection was closed: %v, want 1, 2, 3, … without a gap", got)
		}
	}
	b = n.login(ids[1], obj{"ack": true})
	b.has(with(ids[0]), 1, sent)
}

// A read receipt is pushed only if the user has not read as far before, also after a
// restart, and whether or not there have been messages since. Otherwise the peer and the
// user's other devices would be told that less was read.
func TestReadReceiptsOnlyRise(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	g := n.group(ids...)
	a, b := n.login(ids[0]), n.login(ids[1])
	for range 4 {
		a.say(with(ids[1]), "x")
		a.say(in(g), "x")
	}
	b.has(with(ids[0]), 1, 4)
	b.has(in(g), 1, 4)
	read := func(c conv, seqs ...int64) {
		t.Helper()
		for _, seq := range seqs {
			b.send(c.receipt(seq, obj{"read": true}))
		}
		b.barrier()
	}
	read(with(ids[0]), 3)
	read(in(g), 3)
	a.op(proto.RECEIPT)
	n.stop()

	n = start(t, n.cfg)
	a, b = n.login(ids[0]), n.login(ids[1])
	b2 := n.login(ids[1], obj{"device": "two"})
	none := func(when string) {
		t.Helper()
		for _, w := range []*wire{a, b2} {
			w.barrier()
			for _, f := range w.stash {
				if f.op() == proto.RECEIPT {
					t.Fatalf("%s: user %d got %v, want no RECEIPT: the user has read up to there before", when, w.id, f)
				}
			}
		}
	}
	rises := func(when string, c conv, seq int64) {
		t.Helper()
		read(c, seq)
		for _, w := range []*wire{a, b2} {
			if w == a && c.group != 0 {
				continue
			}
			if f := w.op(proto.RECEIPT); f.int("seq") != seq {
				t.Errorf("%s: user %d got %v, want seq %d", when, w.id, f, seq)
			}
		}
		read(c, seq, seq-1)
		none(when + ", again")
	}
	read(with(ids[0]), 2, 3, 1, 3)
	none("quiet pair")
	rises("quiet pair", with(ids[0]), 4)
	read(in(g), 2, 3, 1, 3)
	none("group")
	rises("group", in(g), 4)
	n.stop()

	n = start(t, n.cfg)
	a, b = n.login(ids[0]), n.login(ids[1])
	b2 = n.login(ids[1], obj{"device": "two"})
	a.say(with(ids[1]), "x")
	b.upTo(with(ids[0]), 5)
	read(with(ids[0]), 2, 4, 3, 4)
	none("pair with a new message")
	rises("pair with a new message", with(ids[0]), 5)
}
