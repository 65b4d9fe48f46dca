package cluster

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"chatd/reactor"
	"chatd/service/bus"
)

const (
	pace         = 5 * time.Millisecond   // minimum time between two batches of changes
	rosterPace   = 100 * time.Millisecond // minimum time between two whole rosters
	chunkUsers   = 1024                   // users in a RosterChunk, on average; twice as many at most for large rosters
	publishBatch = 16                     // maximum number of payloads in one Publish
)

// outbox has what Run publishes next. It never holds more than the current state,
// so it needs no bound.
type outbox struct {
	mu   sync.Mutex
	wake chan struct{} // tells Run that there is something to publish
	pending
}

type pending struct {
	greet     bool // publish a heartbeat with Hello
	heartbeat bool
	roster    bool
	requests  map[bus.NodeID]struct{}
	changes   map[int64]bool // by user: whether they are online on this node
}

func (o *outbox) init() {
	o.wake = make(chan struct{}, 1)
	o.clear()
}

func (o *outbox) clear() {
	o.pending = pending{requests: make(map[bus.NodeID]struct{}), changes: make(map[int64]bool)}
}

func (o *outbox) update(f func()) {
	o.mu.Lock()
	f()
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) hello()      { o.update(func() { o.greet = true }) }
func (o *outbox) beat()       { o.update(func() { o.heartbeat = true }) }
func (o *outbox) wantRoster() { o.update(func() { o.roster = true }) }

func (o *outbox) request(id bus.NodeID) { o.update(func() { o.requests[id] = struct{}{} }) }

func (o *outbox) change(user int64, online bool) { o.update(func() { o.changes[user] = online }) }

func (o *outbox) take() pending {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.pending
	o.clear()
	return p
}

// roster has the users of this node that other nodes know of. Only Run uses it.
type roster struct {
	version   int64
	shards    [bus.MaxRosterChunks]map[int64]struct{}
	size      int
	published time.Time // when the whole roster was published
}

func (r *roster) init() {
	for i := range r.shards {
		r.shards[i] = make(map[int64]struct{})
	}
}

// apply applies changes and returns those that change the roster.
func (r *roster) apply(changes map[int64]bool) (came, went []int64) {
	for user, online := range changes {
		users := r.shards[shardOf(user)]
		switch _, had := users[user]; {
		case online && !had:
			users[user] = struct{}{}
			r.size++
			came = append(came, user)
		case !online && had:
			delete(users, user)
			r.size--
			went = append(went, user)
		}
	}
	return came, went
}

// chunks returns the number of chunks of the roster.
func (r *roster) chunks() int {
	n := 1
	for n < len(r.shards) && r.size/n > chunkUsers {
		n *= 2
	}
	return n
}

// chunk returns the users of one of n chunks.
func (r *roster) chunk(i, n int) []int64 {
	var users []int64
	for s := i; s < len(r.shards); s += n {
		users = slices.AppendSeq(users, maps.Keys(r.shards[s]))
	}
	slices.Sort(users)
	return users[:min(len(users), bus.MaxChunkUsers)] // there are more only with millions of users on one node
}

// Run publishes heartbeats and the node's roster, and watches the other nodes,
// until t ends. Then it tells them that this node stops.
func (c *Cluster) Run(t Off) {
	c.bus.Subscribe(bus.Nodes)
	ctx, cancel := context.WithTimeout(t, bus.PublishTimeout)
	_ = c.bus.Await(ctx) // if it fails, heartbeats are heard later
	cancel()
	c.mu.Lock()
	if c.bus.MayHaveSubscribers(bus.Nodes) {
		c.join()
	} else {
		c.setKnown()
	}
	c.mu.Unlock()
	ticker := time.NewTicker(c.cfg.Tick)
	defer ticker.Stop()
	for {
		select {
		case <-t.Done():
			c.stop()
			return
		case <-ticker.C:
			c.tick()
		case <-c.out.wake:
			c.flush(t)
			select { // gather the changes of a few milliseconds
			case <-t.Done():
			case <-time.After(pace):
			}
		}
	}
}

// stop tells the other nodes that this one stops. It blocks for up to 500 ms.
func (c *Cluster) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), bus.PublishTimeout) // Run's context has ended
	defer cancel()
	c.publish(reactor.OffLoop(ctx), []bus.Message{{Channel: bus.Nodes, Payload: bus.Payload{
		Heartbeat: &bus.Heartbeat{Node: c.id, Name: c.name, Version: c.roster.version, Bye: true}}}})
	c.bus.Unsubscribe(bus.Nodes)
}

// flush publishes what is in the outbox. It blocks.
func (c *Cluster) flush(t Off) {
	p := c.out.take()
	var ms []bus.Message
	add := func(p bus.Payload) { ms = append(ms, bus.Message{Channel: bus.Nodes, Payload: p}) }
	for id := range p.requests {
		add(bus.Payload{RosterRequest: &bus.RosterRequest{Node: id}})
	}
	r := &c.roster
	came, went := r.apply(p.changes)
	for len(came)+len(went) > 0 {
		var d bus.RosterDelta
		d.Came, came = cut(came)
		d.Went, went = cut(went)
		r.version++
		d.Node, d.Version = c.id, r.version
		add(bus.Payload{RosterDelta: &d})
	}
	if p.roster {
		if wait := c.rosterPace - time.Since(r.published); wait > 0 && !r.published.IsZero() {
			time.AfterFunc(wait, c.out.wantRoster)
		} else {
			r.published = time.Now()
			n := r.chunks()
			for i := range n {
				add(bus.Payload{RosterChunk: &bus.RosterChunk{Node: c.id, Version: r.version,
					Index: int64(i), Chunks: int64(n), Users: r.chunk(i, n)}})
			}
		}
	}
	if p.heartbeat || p.greet {
		add(bus.Payload{Heartbeat: &bus.Heartbeat{Node: c.id, Name: c.name, Version: r.version, Nodes: int64(c.Size()), Hello: p.greet}})
	}
	c.publish(t, ms)
	var online []int64
	for user, on := range p.changes {
		if on {
			online = append(online, user)
		}
	}
	if len(online) > 0 {
		c.listener.Announced(online)
	}
}

// cut returns the first users of a list, as many as fit into a RosterDelta, and
// the others.
func cut(users []int64) (first, rest []int64) {
	n := min(len(users), bus.MaxDeltaUsers)
	slices.Sort(users[:n]) // takes less space
	return users[:n], users[n:]
}

// publish publishes messages in order. Errors need no handling: the next
// heartbeat shows the others what they have missed.
func (c *Cluster) publish(t Off, ms []bus.Message) {
	if !c.bus.MayHaveSubscribers(bus.Nodes) {
		return
	}
	for batch := range slices.Chunk(ms, publishBatch) {
		if c.bus.Publish(t, batch) != nil {
			return
		}
	}
}
