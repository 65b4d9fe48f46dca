package cluster

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/reactor"
	"chatd/service/bus"
)

// sim is a network of nodes without goroutines: a test decides when they tick and
// publish, and which payloads arrive.
type sim struct {
	nodes []*simNode
	// mangle decides what arrives at a node: it gets what has been published
	// since the last delivery. nil: everything, in order.
	mangle func(to *simNode, ms [][]byte) [][]byte
}

// simNode is a Cluster, its bus, and its listener.
type simNode struct {
	*Cluster
	bus.Bus // nil: the Cluster uses only the methods below
	sim     *sim
	inbox   [][]byte // encoded payloads
	stopped bool     // publishes and receives nothing

	announced, found, gone []int64
}

func (n *simNode) Subscribe(bus.Channel)               {}
func (n *simNode) Unsubscribe(bus.Channel)             {}
func (n *simNode) Await(context.Context) error         { return nil }
func (n *simNode) MayHaveSubscribers(bus.Channel) bool { return true }

func (n *simNode) Publish(_ context.Context, ms []bus.Message) error {
	for _, m := range ms {
		n.sim.publish(n, m.Payload)
	}
	return nil
}

func (n *simNode) Announced(users []int64) { n.announced = append(n.announced, users...) }
func (n *simNode) Found(users []int64)     { n.found = append(n.found, users...) }
func (n *simNode) Gone(users []int64)      { n.gone = append(n.gone, users...) }

// publish gives a payload to all nodes but from.
func (s *sim) publish(from *simNode, p bus.Payload) {
	for _, n := range s.nodes {
		if n != from && !n.stopped && (from == nil || !from.stopped) {
			n.inbox = append(n.inbox, p.Append(nil))
		}
	}
}

// grace is how many ticks users of a node that has stopped stay online.
const grace = 4

func (s *sim) add(name string) *simNode {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	n := &simNode{Cluster: New(&Config{Tick: 500 * time.Millisecond}, log, metrics.NewSet()), sim: s}
	n.rosterPace = 0
	n.Start(name, n, n, grace*500*time.Millisecond)
	n.join()
	s.nodes = append(s.nodes, n)
	return n
}

func off() Off { return reactor.OffLoop(context.Background()) }

// exchange lets all nodes publish and receive until nothing is left, but not for
// ever.
func (s *sim) exchange() {
	for range 50 {
		busy := false
		for _, n := range s.nodes {
			select {
			case <-n.out.wake:
				busy = true
				n.flush(off())
			default:
			}
		}
		for _, n := range s.nodes {
			ms := n.inbox
			n.inbox = nil
			if s.mangle != nil {
				ms = s.mangle(n, ms)
			}
			for _, b := range ms {
				busy = true
				if p, err := bus.Decode(b); err == nil {
					n.Receive(&p)
				}
			}
		}
		if !busy {
			return
		}
	}
}

// tick lets n ticks pass on all nodes.
func (s *sim) tick(n int) {
	for range n {
		for _, n := range s.nodes {
			if !n.stopped {
				n.Cluster.tick()
			}
		}
		s.exchange()
	}
}

// users lists the users who are online on a node named from, as n sees it.
func (n *simNode) users(from string) (users []int64) {
	for i := range n.view.shards {
		for u := range n.view.shards[i].users {
			if slices.Contains(n.NodesElsewhere(u), from) {
				users = append(users, u)
			}
		}
	}
	slices.Sort(users)
	return users
}

// want fails the test unless n sees exactly these users on the node from.
func (n *simNode) want(t *testing.T, when, from string, users ...int64) {
	t.Helper()
	if got := n.users(from); !slices.Equal(got, users) {
		t.Errorf("%s: node %s sees users %v on node %s, want %v", when, n.name, got, from, users)
	}
}
