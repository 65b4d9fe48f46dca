package service_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service"
	"chatd/service/session"
)

// missed stores messages to a user who is offline: each of senders new users sends
// one, or as many as each says. It returns the senders.
func (n *node) missed(to int64, senders, each int) []int64 {
	n.tb.Helper()
	ids := make([]int64, senders)
	for i := range ids {
		name := fmt.Sprint("sender ", to, " ", i)
		ids[i] = n.user(name)
		for j := range each {
			_, _, err := n.svc.Messages().Send(reactor.OffLoop(n.tb.Context()), session.Actor{User: ids[i], Name: name}, 0, to, fmt.Append(nil, "cid ", j), fmt.Append(nil, "text ", j))
			if err != nil {
				n.tb.Fatal(err)
			}
		}
	}
	return ids
}

// Messages that a device has missed in many conversations arrive completely and in
// order, on several devices, while others write to the same conversations. The log
// is read for many conversations at once: reads are few, and don't depend on how
// fast a timer is.
func TestBacklogOfManyConversations(t *testing.T) {
	t.Parallel()
	const pairs, each, live = 500, 3, 40
	n := serve(t)
	anna := n.user("anna")
	peers := n.missed(anna, pairs, each)
	var groups []int64
	for i := range 70 {
		groups = append(groups, n.group(peers[i], anna))
	}
	for i, g := range groups {
		for _, text := range []string{"one", "two"} {
			if _, _, err := n.svc.Messages().Send(reactor.OffLoop(t.Context()), session.Actor{User: peers[i], Name: "peer"}, g, 0, []byte(text), []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := n.count("chatd_service_catchup_reads_total")
	b, c := n.login(peers[pairs-1]), n.login(peers[pairs/2])
	one, two := n.dial(), n.dialWeb()
	together(
		func() { b.pump(with(anna), "live", live, 4) },
		func() { c.pump(with(anna), "live", live, 4) },
		func() { one.login(anna, obj{"ack": true, "device": "one"}) },
		func() { two.login(anna, obj{"device": "two"}) },
	)
	for _, w := range []*wire{one, two} {
		for i, id := range peers {
			last := int64(each)
			if i == pairs-1 || i == pairs/2 {
				last += live
			}
			w.has(with(id), 1, last)
		}
		for _, g := range groups {
			w.has(in(g), 1, 2)
		}
	}
	// Two devices, each on a loop of its own, with up to 64 conversations per read.
	// A conversation may need more than one page.
	if reads := n.count("chatd_service_catchup_reads_total") - before; reads > 2*(pairs+70)/5 {
		t.Errorf("the log was read %v times for the backlogs of two devices in %d conversations, want at most %d", reads, pairs+70, 2*(pairs+70)/5)
	}
}

// A client that reads slowly gets what it has missed in many conversations, and
// receipts for a part of it are kept.
func TestSlowReaderOfManyConversations(t *testing.T) {
	t.Parallel()
	const pairs = 300
	n := serve(t)
	anna := n.user("anna")
	text := []byte(strings.Repeat("x", 16<<10))
	var peers []int64
	for i := range pairs {
		name := fmt.Sprint("sender ", i)
		id := n.user(name)
		peers = append(peers, id)
		if _, _, err := n.svc.Messages().Send(reactor.OffLoop(t.Context()), session.Actor{User: id, Name: name}, 0, anna, []byte("cid"), text); err != nil {
			t.Fatal(err)
		}
	}
	a := n.dial()
	a.narrow()
	a.login(anna, obj{"ack": true})
	// Nothing is read yet. These conversations are still to come, or have arrived.
	b := n.login(peers[pairs-1])
	for range 5 {
		b.say(with(anna), "live")
	}
	for i, id := range peers {
		last := int64(1)
		if i == pairs-1 {
			last = 6
		}
		a.has(with(id), 1, last)
		if i%2 == 0 {
			a.send(with(id).receipt(last))
		}
	}
	a.barrier()
	a.nothing(proto.KICK)
	a.close()
	n.settled(1)
	again := n.login(anna, obj{"ack": true})
	for i := 1; i < pairs-1; i += 2 {
		again.has(with(peers[i]), 1, 1)
	}
	again.barrier()
	if got := again.pushed[with(peers[0])]; len(got) != 0 {
		t.Errorf("seqs %v were pushed again, want none after the receipt", got)
	}
}

// heldPages is a store in which Pages of a conversation blocks until release is
// closed.
type heldPages struct {
	service.Store
	conv           atomic.Int64
	once           *sync.Once
	asked, release chan struct{}
}

func (h *heldPages) Pages(ctx context.Context, pages []model.PageRequest, maxBytes int) ([]model.Message, error) {
	for _, p := range pages {
		if p.Conv == h.conv.Load() && maxBytes == proto.MaxSyncBytes {
			h.once.Do(func() { close(h.asked) })
			<-h.release
		}
	}
	return h.Store.Pages(ctx, pages, maxBytes)
}

// While the log is read for one user, other users get their backlogs, and the user
// gets new messages in other conversations. When the user's connection ends
// meanwhile, nothing is lost for others.
func TestBacklogOfOneUserDelaysNobody(t *testing.T) {
	t.Parallel()
	h := &heldPages{once: new(sync.Once), asked: make(chan struct{}), release: make(chan struct{})}
	n := serve(t, func(s *setup) {
		s.reactor.Loops, s.reactor.QuickLanes = 1, 64
		s.store = func(st service.Store) service.Store { h.Store = st; return h }
	})
	ids := n.users("hoarder", "anna", "berta")
	senders := n.missed(ids[0], 250, 1)
	g := n.group(ids[0], ids[1], ids[2])
	v, err := n.db.VisibleRange(t.Context(), ids[0], 0, senders[249])
	if err != nil {
		t.Fatal(err)
	}
	h.conv.Store(v.Conv)
	release := sync.OnceFunc(func() { close(h.release) })
	defer release()

	hoarder := n.login(ids[0], obj{"ack": true})
	<-h.asked
	b := n.login(ids[2])
	b.pump(in(g), "b", 300, 50)
	a := n.login(ids[1])
	a.has(in(g), 1, 300)
	hoarder.has(in(g), 1, 300)
	hoarder.close()
	n.settled(2)
	second := n.login(ids[0], obj{"ack": true, "device": "second"})
	second.has(with(senders[0]), 1, 1)
	release()
	for _, id := range senders {
		second.has(with(id), 1, 1)
	}
	second.has(in(g), 1, 300)
}

// A receiver who doesn't read loses events, but isn't disconnected for them, and
// gets the messages.
func TestSlowReceiverOfEvents(t *testing.T) {
	t.Parallel()
	for _, group := range []bool{false, true} {
		t.Run(fmt.Sprint("group ", group), func(t *testing.T) {
			t.Parallel()
			n := serve(t)
			ids := n.users("anna", "berta", "carla")
			g := n.group(ids...)
			b := n.dial()
			b.narrow()
			b.login(ids[1], obj{"ack": true})
			a, c := n.login(ids[0]), n.login(ids[2])
			e := with(ids[1]).event("typing")
			if group {
				e = in(g).event("typing")
			}
			e["data"] = strings.Repeat("x", proto.MaxData)
			for range 120 { // of 100 KiB each: more than fits into all buffers
				for range 100 {
					a.send(e)
				}
				a.barrier()
				c.barrier()
				c.stash = nil
			}
			if s := n.gauge("chatd_service_sessions"); s != 3 {
				t.Fatalf("%v sessions after events to a client that doesn't read, want 3", s)
			}
			seq := c.say(with(ids[1]), "after the events")
			b.has(with(ids[2]), seq, seq)
			b.nothing(proto.KICK)
		})
	}
}

// What a user's requests cost counts against a limit of the user, over all
// connections: the bytes of answers, the rows that are read for them, and events
// times their receivers. Then requests that may cost as much again are refused;
// messages on other connections aren't, and neither are other users.
func TestUserAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		limit int // bytes per second
		cost  func(n *node, ids []int64, w *wire)
		next  func(ids []int64) obj // a request that is refused
	}{
		{"SYNC", 10_000, func(_ *node, ids []int64, w *wire) {
			w.ok(with(ids[1]).sync())
			w.ok(with(ids[1]).sync())
		}, func(ids []int64) obj { return with(ids[1]).sync() }},
		// 20 short messages are less than 2,000 bytes, but each is a row.
		{"SYNC of short messages", 2000, func(_ *node, ids []int64, w *wire) {
			for range 20 {
				w.say(with(ids[0]), "x")
			}
			w.ok(with(ids[0]).sync())
		}, func(ids []int64) obj { return with(ids[0]).sync() }},
		{"CONVERSATIONS", 1000, func(n *node, ids []int64, w *wire) {
			w.ok(obj{"msgid": proto.CONVERSATIONS, "limit": 1})
		}, func([]int64) obj { return obj{"msgid": proto.CONVERSATIONS, "limit": 1} }},
		{"EVENT", 1000, func(_ *node, ids []int64, w *wire) {
			e := with(ids[1]).event("typing")
			e["data"] = strings.Repeat("x", 1000)
			w.send(e, e)
		}, func(ids []int64) obj { return with(ids[1]).event("typing") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var now *atomicTime
			n := serve(t, func(s *setup) {
				now = standing(s)
				s.service.Limits.AnswersPerSecPerUser, s.service.Limits.Burst = c.limit, 2*time.Second
			})
			ids := n.users("anna", "berta")
			n.missed(ids[0], 30, 1) // 30 rows for CONVERSATIONS
			large := n.login(ids[0], obj{"device": "large"})
			for range 3 {
				large.say(with(ids[1]), strings.Repeat("x", 6_000))
			}
			one, two := n.login(ids[0], obj{"device": "one"}), n.login(ids[0], obj{"device": "two"})
			other := n.login(ids[1])
			c.cost(n, ids, one)
			one.barrier()
			two.refused(proto.TooFast, c.next(ids))
			large.say(with(ids[1]), "a message is still accepted")
			other.ok(with(ids[0]).sync(obj{"limit": 1}))
			if got := n.limited("user_answers"); got != 1 {
				t.Errorf("user_answers counted %d times, want 1", got)
			}
			now.add(time.Minute)
			two.ok(with(ids[1]).sync(obj{"limit": 1}))
		})
	}
}

// What a user sends to a group counts times the sessions that get it: messages,
// events, and the notices about joins and leaves. Otherwise one member of a group of
// 300 could have a node write 120,000 frames per second, and delay everybody.
func TestPushesToGroupsCount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		request func(i int, group int64) obj
	}{
		{"message", func(_ int, g int64) obj { return in(g).chat("x") }},
		{"event", func(_ int, g int64) obj { return in(g).event("x") }},
		{"leave and join", func(i int, g int64) obj {
			return obj{"msgid": []proto.Op{proto.LEAVE_GROUP, proto.ADD_GROUP}[i%2], "groupid": g}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := serve(t, func(s *setup) {
				standing(s)
				s.service.Limits.AnswersPerSecPerUser, s.service.Limits.Burst = 1000, 2*time.Second
			})
			ids := n.users("anna", "berta", "carla", "doris", "edith", "frida", "greta", "heike", "irene", "julia")
			g := n.group(ids...)
			var ws []*wire
			for _, id := range ids {
				ws = append(ws, n.login(id, obj{"brief": true}))
			}
			berta, accepted := ws[1], 0
			for ; accepted < 20; accepted++ {
				r := c.request(accepted, g)
				if r["msgid"] == proto.EVENT { // has no ACK
					berta.send(r)
					r = with(ids[1]).sync()
				}
				if berta.call(r)["errno"] == json.Number("9") {
					break
				}
			}
			// One costs about 10 times 300 bytes, and 2,000 are free.
			if accepted > 2 {
				t.Errorf("%d requests were accepted, whose pushes went to 9 others, want at most 2", accepted)
			}
			if got := n.limited("user_answers"); got != 1 {
				t.Errorf("user_answers counted %d times, want 1", got)
			}
			ws[2].ok(in(g).chat("others aren't affected"))
		})
	}
}

