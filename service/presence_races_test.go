package service_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatd/model"
	"chatd/model/feed"
	"chatd/proto"
	"chatd/service"
	"chatd/service/bus"
)

// pausing is a store whose methods, once they have read or committed, wait for as
// long as a test wants.
type pausing struct {
	service.Store
	gates *sync.Map // by method and user: a function that waits
}

// storeGate holds back one call.
type storeGate struct {
	reached chan struct{} // closed when a call waits
	open    func()
}

// hold holds back the next call of a method about a user, until the gate is
// opened.
func (p *pausing) hold(t *testing.T, method string, user int64) *storeGate {
	release := make(chan struct{})
	g := &storeGate{reached: make(chan struct{}), open: sync.OnceFunc(func() { close(release) })}
	t.Cleanup(g.open)
	p.gates.Store(fmt.Sprint(method, user), func() {
		close(g.reached)
		<-release
	})
	return g
}

func (p *pausing) pass(method string, users ...int64) {
	for _, u := range users {
		if f, ok := p.gates.LoadAndDelete(fmt.Sprint(method, u)); ok {
			f.(func())()
		}
	}
}

func (p *pausing) Friendships(ctx context.Context, users []int64) ([]model.Friendship, error) {
	defer p.pass("Friendships", users...)
	return p.Store.Friendships(ctx, users)
}

func (p *pausing) Friends(ctx context.Context, user int64) ([]model.Friend, error) {
	defer p.pass("Friends", user)
	return p.Store.Friends(ctx, user)
}

func (p *pausing) AreFriends(ctx context.Context, a, b int64) (friends, hidden bool, err error) {
	defer p.pass("AreFriends", a)
	return p.Store.AreFriends(ctx, a, b)
}

func (p *pausing) AddFriend(ctx context.Context, user, friend int64, most int) (feed.Relation, error) {
	defer p.pass("AddFriend", user)
	return p.Store.AddFriend(ctx, user, friend, most)
}

func (p *pausing) Block(ctx context.Context, user, other int64, on bool) (feed.Relation, error) {
	defer p.pass("Block", user)
	return p.Store.Block(ctx, user, other, on)
}

// pausingNodes starts two nodes whose stores can be held.
func pausingNodes(t *testing.T) (one, two *node, p1, p2 *pausing) {
	p1, p2 = &pausing{gates: new(sync.Map)}, &pausing{gates: new(sync.Map)}
	one = serve(t, func(s *setup) {
		s.service.Presence.Grace = 10 * time.Millisecond
		s.store = func(st service.Store) service.Store { p1.Store = st; return p1 }
	})
	two = one.second(func(s *setup) {
		s.store = func(st service.Store) service.Store { p2.Store = st; return p2 }
	})
	return one, two, p1, p2
}

// ends reads notices until one says that a friend has this state, and checks
// that no later one says something else.
func (w *wire) ends(id int64, state string) {
	w.tb.Helper()
	for {
		f := w.op(proto.PRESENCE)
		if f.int("id") == id && f.str("state") == state {
			break
		}
	}
	w.barrier()
	w.nothing(proto.PRESENCE)
}

// After DEL_FRIEND, neither user gets the other's presence, whichever nodes they
// are on. A user who still has a friend hears of that one.
func TestUnfriendedAcrossNodes(t *testing.T) {
	t.Parallel()
	one, two, _, _ := pausingNodes(t)
	ids := one.users("anna", "berta", "carla")
	one.befriend(ids[0], ids[1])
	one.befriend(ids[1], ids[2])
	a, b := one.login(ids[0]), two.login(ids[1])
	a.presence(ids[1], "online")
	a.ok(obj{"msgid": proto.DEL_FRIEND, "friendid": ids[1]})
	b.op(proto.DEL_FRIEND)
	a.close()
	two.knows(1)
	one.login(ids[2])
	b.presence(ids[2], "online")
	if b.state(ids[0]) != "" {
		t.Error("FIND_USER shows the state of a former friend")
	}
	// When they are friends again, they see each other again.
	a = one.login(ids[0])
	a.ok(obj{"msgid": proto.ADD_FRIEND, "friendid": ids[1]})
	b.presence(ids[0], "online")
	a.close()
	b.presence(ids[0], "offline")
}

