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

// A message of these tests, of which all are alike, as the node counts it.
const (
	overloadText = 100
	overloadCost = 2*(overloadText+26) + 512 // rand.Text has 26 letters
	overloadRoom = 64 << 10
)

// standstill is a node whose log stands still until goOn is called: some
// messages are stored, and nobody hears of it.
func standstill(t *testing.T, change ...func(*setup)) (n *node, goOn func()) {
	t.Helper()
	gate := make(chan struct{})
	goOn = sync.OnceFunc(func() { close(gate) })
	n = serve(t, append(change, func(s *setup) {
		s.service.Session.MaxUnanswered = overloadRoom
		s.sunk = func([]byte) { <-gate }
	})...)
	t.Cleanup(goOn) // before the node ends
	return n, goOn
}

// poured is one message of a sender, and what became of it.
type poured struct {
	text string
	chat obj
	seq  int64 // 0: not acknowledged
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

// pour sends all that has no seq yet, in one go and however much it is.
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

// answers reads an answer for each that waits: an ACK, or errno 9 with a pause.
// Anything else, and nothing, is a failure. ACKs keep the order of sending.
func (w *wire) answers(waiting map[string]*poured, all []*poured) (refused int) {
	w.tb.Helper()
	var done []*poured
	for len(waiting) > 0 {
		f := w.op(proto.ONE_CHAT_ACK)
		s := waiting[f.str("cid")]
		switch {
		case s == nil:
			w.fatalf("an answer to nothing that was sent: %s", f)
		case f.int("errno") == 0:
			s.seq = f.int("seq")
			done = append(done, s)
		case f.int("errno") == int64(proto.TooFast) && f.int("retry_after_ms") > 0:
			refused++
		default:
			w.fatalf("%s", f)
		}
		delete(waiting, f.str("cid"))
	}
	for i := 1; i < len(done); i++ {
		if done[i].seq <= done[i-1].seq {
			w.fatalf("seq %d after %d", done[i].seq, done[i-1].seq)
		}
	}
	return refused
}

// decided waits until each of n messages is refused or taken, and sees that
// what was taken stays within its bounds meanwhile. It returns how many were.
func decided(t *testing.T, n *node, all int) (taken int) {
	t.Helper()
	eventually(t, "each message to be taken or refused", func() bool {
		bytes := n.gauge("chatd_service_unanswered_bytes")
		if most := float64(overloadRoom + n.cfg.reactor.Loops*overloadCost); bytes > most {
			t.Fatalf("%v bytes are taken, and the bound is %v", bytes, most)
		}
		taken = int(bytes) / overloadCost
		refused := n.count("chatd_service_unanswered_refused_total") + n.count(`chatd_reactor_limited_total{limit="waiting"}`)
		return int(refused)+n.limited("behind_refused")+taken == all
	})
	return taken
}

// When the log stands still, memory stays bounded however much is sent: what
// there is no room for is refused with errno 9, at once, and nothing is dropped
// without a word. When the log goes on, so does all else, by itself: what was
// taken is acknowledged, and what was refused is taken when it comes again.
// In the end everyone has everything, numbered without a gap.
func TestOverload(t *testing.T) {
	t.Parallel()
	const senders, each = 6, 200
	var skipped atomic.Int64 // time that nobody had to wait for
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
		t.Errorf("%d messages were taken, and there is room for %d", taken, most)
	}
	if b := n.gauge("chatd_model_queue_bytes"); b > overloadRoom {
		t.Errorf("%v bytes wait in the queue", b)
	}
	goOn()
	var fs []func()
	refused := make([]int, senders)
	for i, w := range from {
		fs = append(fs, func() {
			refused[i] = w.answers(waiting[i], all[i])
			for again := refused[i]; again > 0; {
				skipped.Add(int64(time.Second)) // each has told so
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
				t.Errorf("pair %d: %q was acknowledged and not delivered", i, s.text)
			}
		}
	}
	if total != senders*each-taken {
		t.Errorf("%d of %d were refused, and %d taken", total, senders*each, taken)
	}
	for _, g := range []string{"chatd_service_unanswered_bytes", "chatd_model_queue_bytes", "chatd_model_queue_messages", "chatd_reactor_held_bytes"} {
		if v := n.gauge(g); v != 0 {
			t.Errorf("%s is %v when all is done", g, v)
		}
	}
}

// A message that there is no room for isn't overtaken by those sent behind it,
// as with a limit: whatever was on its way until the sender could know of it is
// refused too, and what is sent again in its order keeps the order.
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
	large := to.chat("large " + strings.Repeat(".", overloadRoom/2-6)) // never has room

	// Nothing before it: it is told at once.
	small := to.chat("small")
	w.send(large, small)
	for range 2 {
		if f := w.op(proto.ONE_CHAT_ACK); f.int("errno") != int64(proto.TooFast) || f.int("retry_after_ms") != 1000 {
			t.Fatalf("got %s", f)
		}
	}
	other.barrier() // nobody else is concerned
	now.add(time.Second)

	// Something before it, whose answer it waits for.
	rids := []int64{w.ask(small), w.ask(large), w.ask(to.chat("behind"))}
	w.tooFast(time.Second, obj{"msgid": proto.PING})
	now.add(5 * time.Second)
	rids = append(rids, w.ask(to.chat("much later")))
	w.ok(obj{"msgid": proto.PING})
	if len(w.stash) > 0 {
		t.Fatal("something was answered before what was sent earlier: ", w.stash)
	}
	open()
	for i, rid := range rids {
		f, want := w.next(), proto.Done
		if i > 0 {
			want = proto.TooFast
		}
		if f.int("rid") != rid || proto.Errno(f.int("errno")) != want || i > 0 && f.int("retry_after_ms") != 1000 {
			t.Fatalf("message %d got %v", i, f)
		}
	}
	w.tooFast(time.Second, to.chat("on its way"))
	now.add(time.Second)
	if f := w.ok(to.chat("again")); f.int("seq") != 2 {
		t.Errorf("got %s", f)
	}
}

