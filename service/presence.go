package service

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"chatd/proto"
	"chatd/service/bus"
)

// presence tells a user's friends when the user comes and goes. A user who
// is back within the grace was never away: the node's subscription to the
// user's channel, which is what others go by, is kept as long.
type presence struct {
	s *Service

	mu      sync.Mutex
	here    map[int64]*stay
	settled time.Time      // until then the bus may not know yet who is online
	changed map[int64]bool // whose friends have to be told: online or not
	wake    chan struct{}
}

// stay is a user's being online, as others see it.
type stay struct {
	leaving *time.Timer // runs while the user has no session any more
	left    int         // how often it was set: a timer that comes too late knows
	// friends are those whom the user believes to be online; nil while there are none.
	friends map[int64]struct{}
}

func newPresence(s *Service) *presence {
	return &presence{s: s, here: make(map[int64]*stay), changed: make(map[int64]bool), wake: make(chan struct{}, 1)}
}

// up notes that a user has a session; it never blocks.
func (p *presence) up(user int64) {
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
	p.s.bus.Subscribe(bus.User(user))
	p.tell(user, true)
}

// down notes that a user has no session on this node any more; it never blocks.
func (p *presence) down(user int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.here[user]
	if st == nil || st.leaving != nil {
		return
	}
	st.left++
	left := st.left
	st.leaving = time.AfterFunc(p.s.cfg.Grace, func() { p.gone(user, st, left) })
}

// isLeaving reports whether a user's last session here ended within the grace:
// until it is over the user counts as online.
func (p *presence) isLeaving(user int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.here[user]
	return st != nil && st.leaving != nil
}

// gone ends a stay whose grace is over, unless the user has come back.
func (p *presence) gone(user int64, st *stay, left int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.here[user] != st || st.leaving == nil || st.left != left {
		return
	}
	if len(p.s.registry.sessions(user)) > 0 { // back, and its up came before the down
		st.leaving = nil
		return
	}
	delete(p.here, user)
	p.s.bus.Unsubscribe(bus.User(user))
	p.tell(user, false)
}

// tell wakes run; p.mu is held.
func (p *presence) tell(user int64, online bool) {
	p.changed[user] = online
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run tells the friends, until the service stops.
func (p *presence) run(t Off) {
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
		for some := range slices.Chunk(users, presenceBatch) {
			part := make(map[int64]bool, len(some))
			for _, user := range some {
				part[user] = changed[user]
			}
			if err := p.spread(t, part); err != nil && t.Err() == nil {
				p.s.log.Error("telling users' presence failed", "users", len(some), "err", err)
			}
		}
	}
}

// stop ends the timers: a node that goes away takes its subscriptions along.
func (p *presence) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, st := range p.here {
		if st.leaving != nil {
			st.leaving.Stop()
		}
	}
	clear(p.here)
}

// spread tells those friends who are online and may know of all who have
// changed: in a storm that is many users, for a few questions to the store and
// the bus.
func (p *presence) spread(t Off, changed map[int64]bool) error {
	s := p.s
	if !p.certain() { // who went isn't known; friends who look later find out
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
		on, err := s.bus.Online(t, gone)
		for i, user := range gone {
			if err != nil || on[i] {
				delete(changed, user)
			}
		}
		failed = err
	}
	watchers, err := s.store.Audience(t, slices.Collect(maps.Keys(changed)))
	if err != nil || len(watchers) == 0 {
		return errors.Join(failed, err)
	}
	friends := make([]int64, len(watchers))
	for i, w := range watchers {
		friends[i] = w.Friend
	}
	slices.Sort(friends)
	friends = slices.Compact(friends)
	on := s.online(t, friends)
	for _, w := range watchers {
		if i, _ := slices.BinarySearch(friends, w.Friend); on[i] {
			p.makeWay(t)
			p.inform(w.Friend, &bus.Presence{User: w.User, Online: changed[w.User]}, nil)
		}
	}
	return failed
}

// makeWay waits while the courier has much to do: logins and notices, which
// somebody would miss, need what is left of it.
func (p *presence) makeWay(t Off) {
	for len(p.s.courier) > courierLen/2 && t.Err() == nil {
		select {
		case <-t.Done():
		case <-time.After(courierPause):
		}
	}
}

// inform tells all sessions of a user but one, on whatever node, of a
// friend's coming or going. It never blocks.
func (p *presence) inform(user int64, news *bus.Presence, except *Session) {
	p.believes(user, news.User, news.Online)
	p.s.tellLocal(user, presenceBody(news.User, news.Online), except)
	p.s.publish(bus.User(user), bus.Payload{Presence: news})
}

// hear tells a user here of a friend's coming or going.
func (p *presence) hear(user int64, news *bus.Presence) {
	p.believes(user, news.User, news.Online)
	p.s.tellLocal(user, presenceBody(news.User, news.Online), nil)
}

// believes notes what a user here was told of a friend.
func (p *presence) believes(user, friend int64, online bool) {
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

// look finds friends who went without a word: those of a node that died.
func (p *presence) look(t Off) {
	p.s.every(t, p.s.cfg.LookEvery, func(t Off) {
		if err := p.lookAfter(t); err != nil && t.Err() == nil {
			p.s.log.Error("looking after online friends failed", "err", err)
		}
	})
}

func (p *presence) lookAfter(t Off) error {
	if !p.certain() {
		return nil
	}
	watchers := make(map[int64][]int64) // of each friend believed to be online elsewhere
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
	on, err := p.s.bus.Online(t, friends)
	if err != nil || !p.certain() { // a bus that went away meanwhile knows nobody
		return err
	}
	for i, f := range friends {
		if !on[i] {
			for _, user := range watchers[f] {
				p.hear(user, &bus.Presence{User: f})
			}
		}
	}
	return nil
}

// certain reports whether the bus knows who is online: not while it is away,
// nor just after it came back, when nodes are still subscribing.
func (p *presence) certain() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.s.away.Load() && time.Now().After(p.settled)
}

// busBack tells everyone's friends again who is here: what was said while the
// bus was away was not heard elsewhere. It never blocks.
func (p *presence) busBack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settled = time.Now().Add(afterReturn)
	for user := range p.here {
		p.tell(user, true)
	}
}

func presenceBody(user int64, online bool) []byte {
	return proto.AppendResponse(nil, &proto.Response{Op: proto.PRESENCE, ID: user, State: state(online)})
}