// A block that commits while a login on any node is being reported to friends,
// after the friends were read, is not overtaken: the blocked user ends up seeing
// the other one as offline.
func TestBlockDuringLogin(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"same node", "other node"} {
		t.Run(where, func(t *testing.T) {
			one, two, p1, _ := pausingNodes(t)
			ids := one.users("anna", "berta")
			one.befriend(ids[0], ids[1])
			theirs := one
			if where == "other node" {
				theirs = two
			}
			b := theirs.login(ids[1])
			one.knows(1)
			g := p1.hold(t, "Friendships", ids[0])
			a := one.login(ids[0])
			<-g.reached
			a.ok(obj{"msgid": proto.BLOCK, "userid": ids[1], "on": true})
			a.barrier()
			g.open()
			b.ends(ids[0], "offline")
		})
	}
}

// A block that commits while the list of friends for LOGIN_ACK is being read
// takes effect on the new session, too.
func TestBlockDuringFriendsLogin(t *testing.T) {
	t.Parallel()
	one, two, _, p2 := pausingNodes(t)
	ids := one.users("anna", "berta")
	one.befriend(ids[0], ids[1])
	a := one.login(ids[0])
	two.knows(1)
	g := p2.hold(t, "Friends", ids[1])
	done := make(chan *wire)
	go func() { done <- two.login(ids[1]) }()
	<-g.reached
	a.presence(ids[1], "online")
	a.ok(obj{"msgid": proto.BLOCK, "userid": ids[1], "on": true})
	a.barrier()
	g.open()
	b := <-done
	if s := b.welcome.list("friends")[0].str("state"); s == "offline" {
		b.barrier()
		return // the block was noticed before LOGIN_ACK
	}
	b.ends(ids[0], "offline")
}

// A friend who goes offline while ADD_FRIEND is being processed doesn't stay
// online for the user who has sent it, wherever the friend is.
func TestFriendLeavesDuringAddFriend(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"AddFriend", "AreFriends"} {
		t.Run("in "+method, func(t *testing.T) {
			one, two, p1, _ := pausingNodes(t)
			ids := one.users("anna", "berta")
			a, b := one.login(ids[0]), two.login(ids[1])
			one.knows(2)
			g := p1.hold(t, method, ids[0])
			a.send(obj{"msgid": proto.ADD_FRIEND, "friendid": ids[1]})
			<-g.reached
			b.close()
			one.knows(1)
			g.open()
			if f := a.op(proto.ADD_FRIEND_ACK); f.str("state") == "online" {
				a.ends(ids[1], "offline")
			}
			if s := a.state(ids[1]); s != "offline" {
				t.Errorf("FIND_USER shows the friend as %q, want offline", s)
			}
			// The user's next session, and the friend's, agree.
			two.login(ids[1])
			a.presence(ids[1], "online")
		})
	}
}

// A user who unblocks a friend and leaves before the unblock takes effect isn't
// shown online.
func TestUnblockedByUserWhoLeft(t *testing.T) {
	t.Parallel()
	one, two, p1, _ := pausingNodes(t)
	ids := one.users("anna", "berta", "carla")
	one.befriend(ids[0], ids[1])
	one.befriend(ids[1], ids[2])
	a, b := one.login(ids[0]), two.login(ids[1])
	a.presence(ids[1], "online")
	a.ok(obj{"msgid": proto.BLOCK, "userid": ids[1], "on": true})
	b.ends(ids[0], "offline")
	g := p1.hold(t, "Block", ids[0])
	a.send(obj{"msgid": proto.BLOCK, "userid": ids[1], "on": false})
	<-g.reached
	a.close()
	two.knows(1)
	g.open()
	// The block has been handled once carla's later login has been reported by
	// the same node.
	one.login(ids[2])
	b.presence(ids[2], "online")
	// The unblock is effective.
	one.login(ids[0])
	b.presence(ids[0], "online")
}

