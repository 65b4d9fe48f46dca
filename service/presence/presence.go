// Package presence tells users when their friends go online and offline.
//
// A user is online if a node has subscribed to their channel on the bus. A node
// keeps the subscription for Config.Grace after the user's last session has
// ended, so that a user who reconnects stays online.
package presence

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/session"
)

// Off is a short name for reactor.Off.
type Off = reactor.Off

const (
	batchSize   = 256              // most users in one batch of changes
	afterReturn = 10 * time.Second // how long nobody is reported offline after Redis was unavailable
)

// Store holds the methods of the store that presence needs. Both may block.
type Store interface {
	PresenceViewers(ctx context.Context, users []int64) ([]model.PresenceViewer, error)
	Blockers(ctx context.Context, user int64) ([]int64, error)
}

// Presence tracks which users are online on this node, and which friends they
// have been told are online. It is safe for concurrent use.
type Presence struct {
	cfg *Config
	log *slog.Logger

	bus      bus.Bus
	courier  *bus.Courier
	store    Store
	sessions *session.Sessions

	away atomic.Bool // the bus is unavailable

	mu      sync.Mutex
	here    map[int64]*stay // by user
	certain time.Time       // until then, Bus.Online may miss users of other nodes
	changed map[int64]bool  // users whose friends have to be notified, and whether they are online
	wake    chan struct{}   // tells Run that changed has grown
}

// stay is the state of a user who is online on this node.
type stay struct {
	leaving *time.Timer // calls leave after Grace; nil while the user has a session
	left    int         // number of timers started, to recognize one that was stopped too late
	// friends has the friends who the user has been told are online. It may be
	// nil.
	friends map[int64]struct{}
}

// New returns the Presence of a node. Call Start before the first login.
func New(cfg *Config, log *slog.Logger) *Presence {
	return &Presence{cfg: cfg, log: log, here: make(map[int64]*stay), changed: make(map[int64]bool), wake: make(chan struct{}, 1)}
}

// Start sets the dependencies.
func (p *Presence) Start(b bus.Bus, c *bus.Courier, store Store, s *session.Sessions) {
	p.bus, p.courier, p.store, p.sessions = b, c, store, s
}

// Up records that a user has a session on this node. It doesn't block.
func (p *Presence) Up(user int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if st := p.here[user]; st != nil {
		if st.leaving != nil {
			st.leaving.Stop()
			st.leaving = nil
		}
		return
	}
	p.here[user] = &stay{}
	p.bus.Subscribe(bus.User(user))
	p.queue(user, true)
}

// Down records that a user's last session on this node has ended. It doesn't
// block.
func (p *Presence) Down(user int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.here[user]
	if st == nil || st.leaving != nil {
		return
	}
	st.left++
	left := st.left
	st.leaving = time.AfterFunc(p.cfg.Grace, func() { p.leave(user, st, left) })
}

// Leaving reports whether a user counts as online only because their last
// session on this node ended less than Grace ago.
func (p *Presence) Leaving(user int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.here[user]
	return st != nil && st.leaving != nil
}

// leave ends a stay after its Grace, unless the user has logged in again.
func (p *Presence) leave(user int64, st *stay, left int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.here[user] != st || st.leaving == nil || st.left != left {
		return
	}
	if len(p.sessions.Sessions(user)) > 0 { // a new session has called Up before the old one called Down
		st.leaving = nil
		return
	}
	delete(p.here, user)
	p.bus.Unsubscribe(bus.User(user))
	p.queue(user, false)
}

// queue makes Run notify a user's friends. The caller holds p.mu.
func (p *Presence) queue(user int64, online bool) {
	p.changed[user] = online
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run notifies friends of changes until t ends.
func (p *Presence) Run(t Off) {
	for {
		select {
		case <-t.Done():
			p.stop()
			return
		case <-p.wake:
		}
		p.mu.Lock()
		changed := p.changed
		p.changed = make(map[int64]bool)
		p.mu.Unlock()
		users := slices.Collect(maps.Keys(changed))
		for some := range slices.Chunk(users, batchSize) {
			batch := make(map[int64]bool, len(some))
			for _, user := range some {
				batch[user] = changed[user]
			}
			if err := p.tellFriends(t, batch); err != nil && t.Err() == nil {
				p.log.Error("presence notices not sent", "users", len(some), "err", err)
			}
		}
	}
}

// stop stops all timers. The node's subscriptions end when the bus is closed.
func (p *Presence) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, st := range p.here {
		if st.leaving != nil {
			st.leaving.Stop()
		}
	}
	clear(p.here)
}

