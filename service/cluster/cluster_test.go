package cluster

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatd/service/bus"
)

// Each node knows on which nodes a user is online, and the user is gone only when
// they have left all of them.
func TestUsersOnSeveralNodes(t *testing.T) {
	s := new(sim)
	a, b, c := s.add("a"), s.add("b"), s.add("c")
	s.exchange()
	a.Add(1)
	b.Add(1)
	b.Add(2)
	s.exchange()
	if got := c.NodesElsewhere(1); len(got) != 2 || !slices.Contains(got, "a") || !slices.Contains(got, "b") {
		t.Errorf("user 1 is online on %v, want a and b", got)
	}
	if !a.Online(1) || !b.Online(2) || c.Online(3) || len(b.NodesElsewhere(2)) > 0 {
		t.Error("Online and NodesElsewhere don't agree with who is where")
	}
	a.Remove(1)
	s.exchange()
	if !c.Online(1) || len(c.gone) > 0 {
		t.Errorf("after the logout on one of two nodes: Online %v, gone %v; want true and none", c.Online(1), c.gone)
	}
	b.Remove(1)
	s.exchange()
	for _, n := range s.nodes {
		if n.Online(1) || !slices.Equal(n.gone, []int64{1}) {
			t.Errorf("node %s after the logout on both nodes: Online %v, gone %v; want false, and user 1 once", n.name, n.Online(1), n.gone)
		}
	}
	if !slices.Equal(a.announced, []int64{1}) {
		t.Errorf("node a announced %v, want user 1", a.announced)
	}
}

// A node that joins later, or has missed something, gets the roster. Users in it
// who were online nowhere are reported as found, and those who came with a change
// aren't: their own node tells their friends.
func TestMissedChanges(t *testing.T) {
	s := new(sim)
	a := s.add("a")
	for u := range int64(5000) { // several chunks
		a.Add(u)
	}
	s.exchange()
	b := s.add("b")
	s.exchange()
	if n := len(b.users("a")); n != 5000 || len(b.found) != 5000 {
		t.Fatalf("the new node sees %d users and has found %d, want 5000", n, len(b.found))
	}
	b.found = nil
	a.Add(6000)
	s.exchange()
	if !b.Online(6000) || len(b.found) != 0 {
		t.Errorf("after a login: Online %v, found %v; want true and none", b.Online(6000), b.found)
	}
	s.mangle = func(*simNode, [][]byte) [][]byte { return nil }
	a.Add(6001)
	a.Remove(3)
	s.exchange()
	s.mangle = nil
	a.Add(6002) // shows the gap
	s.exchange()
	slices.Sort(b.found)
	if !b.Online(6001) || !b.Online(6002) || b.Online(3) || !slices.Equal(b.found, []int64{6001, 6002}) || !slices.Equal(b.gone, []int64{3}) {
		t.Errorf("after a gap: found %v and gone %v, want 6001 and 6002, and 3", b.found, b.gone)
	}
	s.mangle = func(*simNode, [][]byte) [][]byte { return nil }
	a.Remove(4)
	s.exchange()
	s.mangle = nil
	s.tick(heartbeatTicks) // the heartbeat shows that the last change was lost
	if b.Online(4) {
		t.Error("the last change was lost, and the next heartbeat didn't repair that")
	}
}

// Whatever is lost, repeated, reordered or cut off: once the network works again,
// all nodes agree within two heartbeats, and each has told its listener of everyone who
// went.
func TestAlwaysConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := new(sim)
		seed := rapid.Uint64().Draw(t, "seed")
		r := rand.New(rand.NewPCG(seed, 1))
		here := map[string]map[int64]bool{}
		for _, name := range []string{"a", "b", "c"} {
			s.add(name)
			here[name] = map[int64]bool{}
		}
		var late [][]byte
		s.mangle = func(_ *simNode, ms [][]byte) (out [][]byte) {
			for _, m := range ms {
				switch r.IntN(8) {
				case 0: // lost
				case 1:
					out = append(out, m, m)
				case 2:
					late = append(late, m)
				default:
					out = append(out, m)
				}
			}
			if len(late) > 0 && r.IntN(3) == 0 {
				out = append(out, late...)
				late = nil
			}
			return out
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			n := s.nodes[r.IntN(3)]
			user := r.Int64N(2000)
			switch r.IntN(8) {
			case 0:
				s.tick(r.IntN(deathTicks + 4))
			case 1:
				n.BusChanged(false)
			case 2:
				n.BusChanged(true)
			case 3:
				for u := range int64(1500) {
					if !here[n.name][u] {
						n.Add(u)
						here[n.name][u] = true
					}
				}
			case 4, 5:
				if !here[n.name][user] {
					n.Add(user)
					here[n.name][user] = true
				}
			default:
				if here[n.name][user] {
					n.Remove(user)
					delete(here[n.name], user)
				}
			}
			if r.IntN(2) == 0 {
				s.exchange()
			}
		}
		s.mangle = nil
		for _, n := range s.nodes {
			n.BusChanged(true)
		}
		s.exchange()
		s.tick(2 * heartbeatTicks)
		for _, n := range s.nodes {
			for from, users := range here {
				want := slices.Sorted(maps.Keys(users))
				if got := n.users(from); from != n.name && !slices.Equal(got, want) {
					t.Fatalf("node %s sees %d users on node %s, want %d", n.name, len(got), from, len(want))
				}
			}
			for _, m := range n.members {
				if m.version == unknown {
					t.Fatalf("node %s lacks a roster", n.name)
				}
			}
		}
	})
}

