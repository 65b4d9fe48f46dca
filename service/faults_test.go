package service_test

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"chatd/proto"
	"chatd/reactor"
	"chatd/service"
	"chatd/service/bus"
	"chatd/service/session"
)

// shuffled is a bus that reorders hints: it holds each hint back until the next
// one, and publishes that one first. This is common if two nodes publish about
// one conversation.
type shuffled struct {
	bus.Bus
	mu   *sync.Mutex
	kept *[]bus.Message
}

func (b shuffled) Publish(ctx context.Context, ms []bus.Message) error {
	var now []bus.Message
	b.mu.Lock()
	for _, m := range ms {
		switch {
		case m.Payload.NewMessages == nil:
			now = append(now, m)
		case len(*b.kept) == 0:
			*b.kept = append(*b.kept, m)
		default:
			now = append(append(now, m), *b.kept...)
			*b.kept = nil
		}
	}
	b.mu.Unlock()
	return b.Bus.Publish(ctx, now)
}

// Hints that arrive in the wrong order are held back for a moment, so that the
// messages are pushed in order and mostly without reading the log.
func TestHintsOutOfOrder(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var kept []bus.Message
	one := serve(t, func(s *setup) {
		s.service.Delivery.RepairEvery = time.Hour // no repair during the test
		s.bus = func(b bus.Bus) bus.Bus { return shuffled{b, &mu, &kept} }
	})
	two := one.second()
	ids := one.users("anna", "berta")
	g := one.group(ids...)
	a, b := one.login(ids[0]), two.login(ids[1])
	const n = 40
	for range n {
		a.say(in(g), "x")
	}
	b.has(in(g), 1, n)
	if reads := two.count("chatd_service_catchup_reads_total"); reads > n/4 {
		t.Errorf("%v reads of the log for %d messages, want at most %d", reads, n, n/4)
	}
}

// overlapping is a bus that repeats, in each hint about new messages of a group, up
// to three of the messages before.
type overlapping struct {
	bus.Bus
	mu   *sync.Mutex
	sent *[][]byte // bodies of all messages so far
}

func (b overlapping) Publish(ctx context.Context, ms []bus.Message) error {
	b.mu.Lock()
	now := slices.Clone(ms)
	for i, m := range now {
		if n := m.Payload.NewMessages; n != nil && len(n.Bodies) > 0 {
			copied := *n
			*b.sent = append((*b.sent)[:n.First-1], n.Bodies...)
			from := max(0, n.First-1-3)
			copied.First, copied.Bodies = from+1, slices.Clone((*b.sent)[from:])
			now[i].Payload.NewMessages = &copied
		}
	}
	b.mu.Unlock()
	return b.Bus.Publish(ctx, now)
}

// If a hint has messages that sessions were sent already, they get the rest of its
// messages, each once, and mostly without reading the log.
func TestHintsOverlap(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var sent [][]byte
	one := serve(t, func(s *setup) {
		s.service.Delivery.RepairEvery = time.Hour // no repair during the test
		s.bus = func(b bus.Bus) bus.Bus { return overlapping{b, &mu, &sent} }
	})
	two := one.second()
	ids := one.users("anna", "berta", "carla", "dora")
	g := one.group(ids...)
	a, b, c, d := one.login(ids[0]), two.login(ids[1]), two.login(ids[2], obj{"ack": false}), two.dialWeb()
	d.login(ids[3])
	const n = 400
	together(
		func() { a.pump(in(g), "x", n, 16) },
		func() { b.has(in(g), 1, n) },
		func() { c.has(in(g), 1, n) },
		func() { d.has(in(g), 1, n) },
	)
	if reads := two.count("chatd_service_catchup_reads_total"); reads > n/10 {
		t.Errorf("%v reads of the log for %d messages, want at most %d", reads, n, n/10)
	}
}

// After a node has crashed, other nodes report its users as offline.
func TestUsersOfDeadNode(t *testing.T) {
	t.Parallel()
	one, two, lost := pairOfNodes(t, func(s *setup) { s.service.Cluster.Tick = quickTick })
	ids := one.users("anna", "berta")
	one.befriend(ids[0], ids[1])
	a := one.login(ids[0])
	two.login(ids[1])
	a.presence(ids[1], "online")
	lost.Store(true) // a crashed node publishes nothing
	if err := two.bus.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.presence(ids[1], "offline")
	if s := a.state(ids[1]); s != "offline" {
		t.Errorf("state of a user of the crashed node is %q, want offline", s)
	}
}

// While the bus is unavailable, messages still arrive. If a device logs in on
// two nodes during that time, only the later session remains.
func TestBusUnavailable(t *testing.T) {
	t.Parallel()
	one, two, lost := pairOfNodes(t)
	ids := one.users("anna", "berta")
	g := one.group(ids...)
	first := one.login(ids[0])
	b := two.login(ids[1])
	lost.Store(true)
	one.svc.BusChanged(false)
	two.svc.BusChanged(false)
	second := two.login(ids[0])
	// Messages arrive through the feed.
	b.say(in(g), "without the bus")
	second.has(in(g), 1, 1)
	if f := first.kicked(); f == nil || f.str("reason") != proto.Replaced {
		t.Errorf("the earlier session got %v, want KICK with reason %s", f, proto.Replaced)
	}
	lost.Store(false)
	one.svc.BusChanged(true)
	two.svc.BusChanged(true)
	b.say(in(g), "with the bus")
	second.has(in(g), 1, 2)
}

