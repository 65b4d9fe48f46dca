// Package cluster knows which nodes are alive, and which users are online on
// each of them.
//
// All nodes subscribe to the channel bus.Nodes. On it, a node publishes a
// heartbeat every two seconds, and the changes of its roster: the set of users
// who are online on it. A heartbeat has the roster's version. A node that has
// missed a change sees that from the version, and asks for the whole roster. So
// payloads may be lost, repeated or late, and every node ends up with the same
// view.
//
// A node that isn't heard for eight seconds is dead: its users are no longer
// online there. Only ticks of this node's own clock count, and none while the
// bus is unavailable. So a node that was frozen itself doesn't take the others
// for dead.
package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/reactor"
	"chatd/service/bus"
)

// Off is a short name for reactor.Off.
type Off = reactor.Off

const (
	heartbeatTicks = 4  // between two heartbeats
	deathTicks     = 16 // without a heartbeat, after which a node is dead

	joinTime = 500 * time.Millisecond // maximum time that Await waits for rosters
)

// Config holds the settings of the cluster.
type Config struct {
	Tick time.Duration `kong:"-"` // a quarter of the time between two heartbeats
}

// DefaultConfig returns the default settings.
func DefaultConfig() Config { return Config{Tick: 500 * time.Millisecond} }

// Listener is told about users. Its methods must not block, and must not call the
// cluster.
type Listener interface {
	// Announced is called after other nodes were told that users came online
	// on this node, whether or not they could be reached.
	Announced(users []int64)
	// Found is called with users who were already online on another node when
	// this node learned of them. So this node may have missed what the other one
	// published about them.
	Found(users []int64)
	// Gone is called with users who have ceased to be online. They may be online
	// again when it is called.
	Gone(users []int64)
}

// Cluster is one node's view of all nodes. Its methods may be called from any
// goroutine; only Run and Await block.
type Cluster struct {
	cfg      *Config
	log      *slog.Logger
	id       bus.NodeID
	name     string
	grace    int // ticks until the users of a node that has stopped are gone
	bus      bus.Bus
	listener Listener
	view     view
	names    [maxNodes]atomic.Pointer[string] // by slot
	refused  *metrics.Counter
	rosters  *metrics.Counter

	mu        sync.Mutex // held while a payload is applied
	members   map[bus.NodeID]*member
	slots     [maxNodes]bool // which are in use
	full      bool           // the last new node was refused
	away      bool           // the bus is unavailable
	ticks     int64
	known     chan struct{} // closed once the rosters of all nodes are known
	joining   bool          // known isn't closed
	joinUntil time.Time     // when Await stops waiting
	expected  int64         // nodes that another node knows; 0: none has answered

	out        outbox
	roster     roster
	rosterPace time.Duration // see the constant; tests change it
}

// member is another node.
type member struct {
	id     bus.NodeID
	slot   int
	silent int // ticks since the last heartbeat
	// leaving is the number of ticks until a node that has stopped is removed; 0
	// for all others.
	leaving int
	// version is the version of the roster in the view. It is unknown while
	// chunks of the roster are missing.
	version int64
	asked   int64 // tick of the last RosterRequest, or notAsked

	confirmed bool // has sent a heartbeat since this node joined the bus

	chunks struct { // those of the roster that is being received
		version, count int64
		got            [bus.MaxRosterChunks / 64]uint64
		missing        int64
	}
}

const (
	unknown  = -1 // the version of a roster that this node doesn't have
	notAsked = -1
)

// New returns the Cluster of a node. Call Start before any method but
// BusChanged.
func New(cfg *Config, log *slog.Logger, set *metrics.Set) *Cluster {
	var id [8]byte
	rand.Read(id[:]) // never fails
	c := &Cluster{cfg: cfg, log: log, id: bus.NodeID(binary.LittleEndian.Uint64(id[:])), members: make(map[bus.NodeID]*member),
		known: make(chan struct{}), joining: true, rosterPace: rosterPace,
		refused: set.NewCounter("chatd_cluster_refused_total"), rosters: set.NewCounter("chatd_cluster_rosters_total")}
	c.slots[self] = true
	c.view.init()
	c.out.init()
	c.roster.init()
	set.NewGauge("chatd_cluster_nodes", func() float64 { return float64(c.Size()) })
	set.NewGauge("chatd_cluster_users", func() float64 { return float64(c.view.count.Load()) })
	return c
}

// Start sets the node's name, the dependencies, and how long the users of a node
// that has stopped stay online.
func (c *Cluster) Start(name string, b bus.Bus, l Listener, grace time.Duration) {
	if len(name) > bus.MaxNodeName {
		name = name[:bus.MaxNodeName]
	}
	c.name, c.bus, c.listener = name, b, l
	c.grace = 1 + int((grace+c.cfg.Tick-1)/c.cfg.Tick)
	c.mu.Lock()
	c.joinUntil = time.Now().Add(joinTime)
	c.mu.Unlock()
}