// A node that isn't heard for deathTicks is dead. Time during which this node was
// frozen, or the bus was unavailable, doesn't count.
func TestDeath(t *testing.T) {
	s := new(sim)
	a, b := s.add("a"), s.add("b")
	b.Add(1)
	s.exchange()
	b.stopped = true
	s.tick(deathTicks)
	a.want(t, "before the limit", "b", 1)
	a.BusChanged(false)
	s.tick(10 * deathTicks)
	a.want(t, "while the bus is unavailable", "b", 1)
	a.BusChanged(true)
	s.tick(deathTicks)
	a.want(t, "after the outage", "b", 1)
	s.tick(1)
	a.want(t, "after the limit", "b")
	if a.Size() != 1 || !slices.Equal(a.gone, []int64{1}) {
		t.Errorf("after the death: %d nodes, gone %v; want 1, and user 1", a.Size(), a.gone)
	}
	// The node was only frozen: it goes on, and its users are found.
	b.stopped, a.found = false, nil
	s.tick(heartbeatTicks)
	a.want(t, "after the node has continued", "b", 1)
	if !slices.Equal(a.found, []int64{1}) {
		t.Errorf("found %v after the node has continued, want user 1", a.found)
	}
	// The frozen node itself has counted only its own ticks.
	if b.Size() != 2 {
		t.Errorf("the frozen node sees %d nodes, want 2", b.Size())
	}
}

// A node that stops says so. Its users are gone after the grace, and not before: by
// then they have logged in elsewhere.
func TestOrderlyStop(t *testing.T) {
	s := new(sim)
	a, b, c := s.add("a"), s.add("b"), s.add("c")
	b.Add(1)
	b.Add(2)
	s.exchange()
	b.stop()
	b.stopped = true
	s.exchange()
	a.want(t, "within the grace", "b", 1, 2)
	if a.Size() != 2 {
		t.Errorf("%d nodes right after one has stopped, want 2", a.Size())
	}
	c.Add(1)
	s.tick(grace + 1)
	a.want(t, "after the grace", "b")
	a.want(t, "after the grace", "c", 1)
	if !slices.Equal(a.gone, []int64{2}) {
		t.Errorf("gone %v, want only user 2, who hasn't logged in elsewhere", a.gone)
	}
	// A heartbeat that was published before, and arrives late, doesn't bring the
	// node back for long.
	s.publish(nil, bus.Payload{Heartbeat: &bus.Heartbeat{Node: b.id, Name: "b", Version: 1}})
	s.tick(deathTicks + 2)
	if a.Size() != 2 {
		t.Errorf("%d nodes after a late heartbeat, want 2", a.Size())
	}
}

// A node that has crashed and started again has the same name and another ID. Its
// new users stay online when the old ones are gone.
func TestRestartWithSameName(t *testing.T) {
	s := new(sim)
	a, old := s.add("a"), s.add("b")
	old.Add(1)
	old.Add(2)
	s.exchange()
	old.stopped = true
	s.tick(deathTicks / 2)
	b := s.add("b")
	b.Add(2)
	b.Add(3)
	s.exchange()
	a.want(t, "after the restart", "b", 1, 2, 3)
	s.tick(deathTicks)
	a.want(t, "after the death of the old process", "b", 2, 3)
	if !slices.Equal(a.gone, []int64{1}) {
		t.Errorf("gone %v, want only user 1", a.gone)
	}
}

// Await returns once a new node has the rosters of all nodes that the others
// know, and not before; at once on a node without others, and while the bus is
// unavailable.
func TestAwait(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // Await never blocks in this test; see returned
	returned := func(n *simNode) bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.Cluster.joinUntil = time.Now().Add(time.Hour)
		select {
		case <-n.known:
			return true
		default:
			return false
		}
	}
	s := new(sim)
	a, b := s.add("a"), s.add("b")
	b.Add(1)
	s.exchange()
	if !returned(a) || !returned(b) {
		t.Fatal("both nodes know each other's roster, but Await would block")
	}
	// Node c hears node a, but not node b, of which node a knows.
	c := s.add("c")
	s.mangle = func(to *simNode, ms [][]byte) [][]byte {
		if to != c {
			return ms
		}
		return slices.DeleteFunc(ms, func(m []byte) bool {
			p, err := bus.Decode(m)
			return err == nil && (p.Heartbeat != nil && p.Heartbeat.Node == b.id || p.RosterChunk != nil)
		})
	}
	s.exchange()
	if returned(c) {
		t.Error("Await would return without the roster of a node that another one knows")
	}
	s.mangle = nil
	s.tick(heartbeatTicks)
	if !returned(c) || !c.Online(1) {
		t.Error("Await would block although all rosters are known")
	}
	c.BusChanged(false)
	c.BusChanged(true)
	if returned(c) {
		t.Error("Await would return right after an outage, before any node has answered")
	}
	s.exchange()
	if !returned(c) {
		t.Error("Await would block although all nodes have answered after the outage")
	}
	c.BusChanged(true)
	c.BusChanged(false)
	if !returned(c) {
		t.Error("Await would block while the bus is unavailable")
	}
	c.BusChanged(true)
	c.Await(ctx) // returns because its context has ended
	c.mu.Lock()
	c.joinUntil = time.Now()
	c.mu.Unlock()
	c.Await(t.Context()) // returns because the time is over
}