// If a device was logged out on another node while the bus was unavailable, its
// session ends when the bus is available again.
func TestLoggedOutDuringOutage(t *testing.T) {
	t.Parallel()
	one, two, lost := pairOfNodes(t)
	id := one.user("anna")
	phone, pad := one.login(id, obj{"device": "phone"}), two.login(id, obj{"device": "pad"})
	stays := two.login(two.user("berta"))
	lost.Store(true)
	phone.ok(obj{"msgid": proto.PASSWORD, "password": secret, "newpassword": "something new"})
	lost.Store(false)
	one.svc.BusChanged(true)
	two.svc.BusChanged(true)
	if f := pad.kicked(); f == nil || f.str("reason") != proto.LoggedOut {
		t.Errorf("the other device got %v, want KICK with reason %s", f, proto.LoggedOut)
	}
	phone.barrier()
	stays.barrier()
}

// If answering one message causes a panic, the rest of its batch is still
// answered and delivered.
func TestPanicInAcknowledging(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) {
		s.reactor.Loops = 1
		s.panics = 1
		s.service.Delivery.RepairEvery = time.Hour // repair would deliver the messages
	})
	ids := n.users("anna", "berta")
	anna, berta := n.login(ids[0], obj{"ack": true}), n.login(ids[1], obj{"ack": true})
	anna.say(with(ids[1]), "before")
	n.onConn(ids[0], func(t service.Turn, c *session.Conn) {
		// A nil message at the front of inFlight makes AnswerRefused panic.
		list := reflect.ValueOf(c).Elem().FieldByName("on").FieldByName("order").FieldByName("inFlight")
		list = reflect.NewAt(list.Type(), list.Addr().UnsafePointer()).Elem()
		list.Set(reflect.Append(list, reflect.Zero(list.Type().Elem())))
	})
	var reqs []obj // sent in one write, so that they are one batch
	for i := range 4 {
		reqs = append(reqs, with(ids[1]).chat("in the batch").with(obj{"rid": 101 + i}))
	}
	anna.send(reqs...)
	for i := range reqs {
		if f := anna.answer(int64(101 + i)); f.int("errno") != 0 {
			t.Errorf("message %d got %v, want errno 0", i, f)
		}
	}
	berta.has(with(ids[0]), 1, 5)
}

// onConn calls fn with the connection of a user's only session, on its loop.
func (n *node) onConn(user int64, fn func(t service.Turn, c *session.Conn)) {
	n.tb.Helper()
	done := make(chan struct{})
	n.r.Each(func(t service.Turn, rc *reactor.Conn) {
		if c := session.ConnOf(t, rc); c.Session(t) != nil && c.Session(t).User == user {
			fn(t, c)
			close(done)
		}
	})
	<-done
}

// If delivering one message causes a panic, it and the rest of its batch are
// still acknowledged, and the rest is delivered.
func TestPanicInDelivery(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) {
		s.reactor.Loops = 1
		s.panics = 1
		s.service.Delivery.RepairEvery = time.Hour // repair would cause another panic
	})
	ids := n.users("anna", "berta", "carla")
	anna := n.login(ids[0], obj{"ack": true})
	berta, carla := n.login(ids[1], obj{"ack": true}), n.login(ids[2], obj{"ack": true})
	anna.say(with(ids[1]), "before")
	anna.say(with(ids[2]), "before")
	// Without a reactor.Conn, any write to berta's session panics.
	var conn *reactor.Conn
	n.onConn(ids[1], func(t service.Turn, c *session.Conn) { conn, c.Conn = c.Conn, nil })

	var reqs []obj // sent in one write, so that they are one batch
	for i, to := range []int64{ids[2], ids[1], ids[2], ids[0]} {
		reqs = append(reqs, with(to).chat("in the batch").with(obj{"rid": 101 + i}))
	}
	anna.send(reqs...)
	for i := range reqs {
		if f := anna.answer(int64(101 + i)); f.int("errno") != 0 {
			t.Errorf("message %d got %v, want errno 0", i, f)
		}
	}
	carla.has(with(ids[0]), 1, 3)
	n.onConn(ids[1], func(t service.Turn, c *session.Conn) { c.Conn = conn })
	anna.say(with(ids[1]), "after")
	berta.has(with(ids[0]), 1, 3) // the message that wasn't delivered is read from the log
}

// If repair finds several conversations at once, and telling a loop of one causes a
// panic, the others still get their messages: repair doesn't find them again.
func TestPanicInRepair(t *testing.T) {
	t.Parallel()
	one, two, lost := pairOfNodes(t, func(s *setup) { s.reactor.Loops = 1 })
	one.cfg.panics = 1
	ids := one.users("anna", "berta", "carla", "dora")
	anna, ack := two.login(ids[0]), obj{"ack": true}
	berta, carla, dora := one.login(ids[1], ack), one.login(ids[2], ack), one.login(ids[3], ack)
	for i, c := range []*wire{berta, carla, dora} {
		anna.say(with(ids[i+1]), "before")
		c.has(with(ids[0]), 1, 1)
	}
	lost.Store(true)
	// Without a reactor.Conn, using berta's connection panics.
	var conn *reactor.Conn
	one.onConn(ids[1], func(t service.Turn, c *session.Conn) { conn, c.Conn = c.Conn, nil })
	anna.send(with(ids[1]).chat("x"), with(ids[2]).chat("x"), with(ids[3]).chat("x"))
	carla.has(with(ids[0]), 1, 2)
	dora.has(with(ids[0]), 1, 2)
	one.onConn(ids[1], func(t service.Turn, c *session.Conn) { c.Conn = conn })
}
