package service_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatd/proto"
	"chatd/reactor"
)

// All messages in these tests have the same size.
const (
	overloadText = 100                       // bytes of text
	overloadCost = 2*(overloadText+26) + 512 // bytes that the node reserves for a message; a cid has 26 letters
	overloadRoom = 64 << 10                  // MaxUnanswered
)

// standstill starts a node on which no message is answered until goOn is called,
// because the log's writers block before they call Committed.
func standstill(t *testing.T, change ...func(*setup)) (n *node, goOn func()) {
	t.Helper()
	gate := make(chan struct{})
	goOn = sync.OnceFunc(func() { close(gate) })
	n = serve(t, append(change, func(s *setup) {
		s.service.Session.MaxUnanswered = overloadRoom
		s.sunk = func([]byte) { <-gate }
	})...)
	t.Cleanup(goOn) // runs before the node stops
	return n, goOn
}

// poured is a message of a sender.
type poured struct {
	text string
	chat obj
	seq  int64 // of the ACK; 0: not acknowledged yet
}

func someMessages(who, n int, to conv) []*poured {
	all := make([]*poured, n)
	for i := range all {
		text := fmt.Sprintf("%d %d ", who, i)
		all[i] = &poured{text: text + strings.Repeat(".", overloadText-len(text))}
		all[i].chat = to.chat(all[i].text)
	}
	return all
}

// pour sends all messages that aren't acknowledged, in one write. It returns
// them by cid.
func (w *wire) pour(all []*poured) (waiting map[string]*poured) {
	waiting = make(map[string]*poured)
	var reqs []obj
	for _, s := range all {
		if s.seq == 0 {
			waiting[s.chat["cid"].(string)] = s
			reqs = append(reqs, s.chat)
		}
	}
	w.send(reqs...)
	return waiting
}

// answers reads the answers to all messages in waiting: ACKs, in the order of
// sending, or refusals with errno 9 and retry_after. It returns the number of
// refusals. Anything else fails the test.
func (w *wire) answers(waiting map[string]*poured, all []*poured) (refused int) {
	w.tb.Helper()
	var done []*poured
	for len(waiting) > 0 {
		f := w.op(proto.ONE_CHAT_ACK)
		s := waiting[f.str("cid")]
		switch {
		case s == nil:
			w.fatalf("got %s, want an answer to one of %d waiting messages", f, len(waiting))
		case f.int("errno") == 0:
			s.seq = f.int("seq")
			done = append(done, s)
		case f.int("errno") == int64(proto.TooFast) && f.int("retry_after_ms") > 0:
			refused++
		default:
			w.fatalf("got %s, want errno 0, or errno %d with retry_after_ms", f, proto.TooFast)
		}
		delete(waiting, f.str("cid"))
	}
	for i := 1; i < len(done); i++ {
		if done[i].seq <= done[i-1].seq {
			w.fatalf("got seq %d after seq %d, want them to rise", done[i].seq, done[i-1].seq)
		}
	}
	return refused
}

// decided waits until all messages are either accepted or refused, and returns
// the number of accepted ones. It checks that these stay within MaxUnanswered.
func decided(t *testing.T, n *node, all int) (taken int) {
	t.Helper()
	eventually(t, "all messages to be accepted or refused", func() bool {
		bytes := n.gauge("chatd_service_unanswered_bytes")
		if most := float64(overloadRoom + n.cfg.reactor.Loops*overloadCost); bytes > most {
			t.Fatalf("chatd_service_unanswered_bytes is %v, want at most %v", bytes, most)
		}
		taken = int(bytes) / overloadCost
		refused := n.count("chatd_service_unanswered_refused_total") + n.count(`chatd_reactor_limited_total{limit="waiting"}`)
		return int(refused)+n.limited("behind_refused")+taken == all
	})
	return taken
}

