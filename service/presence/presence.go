// Package presence tells users when their friends go online and offline.
//
// Package cluster knows who is online. This package remembers which friends each
// user on this node has been told are online, and keeps that true:
//
//   - A user logs in: the node of the login asks the store which friends may see
//     it. It tells those on this node, and sends a hint to the nodes of the others.
//     If the answer to the login has no list of friends, the node also tells the
//     user which of them are online.
//   - A user has left all nodes: each node tells its own users who were told that
//     the user is online.
//   - A friendship or a block changes: the nodes of both users check what the store
//     says about the two.
//   - Hints may have been lost: the node checks all friends of the users concerned.
//
// Code that tells a user something it read from the store also reads it again,
// or checks whether a change was reported meanwhile. So the last thing that a user
// is told is never older than the last change.
//
// A user counts as online for Config.Grace after their last session on a node
// has ended, so that a user who reconnects stays online.
package presence

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/cluster"
	"chatd/service/session"
)

// Turn and Off are short names for the types of package reactor.
type (
	Turn = reactor.Turn
	Off  = reactor.Off
)

const (
	afterReturn = 10 * time.Second // how long after a Redis outage other nodes may still be unable to publish
	shards      = 64
)

// Store holds the methods of the store that presence needs. All may block.
type Store interface {
	Friendships(ctx context.Context, users []int64) ([]model.Friendship, error)
	Friends(ctx context.Context, user int64) ([]model.Friend, error)
	AreFriends(ctx context.Context, a, b int64) (friends, hidden bool, err error)
	BlockersAmong(ctx context.Context, user int64, others []int64) ([]int64, error)
}

// Presence tracks which users are online on this node, and which friends they
// have been told are online. It is safe for concurrent use. Methods without an
// Off don't block.
type Presence struct {
	cfg *Config
	log *slog.Logger

	cluster  *cluster.Cluster
	bus      bus.Bus
	courier  *bus.Courier
	store    Store
	sessions *session.Sessions

	away    atomic.Bool  // the bus is unavailable
	certain atomic.Int64 // until then, other nodes may be unable to publish; nanoseconds since start
	start   time.Time

	users    [shards]userShard
	count    atomic.Int64 // users who are online on this node
	watchers [shards]watcherShard
	work     work
	recent   recent
	gone     goneQueue
}

// userShard has users who are online on this node.
type userShard struct {
	mu   sync.Mutex // locked before the mu of a watcherShard
	here map[int64]*stay
}

// stay is the state of a user who is online on this node.
type stay struct {
	leaving    *time.Timer // calls leave after Grace; nil while the user has a session
	left       int         // number of timers started, to recognize one that was stopped too late
	told       []int64     // sorted: the friends who the user has been told are online
	complete   bool        // told has been compared with all friends
	introduced bool        // introduce has read the friends, or is about to
	learning   bool        // introduce completes told, because no session has listed the friends
	// relations is the number of changes of friendships and blocks of the user
	// that were reported to this node.
	relations int
}

// New returns the Presence of a node. Call Start before the first login.
func New(cfg *Config, log *slog.Logger) *Presence {
	p := &Presence{cfg: cfg, log: log, start: time.Now()}
	for i := range shards {
		p.users[i].here = make(map[int64]*stay)
		p.watchers[i].friends = make(map[int64]*watch)
	}
	p.work.init()
	p.gone.init()
	p.recent.changes = make(map[bus.Relation]time.Time)
	return p
}

// Start sets the dependencies. p must be the listener of the cluster.
func (p *Presence) Start(c *cluster.Cluster, b bus.Bus, courier *bus.Courier, store Store, s *session.Sessions) {
	p.cluster, p.bus, p.courier, p.store, p.sessions = c, b, courier, store, s
}

func (p *Presence) shard(user int64) *userShard { return &p.users[uint64(user)%shards] }

