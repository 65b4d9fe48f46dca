package service_test

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/service"
)

func TestRevFinishing(t *testing.T) {
	n := serve(t)
	ids := n.users("anna", "berta")
	a, b := n.login(ids[0]), n.login(ids[1])
	a.say(with(ids[1]), "1")
	b.upTo(with(ids[0]), 1)
	b.write(bytes.Repeat(proto.AppendFrame(nil, []byte("}{")), 10))
	b.await("KICK", func(f frame) bool { return f.op() == proto.KICK })
	a.say(with(ids[1]), "2")
	a.barrier()
	b.close()
	n.settled(1)
	b = n.login(ids[1])
	if !b.welcome.has("offlinemsg") || len(b.welcome.list("offlinemsg")) != 1 {
		t.Errorf("LOST: %v", b.welcome)
	}
}

func TestRevLazyReceipts(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	a := n.login(ids[0])
	for i := range 3 {
		a.say(with(ids[1]), fmt.Sprint(i))
	}
	b := n.login(ids[1], obj{"ack": true})
	t.Log(b.pushed)
	time.Sleep(21 * time.Second)
	a.say(with(ids[1]), "4")
	b.upTo(with(ids[0]), 4)
	b.barrier()
	t.Log(b.pushed)
}

func TestRevSweepFirst(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) { s.service.SweepEvery = 200 * time.Millisecond })
	ids := n.users("anna", "berta")
	a := n.login(ids[0])
	b := n.login(ids[1], obj{"ack": true})
	a.say(with(ids[1]), "1")
	b.upTo(with(ids[0]), 1)
	b.send(with(ids[0]).receipt(1))
	b.barrier()
	b.close()
	n.settled(1)
	b = n.login(ids[1], obj{"ack": true})
	time.Sleep(time.Second)
	b.barrier()
	if len(b.pushed) != 0 {
		t.Errorf("pushed again: %v", b.pushed)
	}
}

func TestRevJoinStorm(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) { s.reactor.Loops = 1; s.service.SweepEvery = time.Hour })
	const k = 6
	ids := n.users("creator", "a", "b", "c", "d", "e", "f")
	ws := make([]*wire, k)
	for i := range ws {
		ws[i] = n.login(ids[i+1], obj{"ack": true})
	}
	for round := range 40 {
		g := n.group(ids[0])
		for _, w := range ws {
			w.send(obj{"msgid": proto.ADD_GROUP, "groupid": g, "rid": 1000})
		}
		for _, w := range ws {
			w.await("ack", func(f frame) bool { return f.op() == proto.ADD_GROUP_ACK })
		}
		for _, w := range ws {
			w.barrier()
		}
		ws[0].say(in(g), "x")
		ws[1].say(in(g), "y")
		time.Sleep(50 * time.Millisecond)
		for i, w := range ws {
			w.barrier()
			if i > 1 && len(w.pushed[in(g)]) != 2 {
				t.Fatalf("round %d: member %d got %v", round, i, w.pushed[in(g)])
			}
		}
	}
}

type hooked struct {
	service.Store
	join   func()
	places func(user int64)
}

func (h *hooked) JoinGroup(ctx context.Context, group, user int64, a, b int) (model.Joined, error) {
	j, err := h.Store.JoinGroup(ctx, group, user, a, b)
	if h.join != nil {
		h.join()
	}
	return j, err
}

func (h *hooked) Places(ctx context.Context, user int64, device string) ([]model.Place, error) {
	p, err := h.Store.Places(ctx, user, device)
	if h.places != nil {
		h.places(user)
	}
	return p, err
}

func TestRevJoinGap(t *testing.T) {
	t.Parallel()
	h := &hooked{}
	n := serve(t, func(s *setup) {
		s.service.SweepEvery = time.Hour
		s.store = func(st service.Store) service.Store { h.Store = st; return h }
	})
	ids := n.users("anna", "berta")
	a, b := n.login(ids[0]), n.login(ids[1])
	g := n.group(ids[0])
	h.join = func() { a.say(in(g), "just after the join") }
	b.ok(obj{"msgid": proto.ADD_GROUP, "groupid": g})
	time.Sleep(300 * time.Millisecond)
	b.barrier()
	if len(b.pushed[in(g)]) != 1 {
		t.Errorf("got %v", b.pushed)
	}
}

func TestRevEventBeforeAck(t *testing.T) {
	t.Parallel()
	h := &hooked{}
	n := serve(t, func(s *setup) {
		s.store = func(st service.Store) service.Store { h.Store = st; return h }
	})
	ids := n.users("anna", "berta")
	a := n.login(ids[0])
	var calls atomic.Int32
	h.places = func(u int64) {
		if u == ids[1] && calls.Add(1) == 2 {
			a.send(with(ids[1]).event("typing"))
			a.barrier()
			time.Sleep(100 * time.Millisecond)
		}
	}
	b := n.dial()
	b.send(obj{"msgid": proto.LOGIN, "id": ids[1], "password": secret})
	f, err := b.read()
	if err != nil || f.op() != proto.LOGIN_ACK {
		t.Errorf("first is %v, %v", f, err)
	}
}

func TestRevPlaceNoSub(t *testing.T) {
	t.Parallel()
	for range 2 { // whichever loop
		h := &hooked{}
		n := serve(t, func(s *setup) {
			s.service.SweepEvery = time.Hour
			s.store = func(st service.Store) service.Store { h.Store = st; return h }
		})
		ids := n.users("anna", "berta")
		g := n.group(ids[0])
		as := []*wire{n.login(ids[0]), n.login(ids[0], obj{"device": "2"}), n.login(ids[0], obj{"device": "3"})}
		var calls atomic.Int32
		other := n.dial()
		other.login(ids[1], obj{"device": "other"})
		h.places = func(u int64) {
			if u == ids[1] && calls.Add(1) == 1 {
				other.ok(obj{"msgid": proto.ADD_GROUP, "groupid": g})
				as[0].barrier()
				as[1].barrier()
				time.Sleep(50 * time.Millisecond)
			}
		}
		bs := []*wire{}
		for i := range 1 {
			bs = append(bs, n.login(ids[1], obj{"device": fmt.Sprint("d", i)}))
		}
		as[0].say(in(g), "x")
		time.Sleep(200 * time.Millisecond)
		for i, b := range bs {
			b.barrier()
			if len(b.pushed[in(g)]) != 1 {
				t.Errorf("device %d got %v", i, b.pushed)
			}
		}
	}
}

func TestRevTies(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	a := n.login(ids[0])
	var batch []obj
	big := string(bytes.Repeat([]byte("x"), 30000))
	for range 25 {
		g := n.group(ids[0], ids[1])
		batch = append(batch, in(g).chat(big))
	}
	a.send(batch...)
	for range batch {
		a.op(proto.GROUP_CHAT_ACK)
	}
	f := a.ok(obj{"msgid": proto.CONVERSATIONS, "limit": 100})
	times := map[int64]int{}
	for _, c := range f.list("conversations") {
		times[c.int("time")]++
	}
	t.Log(len(f.list("conversations")), f.bool("more"), times)
	if len(f.list("conversations")) == 0 {
		t.Error("an empty page with more")
	}
}