// A refusal that is for good isn't sent again, and so keeps nobody back: what
// comes behind it is taken while it waits to be told.
func TestRefusedForGoodHoldsNobodyBack(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	n := serve(t, func(s *setup) { s.sunk = func([]byte) { <-gate } })
	ids := n.users("anna", "berta")
	w := n.login(ids[0])
	rids := []int64{w.ask(with(ids[1]).chat("one")), w.ask(with(ids[1]).chat("mine?").with(obj{"id": ids[1]})), w.ask(with(ids[1]).chat("two"))}
	w.ok(obj{"msgid": proto.PING}) // all of them were looked at
	open()
	for i, want := range []proto.Errno{proto.Done, proto.NotAllowed, proto.Done} {
		if f := w.next(); f.int("rid") != rids[i] || proto.Errno(f.int("errno")) != want {
			t.Errorf("message %d got %v", i, f)
		}
	}
}

// Those who send as much as they can are refused before those who hardly say
// anything: there is always room left for these.
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
		modest[i].answer(modest[i].ask(obj{"msgid": proto.PING})) // a refusal would have come before it
	}
	if now := n.count("chatd_service_unanswered_refused_total"); now != before {
		t.Errorf("%v of %d that say one thing were refused", now-before, quiet)
	}
	goOn()
	for _, w := range modest {
		if f := w.op(proto.ONE_CHAT_ACK); f.int("errno") != 0 {
			t.Errorf("%s", f)
		}
	}
	for i, w := range bullies {
		w.answers(waiting[i], all[i])
	}
}

// A connection that is gone takes nothing with it: what it had taken of the
// room is given back once its messages are stored.
func TestOverloadOfTheGone(t *testing.T) {
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
		t.Errorf("%v bytes are taken by %d messages", bytes, taken)
	}
	goOn()
	b.upTo(with(ids[0]), int64(taken))
	eventually(t, "the room to be free", func() bool { return n.gauge("chatd_service_unanswered_bytes") == 0 })
}

// blocked has the loops of a node do nothing until release is called.
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

// The loops of a node that can't follow what other nodes tell it are spared
// some of it, so that memory stays bounded; of messages nothing is lost by that,
// as the log has them.
func TestHintsBeyondTheMailbox(t *testing.T) {
	t.Parallel()
	const bound, messages = 8 << 10, 100
	one := serve(t, func(s *setup) {
		s.reactor.MaxMailbox = bound
		s.service.Delivery.SweepEvery = 20 * time.Millisecond
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
		t.Error("no hint was dropped")
	}
	if n := two.gauge("chatd_reactor_mailbox_bytes"); n > float64(2*bound) {
		t.Errorf("%v bytes wait for the loops", n)
	}
	release()
	b.has(in(g), 1, messages+1)
}

// Events are for the moment: loops that can't follow go without, and are told
// of the next ones.
func TestEventsBeyondTheMailbox(t *testing.T) {
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
		a.send(in(g).event("lost, perhaps"))
	}
	eventually(t, "an event to be dropped", func() bool { return two.count("chatd_service_events_dropped_total") > 0 })
	if n := two.gauge("chatd_reactor_mailbox_bytes"); n > float64(2*bound) {
		t.Errorf("%v bytes wait for the loops", n)
	}
	release()
	eventually(t, "the mailboxes to be empty", func() bool { return two.gauge("chatd_reactor_mailbox_bytes") == 0 })
	a.send(in(g).event("after"))
	b.await("the event that came after", func(f frame) bool { return f.op() == proto.EVENT && f.str("event") == "after" })
}