// If the log stalls, memory stays bounded: messages beyond MaxUnanswered are
// refused at once with errno 9. When the log continues, the accepted messages
// are acknowledged, and the refused ones can be resent. In the end all messages
// are delivered, without gaps.
func TestOverload(t *testing.T) {
	t.Parallel()
	const senders, each = 6, 200
	var skipped atomic.Int64 // how far the reactor's clock is ahead, to skip retry_after
	n, goOn := standstill(t, func(s *setup) {
		s.reactor.Now = func() time.Time { return time.Now().Add(time.Duration(skipped.Load())) }
		s.reactor.IdleTimeout = 24 * time.Hour
	})
	ids := make([]int64, 2*senders)
	from, to := make([]*wire, senders), make([]*wire, senders)
	for i := range ids {
		ids[i] = n.user(fmt.Sprint("user ", i))
	}
	all, waiting := make([][]*poured, senders), make([]map[string]*poured, senders)
	for i := range senders {
		from[i], to[i] = n.login(ids[2*i], obj{"ack": true}), n.login(ids[2*i+1], obj{"ack": true})
		all[i] = someMessages(i, each, with(ids[2*i+1]))
	}
	for i, w := range from {
		waiting[i] = w.pour(all[i])
	}
	taken := decided(t, n, senders*each)
	if most := overloadRoom/overloadCost + n.cfg.reactor.Loops; taken == 0 || taken > most {
		t.Errorf("%d messages were accepted, want 1 to %d", taken, most)
	}
	if b := n.gauge("chatd_model_queue_bytes"); b > overloadRoom {
		t.Errorf("chatd_model_queue_bytes is %v, want at most %d", b, overloadRoom)
	}
	goOn()
	var fs []func()
	refused := make([]int, senders)
	for i, w := range from {
		fs = append(fs, func() {
			refused[i] = w.answers(waiting[i], all[i])
			for again := refused[i]; again > 0; {
				skipped.Add(int64(time.Second)) // the retry_after of the refusals
				again = w.answers(w.pour(all[i]), all[i])
			}
		})
	}
	together(fs...)
	total := 0
	for i, w := range to {
		total += refused[i]
		w.has(with(ids[2*i]), 1, each)
		texts := make(map[string]bool)
		for seq := int64(1); seq <= each; seq++ {
			texts[w.bodies[with(ids[2*i])][seq].str("msg")] = true
		}
		for _, s := range all[i] {
			if !texts[s.text] {
				t.Errorf("pair %d: %q was acknowledged but not delivered", i, s.text)
			}
		}
	}
	if total != senders*each-taken {
		t.Errorf("%d messages were refused, want %d: all but the %d that were accepted", total, senders*each-taken, taken)
	}
	for _, g := range []string{"chatd_service_unanswered_bytes", "chatd_model_queue_bytes", "chatd_model_queue_messages", "chatd_reactor_held_bytes"} {
		if v := n.gauge(g); v != 0 {
			t.Errorf("%s is %v after all messages were answered, want 0", g, v)
		}
	}
}

