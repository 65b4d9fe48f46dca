package service_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatd/model"
	"chatd/service"
	"chatd/service/bus"
)

// badRows is a store in which reading the log of some conversations fails, or
// panics.
type badRows struct {
	service.Store
	mu     sync.Mutex
	convs  map[int64]bool
	panics bool
	alone  map[int64]int // failed reads of only this conversation
	most   int           // most conversations in one failed read
}

func (u *badRows) Pages(ctx context.Context, pages []model.PageRequest, maxBytes int) ([]model.Message, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, p := range pages {
		if u.convs[p.Conv] {
			if u.most = max(u.most, len(pages)); len(pages) == 1 {
				u.alone[p.Conv]++
			}
			if u.panics {
				panic("a row that can't be read")
			}
			return nil, errors.New("a row can't be read")
		}
	}
	return u.Store.Pages(ctx, pages, maxBytes)
}

// set makes reading these conversations fail, and no others.
func (u *badRows) set(convs ...int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.convs, u.alone, u.most = make(map[int64]bool), make(map[int64]int), 0
	for _, c := range convs {
		u.convs[c] = true
	}
}

func (u *badRows) failed(conv int64) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.alone[conv]
}

func (u *badRows) mostFailed() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.most
}

// convOf returns the conversation of two users.
func (n *node) convOf(a, b int64) int64 {
	n.tb.Helper()
	v, err := n.db.VisibleRange(n.tb.Context(), a, 0, b)
	if err != nil {
		n.tb.Fatal(err)
	}
	return v.Conv
}

// If some conversations can't be read, the login succeeds, and a device gets what it
// has missed in all others, and their new messages. It gets the rest as soon as it can
// be read again, and nothing twice.
func TestUnreadableConversations(t *testing.T) {
	t.Parallel()
	const pairs = 150
	u := &badRows{}
	u.set()
	n := serve(t, func(s *setup) {
		s.reactor.Loops = 1
		s.store = func(st service.Store) service.Store { u.Store = st; return u }
	})
	anna := n.user("anna")
	peers := n.missed(anna, pairs, 2)
	g := n.group(peers[0], anna)
	bad := map[int]bool{0: true, 70: true, 71: true, 149: true} // alone, and side by side
	var convs []int64
	for i := range bad {
		convs = append(convs, n.convOf(anna, peers[i]))
	}
	u.set(convs...)

	w := n.login(anna, obj{"ack": true})
	for i, id := range peers {
		if !bad[i] {
			w.has(with(id), 1, 2)
		}
	}
	if most := u.mostFailed(); most < 2 {
		t.Fatalf("failed reads were of at most %d conversations, want one of an unreadable conversation together with others", most)
	}
	peer := n.login(peers[0])
	for range 5 {
		peer.say(in(g), "live")
	}
	w.has(in(g), 1, 5)
	for _, c := range convs {
		eventually(t, "an unreadable conversation to be read again", func() bool { return u.failed(c) >= 2 })
	}
	u.set()
	for i, id := range peers {
		w.has(with(id), 1, 2)
		if bad[i] {
			peer := n.login(id)
			peer.say(with(anna), "later")
			w.has(with(id), 1, 3)
			peer.close()
		}
	}
	w.barrier()
}

// A conversation whose page makes a job panic is treated like one that can't be read.
func TestPanicInReadingBacklogs(t *testing.T) {
	t.Parallel()
	u := &badRows{panics: true}
	u.set()
	n := serve(t, func(s *setup) {
		s.store = func(st service.Store) service.Store { u.Store = st; return u }
	})
	anna := n.user("anna")
	peers := n.missed(anna, 250, 1)
	bad := n.convOf(anna, peers[249]) // not read by the login
	u.set(bad)
	w := n.login(anna, obj{"ack": true})
	for _, id := range peers[:249] {
		w.has(with(id), 1, 1)
	}
	eventually(t, "the conversation to be read again", func() bool { return u.failed(bad) >= 1 })
	u.set()
	w.has(with(peers[249]), 1, 1)
	n.cfg.panics = n.count("chatd_reactor_panics_total")
}

// badCursors is a store in which SetDelivered panics if a device has this name.
type badCursors struct {
	service.Store
	device atomic.Value
}

func (b *badCursors) SetDelivered(user int64, device string, conv, seq int64) {
	if device == b.device.Load() {
		panic("SetDelivered")
	}
	b.Store.SetDelivered(user, device, conv, seq)
}

// If ending a session panics, it still loses its topics and subscriptions, and its user
// is offline.
func TestPanicInEndOfSession(t *testing.T) {
	t.Parallel()
	b := &badCursors{}
	n := serve(t, func(s *setup) {
		s.panics = 1
		s.reactor.Loops = 1
		s.store = func(st service.Store) service.Store { b.Store = st; return b }
	})
	ids := n.users("anna", "berta")
	n.befriend(ids[0], ids[1])
	groups := []conv{in(n.group(ids[0])), in(n.group(ids[0])), in(n.group(ids[0]))}
	other := n.cfg.hub.Join(func([]bus.Message) {})
	defer other.Close(t.Context())
	berta := n.login(ids[1], obj{"device": "sound"})
	anna := n.login(ids[0], obj{"device": "broken"}) // without receipts: cursors are stored at the end
	berta.presence(ids[0], "online")
	for _, g := range groups {
		anna.say(g, "x")
	}
	berta.say(with(ids[0]), "x")
	anna.has(with(ids[1]), 1, 1)
	b.device.Store("broken")
	anna.close()
	n.settled(1)
	berta.presence(ids[0], "offline")
	for _, g := range groups {
		if other.MayHaveSubscribers(bus.Group(g.group)) {
			t.Errorf("the node still subscribes to group %d, want no subscription without members on the node", g.group)
		}
	}
}

// If writing a page of a backlog to one session panics, this session ends, and the
// others in the conversation get all messages without waiting for new ones.
func TestPanicInPushingBacklog(t *testing.T) {
	t.Parallel()
	b := &badCursors{}
	u := &badRows{}
	u.set()
	n := serve(t, func(s *setup) {
		s.panics = 1
		s.reactor.Loops = 1
		s.service.Delivery.RepairEvery = time.Hour // repair would read the conversation again
		s.store = func(st service.Store) service.Store { u.Store, b.Store = st, u; return b }
	})
	ids := n.users("anna", "berta", "carla")
	g := n.group(ids...)
	anna := n.login(ids[0])
	for range 3 {
		anna.say(in(g), "missed")
	}
	u.set(g) // so that both sessions have a backlog
	berta, carla := n.login(ids[1], obj{"ack": true, "device": "broken"}), n.login(ids[2], obj{"ack": true, "device": "sound"})
	berta.send(in(g).receipt(3)) // so that each message of the backlog moves the stored cursor
	berta.barrier()
	b.device.Store("broken")
	u.set()
	carla.has(in(g), 1, 3)
	if f := berta.kicked(); f != nil {
		t.Errorf("the session whose write panicked got %v, want the end of the connection", f)
	}
	b.device.Store("none")
	again := n.login(ids[1], obj{"ack": true, "device": "broken"})
	again.has(in(g), 1, 3)
}