// with calls f with the stay of a user, if they are online on this node. The
// user's shard is locked meanwhile.
func (p *Presence) with(user int64, f func(st *stay)) {
	sh := p.shard(user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if st := sh.here[user]; st != nil {
		f(st)
	}
}

// Up records that a user has a session on this node.
func (p *Presence) Up(user int64) {
	sh := p.shard(user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if st := sh.here[user]; st != nil {
		if st.leaving != nil {
			st.leaving.Stop()
			st.leaving = nil
		}
		return
	}
	sh.here[user] = &stay{}
	p.count.Add(1)
	p.bus.Subscribe(bus.User(user))
	p.cluster.Add(user)
}

// Down records that a user's last session on this node has ended.
func (p *Presence) Down(user int64) {
	p.with(user, func(st *stay) {
		if st.leaving != nil {
			return
		}
		st.left++
		left := st.left
		st.leaving = time.AfterFunc(p.cfg.Grace, func() { p.leave(user, st, left) })
	})
}

// Leaving reports whether a user counts as online on this node only because
// their last session here ended less than Grace ago.
func (p *Presence) Leaving(user int64) (leaving bool) {
	p.with(user, func(st *stay) { leaving = st.leaving != nil })
	return leaving
}

// leave ends a stay after its Grace, unless the user has logged in again.
func (p *Presence) leave(user int64, st *stay, left int) {
	sh := p.shard(user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.here[user] != st || st.leaving == nil || st.left != left {
		return
	}
	if len(p.sessions.Sessions(user)) > 0 { // a new session has called Up before the old one called Down
		st.leaving = nil
		return
	}
	delete(sh.here, user)
	p.count.Add(-1)
	for _, f := range st.told {
		p.unwatch(f, user)
	}
	p.bus.Unsubscribe(bus.User(user))
	p.cluster.Remove(user)
}

// stop stops all timers. The node's subscriptions end when the bus is closed.
func (p *Presence) stop() {
	for i := range p.users {
		sh := &p.users[i]
		sh.mu.Lock()
		for _, st := range sh.here {
			if st.leaving != nil {
				st.leaving.Stop()
			}
		}
		clear(sh.here)
		sh.mu.Unlock()
	}
}

// OnlineElsewhere handles the hint that a friend of a user on this node has come
// online.
func (p *Presence) OnlineElsewhere(user int64, news *bus.Presence) {
	// Nodes announce their users before they send this hint. So an unknown friend
	// has left already, or this node has missed something; then it finds the
	// friend in the next roster.
	p.with(user, func(st *stay) {
		if p.cluster.Online(news.User) {
			p.tell(st, user, news.User, true, nil)
		}
	})
}

// Befriended records that a user has added a friend, who hasn't blocked the user.
// Call it after the commit, and after the sessions of both were sent ADD_FRIEND. The
// session adding, which may be nil, gets the friend's state from Answer.
func (p *Presence) Befriended(user, friend int64, adding *session.Session) {
	r := &bus.Relation{A: user, B: friend, Friendship: true}
	p.recent.add(r)
	p.with(user, func(st *stay) {
		st.relations++
		p.tell(st, user, friend, p.cluster.Online(friend), adding)
		p.work.check(user, friend, false)
	})
	p.relationChanged(friend, r)
	p.hint(r)
}

// Unfriended records that two users are no longer friends. Call it after the
// commit.
func (p *Presence) Unfriended(a, b int64) { p.publish(&bus.Relation{A: a, B: b, Friendship: true}) }

// Check makes this node check what user may see of friend, after a change that another
// process has committed. friendship is set if the user's sessions were sent ADD_FRIEND or
// DEL_FRIEND just before, because no hint had come.
func (p *Presence) Check(user, friend int64, friendship bool) {
	p.relationChanged(user, &bus.Relation{A: user, B: friend, Friendship: friendship})
}

// BlockChanged records that a user has blocked or unblocked another. Call it
// after the commit.
func (p *Presence) BlockChanged(by, whom int64) { p.publish(&bus.Relation{A: by, B: whom}) }

// publish makes the nodes of both users check what they may see of each other.
func (p *Presence) publish(r *bus.Relation) {
	p.recent.add(r)
	p.relationChanged(r.A, r)
	p.relationChanged(r.B, r)
	p.hint(r)
}

// hint tells other nodes that the relation of two users has changed.
func (p *Presence) hint(r *bus.Relation) {
	for _, user := range []int64{r.A, r.B} {
		if !p.courier.Publish(bus.User(user), bus.Payload{Relation: r}) {
			p.recent.dropped.Store(true)
		}
	}
}

// RelationElsewhere handles the hint that the relation of a user on this node,
// who is A or B of r, and of another user has changed.
func (p *Presence) RelationElsewhere(user int64, r *bus.Relation) {
	friend := p.relationChanged(user, r)
	if !r.Echo && p.isHere(user) {
		// If the user has just logged in here, the friend's nodes may have got the
		// hint before they knew that. The echo comes after it.
		p.courier.Publish(bus.User(friend), bus.Payload{Relation: &bus.Relation{A: r.A, B: r.B, Echo: true}})
	}
}

// relationChanged makes this node check what a user, who is A or B of r, may see
// of the other one, which it returns.
func (p *Presence) relationChanged(user int64, r *bus.Relation) (friend int64) {
	friend = r.A
	if friend == user {
		friend = r.B
	}
	p.with(user, func(st *stay) {
		st.relations++
		// Clients forget what they know of a user who is added or deleted as a
		// friend.
		p.work.check(user, friend, r.Friendship && p.setTold(st, user, friend, false))
	})
	return friend
}

// Answer returns the state of a friend for an answer to session ss. visible says
// whether the user may see it, as far as the caller knows. Call it in the turn
// that sends the answer: then later notices about the friend come after it. The
// user's other sessions on this node are notified.
func (p *Presence) Answer(t Turn, ss *session.Session, friend int64, visible bool) string {
	online := visible && p.cluster.Online(friend)
	p.with(ss.User, func(st *stay) {
		online = st.wasTold(friend) || visible && p.cluster.Online(friend)
		p.tell(st, ss.User, friend, online, ss)
		p.work.check(ss.User, friend, false) // a block may have been committed, and handled, since visible was set
	})
	return State(online)
}

// Friends lists the friends of a session that is logging in, with their states.
// The session must have been added to the registry: then later notices come
// after its LOGIN_ACK. It blocks, and returns the store's errors.
func (p *Presence) Friends(t Off, ss *session.Session) ([]model.Friend, []string, error) {
	fs, online, err := p.compare(t, ss.User, ss)
	if err != nil {
		return nil, nil, err
	}
	states := make([]string, len(fs))
	for i := range fs {
		states[i] = State(online[i])
	}
	return fs, states, nil
}

// Learn makes this node find out who a user's friends are, for a session that is
// logging in without listing them. The user is told which of them are online.
func (p *Presence) Learn(user int64) {
	p.with(user, func(st *stay) {
		switch {
		case st.complete:
		case st.introduced:
			p.work.compare(user)
		default:
			st.learning = true
		}
	})
}

// compare tells a user's sessions on this node, except one, whatever has changed
// about their friends. It returns the friends, and which of them the user has
// been told are online. It blocks.
func (p *Presence) compare(t Off, user int64, except *session.Session) ([]model.Friend, []bool, error) {
	before := -1
	p.with(user, func(st *stay) { before = st.relations })
	fs, err := p.store.Friends(t, user)
	if err != nil {
		return nil, nil, err
	}
	online := make([]bool, len(fs))
	for i := range fs {
		online[i] = !fs[i].Hidden && p.cluster.Online(fs[i].ID)
	}
	p.with(user, func(st *stay) {
		var strangers []int64
		for _, f := range st.told {
			if _, ok := slices.BinarySearchFunc(fs, f, func(fr model.Friend, id int64) int { return cmp.Compare(fr.ID, id) }); !ok {
				strangers = append(strangers, f)
			}
		}
		for _, f := range strangers {
			p.setTold(st, user, f, false)
		}
		for i := range fs {
			f := &fs[i]
			// If the friend has just gone offline, the notice comes by itself.
			online[i] = !f.Hidden && (st.wasTold(f.ID) || p.cluster.Online(f.ID))
			p.tell(st, user, f.ID, online[i], except)
		}
		st.complete = true
		if st.relations != before { // fs may be older than the check that this change has caused
			p.work.compare(user)
		}
	})
	return fs, online, nil
}

// Await blocks until this node knows who is online on the other nodes, but not
// for long; see cluster.Cluster.Await.
func (p *Presence) Await(t Off) { p.cluster.Await(t) }

// Certain reports whether other nodes can publish to this one. They can't while
// Redis is unavailable, and perhaps for a while after, because they are still
// connecting.
func (p *Presence) Certain() bool {
	return !p.away.Load() && int64(time.Since(p.start)) >= p.certain.Load()
}

// BusAway reports whether the bus is unavailable.
func (p *Presence) BusAway() bool { return p.away.Load() }

// BusChanged handles a change of the bus. When it is available again, hints that
// were lost are made up for.
func (p *Presence) BusChanged(up bool) {
	p.away.Store(!up)
	if up {
		p.certain.Store(int64(time.Since(p.start) + afterReturn))
		p.work.recover()
	}
}

// CheckFriends makes this node tell a user whatever the user has missed about
// friends, once all subscriptions are active. It doesn't block.
func (p *Presence) CheckFriends(user int64) { p.work.compare(user) }

// Online reports which users are online on any node.
func (p *Presence) Online(ids []int64) []bool {
	on := make([]bool, len(ids))
	for i, id := range ids {
		on[i] = p.cluster.Online(id)
	}
	return on
}

// NodesElsewhere returns the names of the other nodes on which a user is online.
func (p *Presence) NodesElsewhere(user int64) []string { return p.cluster.NodesElsewhere(user) }

// States returns each user's state as asker may see it: users who have blocked
// asker appear offline. It blocks, and returns the store's errors.
func (p *Presence) States(t Off, asker int64, ids []int64) ([]string, error) {
	blockers, err := p.store.BlockersAmong(t, asker, ids)
	if err != nil {
		return nil, err
	}
	hidden := make(map[int64]bool, len(blockers))
	for _, id := range blockers {
		hidden[id] = true
	}
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = State(p.cluster.Online(id) && !hidden[id])
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