// A limit doesn't tell a stranger whether a user is online: an event to one who is
// costs as much as one to somebody who isn't.
func TestEventCostsHidePresence(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) {
		standing(s)
		s.service.Limits.AnswersPerSecPerUser, s.service.Limits.Burst = 1000, 2*time.Second
	})
	ids := n.users("anna", "berta", "online", "offline")
	for i := range 3 {
		n.login(ids[2], obj{"device": fmt.Sprint("device ", i)})
	}
	var waits []int64
	for i, id := range ids[:2] {
		w := n.login(id, obj{"brief": true})
		for range 10 {
			w.send(with(ids[2+i]).event("x").with(obj{"data": strings.Repeat("x", 1000)}))
		}
		waits = append(waits, w.refused(proto.TooFast, with(id).sync()).int("retry_after_ms"))
	}
	if waits[0] != waits[1] {
		t.Errorf("after 10 events, retry_after_ms is %d if the receiver is online and %d if not, want the same", waits[0], waits[1])
	}
}

// Missed messages have a rate per user: without sending receipts, a user could have them
// read from the log again and again, on eight devices. Whoever waits gets all of them,
// and nothing is refused meanwhile.
func TestMissedMessagesHaveARate(t *testing.T) {
	t.Parallel()
	var now *atomicTime
	n := serve(t, func(s *setup) {
		now = standing(s)
		s.service.Limits.AnswersPerSecPerUser, s.service.Limits.Burst = 100_000, 2*time.Second
	})
	ids := n.users("anna", "berta")
	const all = 2000
	store(n, all, ids[1], func(int) int64 { return ids[0] }, strings.Repeat("x", 1000))
	var ws []*wire
	for i := range 2 {
		ws = append(ws, n.login(ids[0], obj{"device": fmt.Sprint("device ", i), "ack": true}))
	}
	eventually(t, "the limit to be reached on both devices", func() bool { return n.limited("user_missed") >= 2 })
	for _, w := range ws {
		w.barrier()
		if got := len(w.pushed[with(ids[1])]); got > all/2 {
			t.Errorf("a device got %d of %d missed messages at once, want at most half of them", got, all)
		}
		w.ok(with(ids[1]).sync(obj{"limit": 1}))
	}
	eventually(t, "all messages to arrive", func() bool {
		now.add(time.Second)
		for _, w := range ws {
			w.barrier()
		}
		return len(ws[0].pushed[with(ids[1])]) == all && len(ws[1].pushed[with(ids[1])]) == all
	})
	for _, w := range ws {
		w.has(with(ids[1]), 1, all)
	}
}