// Broken or hostile payloads don't take up memory without bound, and don't keep
// real nodes from being seen afterwards.
func TestHostilePayloads(t *testing.T) {
	s := new(sim)
	a, b := s.add("a"), s.add("b")
	a.view.max = 10_000
	b.Add(1)
	s.exchange()
	send := func(p bus.Payload) { a.Receive(&p) }
	many := make([]int64, bus.MaxDeltaUsers)
	next := int64(1_000_000)
	fill := func() []int64 {
		for i := range many {
			next++
			many[i] = next
		}
		return many
	}
	const evil, nodes = bus.NodeID(99), 10_000
	// A roster without end: ever more users, under ever higher versions.
	send(bus.Payload{Heartbeat: &bus.Heartbeat{Node: evil, Name: "evil"}})
	for v := range int64(1000) {
		send(bus.Payload{RosterDelta: &bus.RosterDelta{Node: evil, Version: v + 1, Came: fill()}})
	}
	if n := a.view.count.Load(); n > a.view.max {
		t.Errorf("the view has %d users, want at most %d", n, a.view.max)
	}
	// Chunks of rosters that never become complete, and that contain users of
	// other chunks.
	for v := range int64(1000) {
		send(bus.Payload{RosterChunk: &bus.RosterChunk{Node: evil, Version: 5000 + v, Index: v % 4, Chunks: 4, Users: fill()}})
		send(bus.Payload{RosterChunk: &bus.RosterChunk{Node: evil, Version: 5000 + v, Index: v % 2, Chunks: 2, Users: []int64{-1, -2, 1 << 62}}})
	}
	if n := a.view.count.Load(); n > a.view.max {
		t.Errorf("after chunks: the view has %d users, want at most %d", n, a.view.max)
	}
	// More nodes than fit, each with some users, requests, and impossible values.
	for id := range bus.NodeID(nodes) {
		send(bus.Payload{Heartbeat: &bus.Heartbeat{Node: 1000 + id, Version: -1 << 63, Nodes: 1 << 62}})
		send(bus.Payload{RosterDelta: &bus.RosterDelta{Node: 1000 + id, Version: 1<<63 - 1, Came: []int64{1}, Went: []int64{1}}})
		send(bus.Payload{RosterRequest: &bus.RosterRequest{Node: 1000 + id}})
		send(bus.Payload{RosterRequest: &bus.RosterRequest{Node: a.id}})
	}
	if n := a.Size(); n > maxNodes {
		t.Errorf("%d nodes, want at most %d", n, maxNodes)
	}
	if n := len(a.out.requests) + len(a.out.changes); n > maxNodes {
		t.Errorf("%d requests wait to be published, want at most one per node", n)
	}
	// This node's own ID, used by another.
	send(bus.Payload{Heartbeat: &bus.Heartbeat{Node: a.id, Bye: true}})
	send(bus.Payload{RosterDelta: &bus.RosterDelta{Node: a.id, Version: 1, Came: []int64{5}}})
	if a.Online(5) {
		t.Error("a delta with this node's own ID was applied")
	}
	a.want(t, "after hostile payloads", "b", 1)
	s.tick(deathTicks + 1)
	if n := a.view.count.Load(); n != 1 || a.Size() != 2 {
		t.Errorf("after the hostile nodes fell silent: %d users on %d nodes, want 1 on 2", n, a.Size())
	}
	c := s.add("c")
	c.Add(7)
	s.tick(heartbeatTicks)
	a.want(t, "after the hostile nodes fell silent", "c", 7)
}

// If a broken node raises the version that another one's roster has here, the
// next heartbeat of the real one repairs that.
func TestForgedVersion(t *testing.T) {
	s := new(sim)
	a, b := s.add("a"), s.add("b")
	b.Add(1)
	s.exchange()
	a.Receive(&bus.Payload{RosterChunk: &bus.RosterChunk{Node: b.id, Version: 1 << 60, Chunks: 1, Users: []int64{2}}})
	a.want(t, "after a forged roster", "b", 2)
	s.tick(2 * heartbeatTicks)
	a.want(t, "after the next heartbeat", "b", 1)
	b.Add(3)
	s.exchange()
	a.want(t, "after a change", "b", 1, 3)
}