// If a message is refused because MaxUnanswered is reached, all messages that
// the client sends before it gets the refusal are refused too, so that they
// don't overtake the refused one.
func TestOverloadKeepsOrder(t *testing.T) {
	t.Parallel()
	var now *atomicTime
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	n := serve(t, func(s *setup) {
		now = standing(s)
		s.service.Session.MaxUnanswered = overloadRoom
		s.sunk = func([]byte) { <-gate }
	})
	ids := n.users("anna", "berta", "carla")
	w, other := n.login(ids[0]), n.login(ids[1])
	to := with(ids[2])
	large := to.chat("large " + strings.Repeat(".", overloadRoom/2-6)) // always refused

	// With no message before it, the refusal is sent at once.
	small := to.chat("small")
	w.send(large, small)
	for range 2 {
		if f := w.op(proto.ONE_CHAT_ACK); f.int("errno") != int64(proto.TooFast) || f.int("retry_after_ms") != 1000 {
			t.Fatalf("got %s, want errno %d with retry_after_ms 1000", f, proto.TooFast)
		}
	}
	other.barrier() // other connections aren't affected
	now.add(time.Second)

	// With a message before it, the refusal waits for that one's answer.
	rids := []int64{w.ask(small), w.ask(large), w.ask(to.chat("behind"))}
	w.tooFast(time.Second, obj{"msgid": proto.PING})
	now.add(5 * time.Second)
	rids = append(rids, w.ask(to.chat("much later")))
	w.ok(obj{"msgid": proto.PING})
	if len(w.stash) > 0 {
		t.Fatalf("got answers %v, want none before the first message is stored", w.stash)
	}
	open()
	for i, rid := range rids {
		f, want := w.next(), proto.Done
		if i > 0 {
			want = proto.TooFast
		}
		if f.int("rid") != rid || proto.Errno(f.int("errno")) != want || i > 0 && f.int("retry_after_ms") != 1000 {
			t.Fatalf("message %d got %v, want rid %d and errno %d, with retry_after_ms 1000 if refused", i, f, rid, want)
		}
	}
	w.tooFast(time.Second, to.chat("on its way"))
	now.add(time.Second)
	if f := w.ok(to.chat("again")); f.int("seq") != 2 {
		t.Errorf("got %s, want seq 2", f)
	}
}

// A message that is refused for good isn't resent. So messages after it are
// accepted while its refusal waits to be sent.
func TestPermanentRefusalDoesNotThrottle(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	n := serve(t, func(s *setup) { s.sunk = func([]byte) { <-gate } })
	ids := n.users("anna", "berta")
	w := n.login(ids[0])
	rids := []int64{w.ask(with(ids[1]).chat("one")), w.ask(with(ids[1]).chat("mine?").with(obj{"id": ids[1]})), w.ask(with(ids[1]).chat("two"))}
	w.ok(obj{"msgid": proto.PING}) // all messages have been handled
	open()
	for i, want := range []proto.Errno{proto.Done, proto.NotAllowed, proto.Done} {
		if f := w.next(); f.int("rid") != rids[i] || proto.Errno(f.int("errno")) != want {
			t.Errorf("message %d got %v, want rid %d and errno %d", i, f, rids[i], want)
		}
	}
}

// Clients that send as much as they can don't use up all of MaxUnanswered:
// messages from clients that send little are still accepted.
func TestOverloadIsShared(t *testing.T) {
	t.Parallel()
	const greedy, each, quiet = 3, 150, 8
	n, goOn := standstill(t)
	peer := n.user("peer")
	all, waiting := make([][]*poured, greedy), make([]map[string]*poured, greedy)
	var bullies []*wire
	for i := range greedy {
		w := n.login(n.user(fmt.Sprint("bully ", i)))
		all[i] = someMessages(i, each, with(peer))
		waiting[i] = w.pour(all[i])
		bullies = append(bullies, w)
	}
	decided(t, n, greedy*each)
	before := n.count("chatd_service_unanswered_refused_total")
	modest := make([]*wire, quiet)
	for i := range modest {
		modest[i] = n.login(n.user(fmt.Sprint("modest ", i)))
		modest[i].send(with(peer).chat(strings.Repeat(".", overloadText)))
		modest[i].answer(modest[i].ask(obj{"msgid": proto.PING})) // the message has been handled
	}
	if now := n.count("chatd_service_unanswered_refused_total"); now != before {
		t.Errorf("%v of %d messages from quiet clients were refused, want none", now-before, quiet)
	}
	goOn()
	for _, w := range modest {
		if f := w.op(proto.ONE_CHAT_ACK); f.int("errno") != 0 {
			t.Errorf("a quiet client got %s, want errno 0", f)
		}
	}
	for i, w := range bullies {
		w.answers(waiting[i], all[i])
	}
}

