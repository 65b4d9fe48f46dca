package bus

import (
	"context"
	"sync"
	"sync/atomic"
)

// Hub connects nodes in one process. The zero value is ready to use.
type Hub struct {
	mu    sync.RWMutex
	nodes map[*Node]struct{}
	count atomic.Int32 // len(nodes), for MayHaveSubscribers without a lock
}

// Node connects one node to a Hub. Its methods may be called from any
// goroutine and don't block.
type Node struct {
	hub     *Hub
	receive func([]Message)

	mu   sync.RWMutex
	subs map[Channel]int // number of Subscribe calls without an Unsubscribe
}

// Join adds a node. receive is called with the messages that other nodes
// publish on the channels that the node has subscribed to. It runs on the
// publisher's goroutine, in the publisher's order. It must not block or keep
// the slice. A node doesn't receive its own messages.
func (h *Hub) Join(receive func([]Message)) *Node {
	n := &Node{hub: h, receive: receive, subs: make(map[Channel]int)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.nodes == nil {
		h.nodes = make(map[*Node]struct{})
	}
	h.nodes[n] = struct{}{}
	h.count.Store(int32(len(h.nodes)))
	return n
}

// Close removes the node from the hub and ends its subscriptions. The error is
// always nil.
func (n *Node) Close(context.Context) error {
	n.hub.mu.Lock()
	delete(n.hub.nodes, n)
	n.hub.count.Store(int32(len(n.hub.nodes)))
	n.hub.mu.Unlock()
	return nil
}

// Subscribe adds a subscription to c.
func (n *Node) Subscribe(c Channel) {
	n.mu.Lock()
	n.subs[c]++
	n.mu.Unlock()
}

// Unsubscribe removes a subscription to c. When none is left, the node gets no
// more messages on c.
func (n *Node) Unsubscribe(c Channel) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.subs[c]--; n.subs[c] <= 0 {
		delete(n.subs, c)
	}
}

// Await returns at once: a Hub's subscriptions are active immediately.
func (n *Node) Await(context.Context) error { return nil }

// MayHaveSubscribers reports whether another node has subscribed to c.
func (n *Node) MayHaveSubscribers(c Channel) bool {
	if n.hub.count.Load() < 2 { // usual, and called for each event
		return false
	}
	n.hub.mu.RLock()
	defer n.hub.mu.RUnlock()
	for o := range n.hub.nodes {
		if o != n && o.has(c) {
			return true
		}
	}
	return false
}

// Publish sends the messages to all other nodes that have subscribed to their
// channels. The error is always nil.
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
		var matching []Message
		for _, m := range ms {
			if o.has(m.Channel) {
				matching = append(matching, m)
			}
		}
		if len(matching) > 0 {
			o.receive(matching)
		}
	}
	return nil
}

func (n *Node) has(c Channel) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.subs[c] > 0
}