// tellFriends notifies the friends of the users in changed, if the friends are
// online and may see the users' states. It needs only a few queries for all of
// them, because many users may log in at the same time.
func (p *Presence) tellFriends(t Off, changed map[int64]bool) error {
	if !p.Certain() { // users may be online elsewhere; LookAfter reports them offline later
		maps.DeleteFunc(changed, func(_ int64, online bool) bool { return !online })
	}
	var gone []int64
	for user, online := range changed {
		if !online {
			gone = append(gone, user)
		}
	}
	var failed error
	if len(gone) > 0 {
		// A user with a session on another node stays online.
		on, err := p.bus.Online(t, gone)
		for i, user := range gone {
			if err != nil || on[i] {
				delete(changed, user)
			}
		}
		failed = err
	}
	viewers, err := p.store.PresenceViewers(t, slices.Collect(maps.Keys(changed)))
	if err != nil || len(viewers) == 0 {
		return errors.Join(failed, err)
	}
	friends := make([]int64, len(viewers))
	for i, w := range viewers {
		friends[i] = w.Friend
	}
	slices.Sort(friends)
	friends = slices.Compact(friends)
	on := p.Online(t, friends)
	for _, w := range viewers {
		if i, _ := slices.BinarySearch(friends, w.Friend); on[i] {
			p.courier.WaitForRoom(t)
			p.Inform(w.Friend, &bus.Presence{User: w.User, Online: changed[w.User]}, nil)
		}
	}
	return failed
}

// Inform notifies all sessions of a user, on all nodes and except one, that a
// friend went online or offline. It doesn't block.
func (p *Presence) Inform(user int64, news *bus.Presence, except *session.Session) {
	p.Record(user, news.User, news.Online)
	p.sessions.TellHere(user, body(news.User, news.Online), except)
	p.courier.Publish(bus.User(user), bus.Payload{Presence: news})
}

// InformHere notifies a user's sessions on this node that a friend went online
// or offline. It doesn't block.
func (p *Presence) InformHere(user int64, news *bus.Presence) {
	p.Record(user, news.User, news.Online)
	p.sessions.TellHere(user, body(news.User, news.Online), nil)
}

// Record records that a user on this node has been told that a friend is online
// or offline.
func (p *Presence) Record(user, friend int64, online bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.here[user]
	switch {
	case st == nil:
	case online:
		if st.friends == nil {
			st.friends = make(map[int64]struct{})
		}
		st.friends[friend] = struct{}{}
	default:
		delete(st.friends, friend)
	}
}

// LookAfter finds friends who are no longer online although no node has said so,
// because their node crashed. It blocks. Call it every LookEvery.
func (p *Presence) LookAfter(t Off) {
	if err := p.lookAfter(t); err != nil && t.Err() == nil {
		p.log.Error("checking which friends are still online failed", "err", err)
	}
}

func (p *Presence) lookAfter(t Off) error {
	if !p.Certain() {
		return nil
	}
	watchers := make(map[int64][]int64) // by friend on another node: users who have been told that they are online
	p.mu.Lock()
	for user, st := range p.here {
		for f := range st.friends {
			if p.here[f] == nil {
				watchers[f] = append(watchers[f], user)
			}
		}
	}
	p.mu.Unlock()
	friends := slices.Collect(maps.Keys(watchers))
	if len(friends) == 0 {
		return nil
	}
	on, err := p.bus.Online(t, friends)
	if err != nil || !p.Certain() { // if Redis has become unavailable meanwhile, on is wrong
		return err
	}
	for i, f := range friends {
		if !on[i] {
			for _, user := range watchers[f] {
				p.InformHere(user, &bus.Presence{User: f})
			}
		}
	}
	return nil
}

// Certain reports whether the bus knows who is online. It doesn't while Redis is
// unavailable, and for a while after, because nodes are still subscribing.
func (p *Presence) Certain() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.away.Load() && time.Now().After(p.certain)
}

// BusAway reports whether the bus is unavailable.
func (p *Presence) BusAway() bool { return p.away.Load() }

// BusChanged handles a change of the bus. When it is available again, the
// friends of all users on this node are notified that these are online, because
// other nodes may have missed that. It doesn't block.
func (p *Presence) BusChanged(up bool) {
	p.away.Store(!up)
	if !up {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.certain = time.Now().Add(afterReturn)
	for user := range p.here {
		p.queue(user, true)
	}
}

// Online reports which users are online, as far as the bus knows. An error of
// the bus is logged but not returned: a list with users who look offline is
// better than none. It blocks.
func (p *Presence) Online(t Off, ids []int64) []bool {
	on, err := p.bus.Online(t, ids)
	if err != nil && t.Err() == nil {
		p.log.Warn("couldn't ask Redis who is online; users on other nodes appear offline", "err", err)
	}
	return on
}

// States returns each user's state as asker may see it: users who have blocked
// asker appear offline. It blocks, and returns the store's errors.
func (p *Presence) States(t Off, asker int64, ids []int64) ([]string, error) {
	on := p.Online(t, ids)
	blockers, err := p.store.Blockers(t, asker)
	if err != nil {
		return nil, err
	}
	hidden := make(map[int64]bool, len(blockers))
	for _, id := range blockers {
		hidden[id] = true
	}
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = State(on[i] && !hidden[id])
	}
	return list, nil
}

// State returns a user's state as the protocol has it.
func State(online bool) string {
	if online {
		return proto.Online
	}
	return proto.Offline
}

func body(user int64, online bool) []byte {
	return proto.AppendResponse(nil, &proto.Response{Op: proto.PRESENCE, ID: user, State: State(online)})
}