// The memory reserved for messages of a closed connection is released once they
// are stored.
func TestOverloadByClosedConnection(t *testing.T) {
	t.Parallel()
	n, goOn := standstill(t)
	ids := n.users("anna", "berta")
	b := n.login(ids[1], obj{"ack": true})
	a := n.login(ids[0])
	a.pour(someMessages(0, 200, with(ids[1])))
	taken := decided(t, n, 200)
	a.close()
	n.settled(1)
	if bytes := n.gauge("chatd_service_unanswered_bytes"); bytes != float64(taken*overloadCost) {
		t.Errorf("chatd_service_unanswered_bytes is %v, want %d for %d messages", bytes, taken*overloadCost, taken)
	}
	goOn()
	b.upTo(with(ids[0]), int64(taken))
	eventually(t, "chatd_service_unanswered_bytes to be 0", func() bool { return n.gauge("chatd_service_unanswered_bytes") == 0 })
}

// blocked blocks all loops of a node until release is called.
func blocked(t *testing.T, n *node) (release func()) {
	t.Helper()
	gate, standing := make(chan struct{}), make(chan struct{})
	release = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release)
	for i := range n.r.Loops() {
		if err := n.r.Post(i, func(reactor.Turn) {
			standing <- struct{}{}
			<-gate
		}); err != nil {
			t.Fatal(err)
		}
		<-standing
	}
	return release
}

// If a loop's mailbox is full, hints from other nodes are dropped, so that
// memory stays bounded. The messages are delivered later from the log.
func TestFullMailboxDropsHints(t *testing.T) {
	t.Parallel()
	const bound, messages = 8 << 10, 100
	one := serve(t, func(s *setup) {
		s.reactor.MaxMailbox = bound
		s.service.Delivery.RepairEvery = 20 * time.Millisecond
	})
	two := one.second()
	ids := one.users("anna", "berta")
	g := one.group(ids...)
	a, b := one.login(ids[0]), two.login(ids[1], obj{"ack": true})
	a.say(in(g), "before")
	b.has(in(g), 1, 1)
	release := blocked(t, two)
	for range messages {
		a.say(in(g), strings.Repeat("x", overloadText))
	}
	if n := two.count("chatd_service_hints_dropped_total"); n == 0 {
		t.Error("chatd_service_hints_dropped_total is 0, want dropped hints")
	}
	if n := two.gauge("chatd_reactor_mailbox_bytes"); n > float64(2*bound) {
		t.Errorf("chatd_reactor_mailbox_bytes is %v, want at most %d", n, 2*bound)
	}
	release()
	b.has(in(g), 1, messages+1)
}

// If a loop's mailbox is full, events are dropped. Later ones are delivered
// again.
func TestFullMailboxDropsEvents(t *testing.T) {
	t.Parallel()
	const bound, events = 4 << 10, 100
	one := serve(t, func(s *setup) { s.reactor.MaxMailbox = bound })
	two := one.second()
	ids := one.users("anna", "berta")
	g := one.group(ids...)
	a, b := one.login(ids[0]), two.login(ids[1])
	a.send(in(g).event("before"))
	b.op(proto.EVENT)
	release := blocked(t, two)
	for range events {
		a.send(in(g).event("may be dropped"))
	}
	eventually(t, "an event to be dropped", func() bool { return two.count("chatd_service_events_dropped_total") > 0 })
	if n := two.gauge("chatd_reactor_mailbox_bytes"); n > float64(2*bound) {
		t.Errorf("chatd_reactor_mailbox_bytes is %v, want at most %d", n, 2*bound)
	}
	release()
	eventually(t, "the mailboxes to be empty", func() bool { return two.gauge("chatd_reactor_mailbox_bytes") == 0 })
	a.send(in(g).event("after"))
	b.await("the event after", func(f frame) bool { return f.op() == proto.EVENT && f.str("event") == "after" })
}