// After hints were lost, users see what has changed meanwhile: who came and went,
// and who has blocked, unblocked or unfriended them. It doesn't matter whether the
// node that sent the hints, or the one that should have got them, had no bus.
func TestPresenceAfterOutage(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"sender", "receiver", "both"} {
		t.Run(who, func(t *testing.T) {
			// However slow the machine is, no node takes the other one for dead during the
			// outage: that would end the presence of all its users.
			one, two, lost := pairOfNodes(t, func(s *setup) { s.service.Cluster.Tick = time.Minute })
			names := []string{"watcher", "blocks", "unblocks", "unfriends", "comes", "goes", "stays"}
			ids := one.users(names...)
			at := make(map[string]*wire)
			id := make(map[string]int64)
			for i, name := range names {
				id[name] = ids[i]
				if i > 0 {
					one.befriend(ids[0], ids[i])
				}
			}
			if _, err := one.db.Block(t.Context(), id["unblocks"], id["watcher"], true); err != nil {
				t.Fatal(err)
			}
			for _, name := range names[1:] {
				if name != "comes" {
					at[name] = one.login(id[name])
				}
			}
			two.knows(5)
			w := two.login(id["watcher"])
			one.knows(6)
			at["stays"].presence(id["watcher"], "online") // node two has looked up the friends of the watcher
			for i, f := range w.welcome.list("friends") {
				want := "online"
				if name := names[i+1]; name == "comes" || name == "unblocks" {
					want = "offline"
				}
				if f.str("state") != want {
					t.Errorf("LOGIN_ACK shows friend %s as %s, want %s", names[i+1], f.str("state"), want)
				}
			}
			down := []*node{one, two}
			switch who {
			case "sender":
				down = down[:1]
			case "receiver":
				down = down[1:]
			}
			lost.Store(true)
			for _, n := range down {
				n.svc.BusChanged(false)
			}
			at["blocks"].ok(obj{"msgid": proto.BLOCK, "userid": id["watcher"], "on": true})
			at["unblocks"].ok(obj{"msgid": proto.BLOCK, "userid": id["watcher"], "on": false})
			at["unfriends"].ok(obj{"msgid": proto.DEL_FRIEND, "friendid": id["watcher"]})
			at["goes"].close()
			one.login(id["comes"])
			one.knows(6) // five friends and the watcher: the one who goes has left
			lost.Store(false)
			for _, n := range down {
				n.svc.BusChanged(true)
			}
			want := map[int64]string{id["blocks"]: "offline", id["unblocks"]: "online", id["comes"]: "online", id["goes"]: "offline"}
			for got := map[int64]string{}; len(got) < len(want); {
				f := w.op(proto.PRESENCE)
				if want[f.int("id")] != f.str("state") {
					t.Fatalf("got %v, want the states %v", f, want)
				}
				got[f.int("id")] = f.str("state")
			}
			at["unfriends"].close()
			at["stays"].close()
			w.presence(id["stays"], "offline")
		})
	}
}

// If a node was taken for dead although it was only frozen, its users are online
// again when it continues.
func TestNodeComesBack(t *testing.T) {
	t.Parallel()
	one, two, lost := pairOfNodes(t, func(s *setup) { s.service.Cluster.Tick = quickTick })
	ids := one.users("anna", "berta")
	one.befriend(ids[0], ids[1])
	a := one.login(ids[0])
	two.login(ids[1])
	a.presence(ids[1], "online")
	for range 2 {
		lost.Store(true)
		a.presence(ids[1], "offline")
		lost.Store(false)
		a.presence(ids[1], "online")
	}
}

