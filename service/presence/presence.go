// Package presence tells users when their friends come and go.
//
// A node's subscription to a user's channel is the user's presence: other nodes
// look for it. A user who is back within Grace was never away, so the
// subscription is kept that long.
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

// Off is the right to block.
type Off = reactor.Off

const (
	batchSize   = 256              // users whose coming or going is told together
	afterReturn = 10 * time.Second // after the bus came back nobody is declared offline
)

// Store is what presence asks of the data.
type Store interface {
	PresenceViewers(ctx context.Context, users []int64) ([]model.PresenceViewer, error)
	Blockers(ctx context.Context, user int64) ([]int64, error)
}

// Presence knows which users are online here, and what they were told of their
// friends. Any goroutine may use it.
type Presence struct {
	cfg *Config
	log *slog.Logger

	bus      bus.Bus
	courier  *bus.Courier
	store    Store
	sessions *session.Sessions

	away atomic.Bool // the bus is

	mu      sync.Mutex
	here    map[int64]*stay
	certain time.Time      // until then the bus may not know yet who is online
	changed map[int64]bool // users whose friends have to be told: online or not
	wake    chan struct{}
}

// stay is the time for which a user is online, as others see it.
type stay struct {
	leaving *time.Timer // runs while the user has no session
	left    int         // how often it was started: a timer that fires too late knows
	// friends are those the user was told are online; nil while there are none.
	friends map[int64]struct{}
}

// New makes the presence of a node. Call Start before any user comes.
func New(cfg *Config, log *slog.Logger) *Presence {
	return &Presence{cfg: cfg, log: log, here: make(map[int64]*stay), changed: make(map[int64]bool), wake: make(chan struct{}, 1)}
}

// Start gives presence what it works with.
func (p *Presence) Start(b bus.Bus, c *bus.Courier, store Store, s *session.Sessions) {
	p.bus, p.courier, p.store, p.sessions = b, c, store, s
}

// Up notes that a user has a session. It never blocks.
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

// Down notes that a user has no session on this node any more. It never blocks.
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

// Leaving reports whether a user's last session here ended less than Grace ago:
// until then the user counts as online.
func (p *Presence) Leaving(user int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.here[user]
	return st != nil && st.leaving != nil
}

// leave ends a stay whose grace is over, unless the user has come back.
func (p *Presence) leave(user int64, st *stay, left int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.here[user] != st || st.leaving == nil || st.left != left {
		return
	}
	if len(p.sessions.Sessions(user)) > 0 { // back, and its up came before the down
		st.leaving = nil
		return
	}
	delete(p.here, user)
	p.bus.Unsubscribe(bus.User(user))
	p.queue(user, false)
}

// queue has Run tell a user's friends; p.mu is held.
func (p *Presence) queue(user int64, online bool) {
	p.changed[user] = online
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run tells friends of changes until t ends.
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
				p.log.Error("telling users' presence failed", "users", len(some), "err", err)
			}
		}
	}
}

// stop ends the timers: a node that goes away takes its subscriptions along.
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

// tellFriends tells of changes to those friends who are online and may know. In
// a storm of logins that is many users, for a few queries of the store and bus.
func (p *Presence) tellFriends(t Off, changed map[int64]bool) error {
	if !p.Certain() { // who has gone isn't known; LookAfter finds out later
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
		// A session elsewhere keeps a user online.
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

// Inform tells all sessions of a user but one, on every node, that a friend has
// come or gone. It never blocks.
func (p *Presence) Inform(user int64, news *bus.Presence, except *session.Session) {
	p.Record(user, news.User, news.Online)
	p.sessions.TellHere(user, body(news.User, news.Online), except)
	p.courier.Publish(bus.User(user), bus.Payload{Presence: news})
}

// InformHere tells a user's sessions on this node that a friend has come or gone.
func (p *Presence) InformHere(user int64, news *bus.Presence) {
	p.Record(user, news.User, news.Online)
	p.sessions.TellHere(user, body(news.User, news.Online), nil)
}

// Record notes what a user here was told of a friend.
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

// LookAfter finds friends who have gone without a word: users of a node that
// died. Call it every LookEvery.
func (p *Presence) LookAfter(t Off) {
	if err := p.lookAfter(t); err != nil && t.Err() == nil {
		p.log.Error("looking after online friends failed", "err", err)
	}
}

func (p *Presence) lookAfter(t Off) error {
	if !p.Certain() {
		return nil
	}
	watchers := make(map[int64][]int64) // by friend: users who were told that the friend is online elsewhere
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
	if err != nil || !p.Certain() { // a bus that went away meanwhile knows nobody
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

// Certain reports whether the bus knows who is online: not while it is away, nor
// just after it came back, when nodes are still subscribing.
func (p *Presence) Certain() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.away.Load() && time.Now().After(p.certain)
}

// BusAway reports whether the bus is away.
func (p *Presence) BusAway() bool { return p.away.Load() }

// BusChanged notes that the bus is up or away. When it is back, everyone's
// friends are told again who is online here: other nodes have missed it. It
// never blocks.
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

// Online reports which users are online, as far as the bus knows: where it
// doesn't, that is no reason to refuse a list.
func (p *Presence) Online(t Off, ids []int64) []bool {
	on, err := p.bus.Online(t, ids)
	if err != nil && t.Err() == nil {
		p.log.Warn("who is online on other nodes is not known", "err", err)
	}
	return on
}

// States returns each user's state as asker may see it: users who have blocked
// asker look offline. Errors are the store's.
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

// State is a user's state on the wire.
func State(online bool) string {
	if online {
		return proto.Online
	}
	return proto.Offline
}

func body(user int64, online bool) []byte {
	return proto.AppendResponse(nil, &proto.Response{Op: proto.PRESENCE, ID: user, State: State(online)})
}