// Online reports whether a user is online on any node.
func (c *Cluster) Online(user int64) bool { return c.view.get(user) != nodeSet{} }

// NodesElsewhere returns the names of the other nodes on which a user is online.
func (c *Cluster) NodesElsewhere(user int64) (names []string) {
	set := c.view.get(user)
	for slot := range maxNodes {
		if slot != self && set.has(slot) {
			if name := c.names[slot].Load(); name != nil {
				names = append(names, *name)
			}
		}
	}
	return names
}

// ID returns the node's ID on the bus.
func (c *Cluster) ID() bus.NodeID { return c.id }

// Hears reports whether another node counts as alive.
func (c *Cluster) Hears(id bus.NodeID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members[id] != nil
}

// Size returns the number of nodes that are alive, including this one.
func (c *Cluster) Size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 1
	for _, m := range c.members {
		if m.leaving == 0 {
			n++
		}
	}
	return n
}

// Add records that a user has come online on this node. Calls of Add and Remove
// for one user must not overlap.
func (c *Cluster) Add(user int64) {
	c.view.add(user, self)
	c.out.change(user, true)
}

// Remove records that a user is no longer online on this node.
func (c *Cluster) Remove(user int64) {
	if c.view.remove(user, self) {
		c.listener.Gone([]int64{user})
	}
	c.out.change(user, false)
}

// Await blocks until this node knows the rosters of all nodes. It returns after
// 500 ms at the latest, and at once unless the node has just started or the bus
// was unavailable until just now.
func (c *Cluster) Await(ctx context.Context) {
	c.mu.Lock()
	known, wait := c.known, time.Until(c.joinUntil)
	c.mu.Unlock()
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-known:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// BusChanged handles a change of the bus: up is false when it becomes
// unavailable, and true when it is available again.
func (c *Cluster) BusChanged(up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = !up
	if !up {
		c.setKnown() // nothing will come
		return
	}
	c.join()
}

// join asks all nodes for heartbeats, and gives them time to send some. The
// caller holds c.mu.
func (c *Cluster) join() {
	for _, m := range c.members {
		if m.leaving == 0 {
			m.silent, m.confirmed = 0, false
		}
	}
	if !c.joining {
		c.known, c.joining = make(chan struct{}), true
	}
	c.joinUntil, c.expected = time.Now().Add(joinTime), 0
	c.out.hello()
}

// setKnown makes Await return. The caller holds c.mu.
func (c *Cluster) setKnown() {
	if c.joining {
		close(c.known)
		c.joining = false
	}
}

// updateKnown makes Await return if this node has confirmed rosters of all nodes
// that the others know. The caller holds c.mu.
func (c *Cluster) updateKnown() {
	if !c.joining || c.expected == 0 {
		return
	}
	others := int64(0)
	for _, m := range c.members {
		switch {
		case m.leaving > 0:
		case !m.confirmed || m.version == unknown:
			return
		default:
			others++
		}
	}
	if others >= c.expected-1 {
		c.setKnown()
	}
}

// tick counts the silence of the other nodes, and removes those that are dead. It
// blocks for as long as it takes to remove their users.
func (c *Cluster) tick() {
	var removed []*member
	c.mu.Lock()
	c.ticks++
	beat := c.ticks%heartbeatTicks == 0
	for id, m := range c.members {
		switch {
		case m.leaving > 0:
			m.leaving--
		case !c.away:
			m.silent++
		}
		stopped := m.leaving == 0 && m.silent < 0
		if stopped || m.silent > deathTicks {
			removed = append(removed, m)
			delete(c.members, id) // from here on, payloads of the node don't use its slot
			if !stopped {
				c.log.Warn("a node is dead: no heartbeat", "node", *c.names[m.slot].Load(), "silence", time.Duration(m.silent)*c.cfg.Tick)
			}
			continue
		}
		if m.version == unknown && m.leaving == 0 && m.asked < c.ticks {
			c.ask(m)
		}
	}
	c.mu.Unlock()
	if beat {
		c.out.beat()
	}
	for _, m := range removed {
		c.view.clear(m.slot, c.listener.Gone)
		c.names[m.slot].Store(nil)
		c.mu.Lock()
		c.slots[m.slot] = false
		c.full = false
		c.updateKnown()
		c.mu.Unlock()
	}
}

// ask asks a node for its roster. The caller holds c.mu.
func (c *Cluster) ask(m *member) {
	m.asked = c.ticks
	c.rosters.Inc()
	c.out.request(m.id)
}