// A user who logs in on two nodes and out of one, in quick succession, is online
// for friends on both, and offline after the last logout.
func TestLoginsInQuickSuccession(t *testing.T) {
	t.Parallel()
	one, two, _, _ := pausingNodes(t)
	ids := one.users("anna", "berta", "carla")
	one.befriend(ids[0], ids[1])
	one.befriend(ids[0], ids[2])
	b, c := one.login(ids[1]), two.login(ids[2])
	for range 10 {
		first := one.login(ids[0], obj{"device": "first"})
		second := two.login(ids[0], obj{"device": "second"})
		first.close()
		third := one.login(ids[0], obj{"device": "third"})
		second.close()
		for _, w := range []*wire{b, c} {
			w.presence(ids[0], "online")
		}
		third.close()
		for _, w := range []*wire{b, c} {
			w.presence(ids[0], "offline")
		}
	}
}

// A user who logs in right after a node has started sees friends on other nodes
// in LOGIN_ACK, although the node heard of them only just now.
func TestLoginRightAfterStart(t *testing.T) {
	t.Parallel()
	one := serve(t)
	ids := one.users("anna", "berta")
	one.befriend(ids[0], ids[1])
	one.login(ids[0])
	for range 5 {
		two := one.second()
		w := two.login(ids[1])
		if s := w.welcome.list("friends")[0].str("state"); s != "online" {
			t.Errorf("LOGIN_ACK of a node that has just started shows a friend as %s, want online", s)
		}
		w.close()
		two.stop()
	}
}

// overheard is a bus that records which logins a node announces.
type overheard struct {
	bus.Bus
	logins chan *bus.Ended
	await  chan struct{} // Await blocks until it is closed
}

func (b overheard) Publish(ctx context.Context, ms []bus.Message) error {
	for _, m := range ms {
		if m.Payload.Ended != nil {
			b.logins <- m.Payload.Ended
		}
	}
	return b.Bus.Publish(ctx, ms)
}

func (b overheard) MayHaveSubscribers(bus.Channel) bool { return true }

func (b overheard) Await(context.Context) error {
	<-b.await
	return nil
}

// A session that has ended before it could be announced is not announced: other
// nodes might end the session that has replaced it.
func TestEndedSessionIsNotAnnounced(t *testing.T) {
	t.Parallel()
	b := overheard{logins: make(chan *bus.Ended, 100), await: make(chan struct{})}
	release := sync.OnceFunc(func() { close(b.await) })
	n := serve(t, func(s *setup) {
		s.bus = func(in bus.Bus) bus.Bus { b.Bus = in; return b }
	})
	t.Cleanup(release)
	ids := n.users("anna", "berta")
	w := n.dial()
	w.send(obj{"msgid": proto.LOGIN, "id": ids[0], "password": secret})
	n.settled(1)
	w.close()
	n.settled(0)
	release()
	n.login(ids[1])
	for l := range b.logins {
		if l.User == ids[0] {
			t.Error("the session that has ended was announced")
		}
		if l.User == ids[1] {
			break
		}
	}
}

// slowAnnouncer is a bus on which what a node announces to all nodes waits.
type slowAnnouncer struct {
	bus.Bus
	held *atomic.Pointer[chan struct{}] // nil: nothing waits
}

func (b slowAnnouncer) Publish(ctx context.Context, ms []bus.Message) error {
	if ch := b.held.Load(); ch != nil && ms[0].Channel == bus.Nodes {
		<-*ch
	}
	return b.Bus.Publish(ctx, ms)
}

