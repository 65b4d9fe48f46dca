package service_test

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatd/proto"
	"chatd/reactor"
	"chatd/service"
	"chatd/service/bus"
	"chatd/service/session"
)

// shuffled is a bus that keeps a node's word of new messages back until
// another one has come, and then tells the later first: what two publishers
// through two ways do all the time.
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

// Hints that come in the wrong order are put right, without a gap on the way
// and, as they are held for a moment, without asking the log about each.
func TestHintsOutOfOrder(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var kept []bus.Message
	one := serve(t, func(s *setup) {
		s.service.Delivery.SweepEvery = time.Hour // it isn't the sweep that mends this
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
		t.Errorf("%v reads of the log for %d messages", reads, n)
	}
}

// The users of a node that died are found out: nobody shows them as online
// for longer than a look takes.
func TestUsersOfDeadNode(t *testing.T) {
	t.Parallel()
	one, two, lost := pairOfNodes(t, func(s *setup) { s.service.Presence.LookEvery = 50 * time.Millisecond })
	ids := one.users("anna", "berta")
	one.befriend(ids[0], ids[1])
	a := one.login(ids[0])
	two.login(ids[1])
	a.presence(ids[1], "online")
	// Its subscriptions die with a node, and it says no more.
	lost.Store(true)
	if err := two.bus.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.presence(ids[1], "offline")
	if s := a.state(ids[1]); s != "offline" {
		t.Errorf("state %q", s)
	}
}

// While the bus is away, nobody is declared offline for it; when it is back,
// a device that logged in on two nodes meanwhile is one again, the later.
func TestBusAway(t *testing.T) {
	t.Parallel()
	one, two, lost := pairOfNodes(t, func(s *setup) { s.service.Presence.LookEvery = 50 * time.Millisecond })
	ids := one.users("anna", "berta")
	g := one.group(ids...)
	first := one.login(ids[0])
	b := two.login(ids[1])
	lost.Store(true)
	one.svc.BusChanged(false)
	two.svc.BusChanged(false)
	second := two.login(ids[0])
	// Messages go on, a moment later.
	b.say(in(g), "by the log alone")
	first.has(in(g), 1, 1)
	second.has(in(g), 1, 1)
	lost.Store(false)
	one.svc.BusChanged(true)
	two.svc.BusChanged(true)
	if f := first.kicked(); f == nil || f.str("reason") != proto.Replaced {
		t.Errorf("the earlier session got %v", f)
	}
	b.say(in(g), "again by the bus")
	second.has(in(g), 1, 2)
}

// silent is a bus that can't tell who is online while it is told so.
type silent struct {
	bus.Bus
	dumb  *atomic.Bool
	asked *atomic.Int64
}

func (b silent) Online(ctx context.Context, users []int64) ([]bool, error) {
	if b.dumb.Load() {
		b.asked.Add(1)
		return make([]bool, len(users)), errors.New("no answer")
	}
	return b.Bus.Online(ctx, users)
}

// A bus that can't be asked knows nobody, and that is no reason to declare
// everyone offline; lists are given all the same.
func TestBusWithoutAnswer(t *testing.T) {
	t.Parallel()
	var dumb atomic.Bool
	var asked atomic.Int64
	one := serve(t, func(s *setup) {
		s.service.Presence.LookEvery = 20 * time.Millisecond
		s.service.Presence.Grace = 50 * time.Millisecond
		s.bus = func(b bus.Bus) bus.Bus { return silent{b, &dumb, &asked} }
	})
	two := one.second()
	ids := one.users("anna", "berta")
	one.befriend(ids[0], ids[1])
	a := one.login(ids[0])
	b := two.login(ids[1])
	a.presence(ids[1], "online")
	dumb.Store(true)
	eventually(t, "some looks", func() bool { return asked.Load() > 3 })
	one.login(ids[0], obj{"device": "two"})
	a.nothing(proto.PRESENCE)
	dumb.Store(false)
	b.close()
	a.presence(ids[1], "offline")
}

// A device that was logged out from another node while the bus was away is
// found out when it is back: a token that has ended opens nothing for long.
func TestLoggedOutWhileAway(t *testing.T) {
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
		t.Errorf("the other device got %v", f)
	}
	phone.barrier()
	stays.barrier()
}

// A panic behind the answer to one message keeps nobody from the rest of its
// batch.
func TestPanicInAcknowledging(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) {
		s.reactor.Loops = 1
		s.panics = 1
		s.service.Delivery.SweepEvery = time.Hour // would find what isn't delivered
	})
	ids := n.users("anna", "berta")
	anna, berta := n.login(ids[0], obj{"ack": true}), n.login(ids[1], obj{"ack": true})
	anna.say(with(ids[1]), "before")
	n.onConn(ids[0], func(t service.Turn, c *session.Conn) {
		// A nil message first in its list has what follows each answer panic.
		list := reflect.ValueOf(c).Elem().FieldByName("on").FieldByName("order").FieldByName("inFlight")
		list = reflect.NewAt(list.Type(), list.Addr().UnsafePointer()).Elem()
		list.Set(reflect.Append(list, reflect.Zero(list.Type().Elem())))
	})
	var reqs []obj // in one go: one batch
	for i := range 4 {
		reqs = append(reqs, with(ids[1]).chat("in the batch").with(obj{"rid": 101 + i}))
	}
	anna.send(reqs...)
	for i := range reqs {
		if f := anna.answer(int64(101 + i)); f.int("errno") != 0 {
			t.Errorf("message %d got %v", i, f)
		}
	}
	berta.has(with(ids[0]), 1, 5)
}

// onConn runs fn with the connection of a user's only session, on its loop.
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

// A panic while one message is delivered costs nobody an answer: it and the
// rest of its batch are stored, and so acknowledged, and those to others are
// delivered.
func TestPanicInDelivery(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) {
		s.reactor.Loops = 1
		s.panics = 1
		s.service.Delivery.SweepEvery = time.Hour // would find what isn't delivered, and panic too
	})
	ids := n.users("anna", "berta", "carla")
	anna := n.login(ids[0], obj{"ack": true})
	berta, carla := n.login(ids[1], obj{"ack": true}), n.login(ids[2], obj{"ack": true})
	anna.say(with(ids[1]), "before")
	anna.say(with(ids[2]), "before")
	// Without its connection whatever is written to berta's session panics.
	var conn *reactor.Conn
	n.onConn(ids[1], func(t service.Turn, c *session.Conn) { conn, c.Conn = c.Conn, nil })

	var reqs []obj // in one go: one batch
	for i, to := range []int64{ids[2], ids[1], ids[2], ids[0]} {
		reqs = append(reqs, with(to).chat("in the batch").with(obj{"rid": 101 + i}))
	}
	anna.send(reqs...)
	for i := range reqs {
		if f := anna.answer(int64(101 + i)); f.int("errno") != 0 {
			t.Errorf("message %d got %v", i, f)
		}
	}
	carla.has(with(ids[0]), 1, 3)
	n.onConn(ids[1], func(t service.Turn, c *session.Conn) { c.Conn = conn })
	anna.say(with(ids[1]), "after")
	berta.has(with(ids[0]), 1, 3) // the log has what wasn't delivered
}
