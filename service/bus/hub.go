package bus

import (
	"context"
	"sync"
	"time"
)

// Hub is the bus of the nodes in one process. Its zero value is ready.
type Hub struct {
	mu    sync.RWMutex
	nodes map[*Node]struct{}
}

// Node is one node's place on a Hub. Its methods may be called from any
// goroutine and never block.
type Node struct {
	hub     *Hub
	receive func([]Message)

	mu   sync.RWMutex
	subs map[Channel]int // how often subscribed
}

// Join adds a node. What other nodes publish on channels that it has
// subscribed to is handed to receive, on the publisher's goroutine, in the
// publisher's order; receive must not block, and must not keep the slice.
// A node never receives what it has published itself.
func (h *Hub) Join(receive func([]Message)) *Node {
	n := &Node{hub: h, receive: receive, subs: make(map[Channel]int)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.nodes == nil {
		h.nodes = make(map[*Node]struct{})
	}
	h.nodes[n] = struct{}{}
	return n
}

// Close takes the node off the hub: its subscriptions end with it. The error
// is always nil.
func (n *Node) Close(context.Context) error {
	n.hub.mu.Lock()
	delete(n.hub.nodes, n)
	n.hub.mu.Unlock()
	return nil
}

// Subscribe counts one subscription more to c.
func (n *Node) Subscribe(c Channel) {
	n.mu.Lock()
	n.subs[c]++
	n.mu.Unlock()
}

// Unsubscribe counts one subscription less to c; the last one ends it.
func (n *Node) Unsubscribe(c Channel) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.subs[c]--; n.subs[c] <= 0 {
		delete(n.subs, c)
	}
}

// Await returns when all that was subscribed before the call is in force:
// here, at once.
func (n *Node) Await(context.Context) error { return nil }

// MayHaveSubscribers reports whether a message on c would reach another node.
func (n *Node) MayHaveSubscribers(c Channel) bool {
	n.hub.mu.RLock()
	defer n.hub.mu.RUnlock()
	if len(n.hub.nodes) < 2 {
		return false
	}
	for o := range n.hub.nodes {
		if o != n && o.has(c) {
			return true
		}
	}
	return false
}

// Publish offers the messages to all other nodes. The error is always nil.
func (n *Node) Publish(_ context.Context, ms []Message) error {
	n.hub.mu.RLock()
	others := make([]*Node, 0, len(n.hub.nodes))
	for o := range n.hub.nodes {
		if o != n {
			others = append(others, o)
		}
	}
	n.hub.mu.RUnlock()
	for _, o := range others {
		var got []Message
		for _, m := range ms {
			if o.has(m.Channel) {
				got = append(got, m)
			}
		}
		if len(got) > 0 {
			o.receive(got)
		}
	}
	return nil
}

// Online reports, for each user, whether any node has subscribed to their
// channel: the subscription is the presence. The error is always nil.
func (n *Node) Online(_ context.Context, users []int64) ([]bool, error) {
	n.hub.mu.RLock()
	defer n.hub.mu.RUnlock()
	on := make([]bool, len(users))
	for o := range n.hub.nodes {
		for i, u := range users {
			on[i] = on[i] || o.has(User(u))
		}
	}
	return on, nil
}

func (n *Node) has(c Channel) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.subs[c] > 0
}

// Now returns the time in Unix microseconds: all nodes of a hub have one clock.
func (n *Node) Now(context.Context) int64 { return time.Now().UnixMicro() }