// If two friends log in on two nodes at the same time, each sees the other one
// online in the end, however late the nodes hear of each other's users.
func TestFriendsLogInTogether(t *testing.T) {
	t.Parallel()
	var held [2]atomic.Pointer[chan struct{}]
	one := serve(t, func(s *setup) { s.bus = func(b bus.Bus) bus.Bus { return slowAnnouncer{b, &held[0]} } })
	two := one.second(func(s *setup) { s.bus = func(b bus.Bus) bus.Bus { return slowAnnouncer{b, &held[1]} } })
	for late := range held { // the node whose announcement comes late
		ids := one.users(fmt.Sprint("anna", late), fmt.Sprint("berta", late))
		one.befriend(ids[0], ids[1])
		release := make(chan struct{})
		open := sync.OnceFunc(func() { close(release) })
		t.Cleanup(open)
		held[late].Store(&release)
		w := []*wire{one.login(ids[0]), two.login(ids[1])}
		held[late].Store(nil)
		open()
		for i := range w {
			if f := w[i].welcome.list("friends")[0]; f.str("state") != "online" {
				w[i].presence(ids[1-i], "online")
			}
		}
		for i, n := range []*node{one, two} {
			w[i].close()
			n.settled(0)
		}
		one.knows(0)
		two.knows(0)
	}
}

// Users of a node that stops are offline for their friends soon, although the
// node no longer says so for each of them.
func TestUsersOfStoppedNode(t *testing.T) {
	t.Parallel()
	one, two, _ := pairOfNodes(t)
	ids := one.users("anna", "berta")
	one.befriend(ids[0], ids[1])
	a := one.login(ids[0])
	two.login(ids[1])
	a.presence(ids[1], "online")
	two.stop()
	a.presence(ids[1], "offline")
	if n := one.gauge("chatd_cluster_nodes"); n != 1 {
		t.Errorf("chatd_cluster_nodes is %v after the other node has stopped, want 1", n)
	}
}

// A hint about a login that arrives after the logout doesn't make the user look
// online.
func TestLateLoginHint(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta", "carla")
	n.befriend(ids[0], ids[1])
	n.befriend(ids[0], ids[2])
	a := n.login(ids[0])
	n.svc.Receive([]bus.Message{{Channel: bus.User(ids[0]), Payload: bus.Payload{Presence: &bus.Presence{User: ids[1]}}}})
	a.barrier()
	a.nothing(proto.PRESENCE)
	n.login(ids[2])
	a.presence(ids[2], "online")
}

// A session that has logged in without its list of friends hears of friends who
// go offline, too, and only of those.
func TestBriefSessionHearsOfFriends(t *testing.T) {
	t.Parallel()
	one, two, _, _ := pausingNodes(t)
	ids := one.users("anna", "berta", "carla")
	one.befriend(ids[0], ids[1])
	b, c := two.login(ids[1]), two.login(ids[2])
	one.knows(2)
	a := one.login(ids[0], obj{"brief": true})
	a.presence(ids[1], "online")
	c.close()
	b.close()
	a.presence(ids[1], "offline")
	a.barrier()
	a.nothing(proto.PRESENCE)
}

// A login that is replaced by another one of the same device, before it could be
// announced, gets the KICK and no other answer.
func TestReplacedBeforeAnnounced(t *testing.T) {
	t.Parallel()
	b := overheard{logins: make(chan *bus.Ended, 100), await: make(chan struct{})}
	release := sync.OnceFunc(func() { close(b.await) })
	n := serve(t, func(s *setup) {
		s.bus = func(in bus.Bus) bus.Bus { b.Bus = in; return b }
	})
	t.Cleanup(release)
	anna := n.user("anna")
	first, second := n.dial(), n.dial()
	login := obj{"msgid": proto.LOGIN, "id": anna, "password": secret}
	first.send(login)
	n.settled(1)
	second.send(login)
	if f := first.kicked(); f == nil || f.str("reason") != proto.Replaced {
		t.Errorf("the first login got %v, want KICK with reason %s", f, proto.Replaced)
	}
	release()
	if f := second.op(proto.LOGIN_ACK); f.int("errno") != 0 {
		t.Errorf("the second login got %v, want no error", f)
	}
}
