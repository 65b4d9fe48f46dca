package delivery

import (
	"slices"
	"time"

	"chatd/model"
	"chatd/service/bus"
	"chatd/service/session"
)

// TopicsOnLoop are the sessions of one event loop and the topics they take part
// in. The loop owns them: no locks, and a Turn for every method.
type TopicsOnLoop struct {
	d      *Delivery
	index  int
	users  map[int64]*userOnLoop
	topics map[int64]*topicOnLoop // by conversation
	pairs  map[pair]*topicOnLoop
	// pairsOf has a user's pairs even where the user has no session here: a pair's
	// topic may be older than the session.
	pairsOf map[int64]map[*topicOnLoop]struct{}

	blocks blocksOnLoop
	events [][]groupEvent // of this turn, for each other loop
	dirty  []progress     // cursors whose progress has to be stored
	buf    []byte
}

func newTopics(d *Delivery, index, loops int) *TopicsOnLoop {
	return &TopicsOnLoop{d: d, index: index, users: make(map[int64]*userOnLoop), topics: make(map[int64]*topicOnLoop),
		pairs: make(map[pair]*topicOnLoop), pairsOf: make(map[int64]map[*topicOnLoop]struct{}),
		blocks: blocksOnLoop{known: make(map[block]bool)}, events: make([][]groupEvent, loops)}
}

// userOnLoop is a user with sessions on a loop.
type userOnLoop struct {
	sessions []*session.Session
	topics   map[*topicOnLoop]struct{} // with a cursor of one of the sessions
}

func (u *userOnLoop) in(t Turn, tp *topicOnLoop) bool {
	_, ok := u.topics[tp]
	return ok
}

// pair is two users, the lower id first.
type pair struct{ lo, hi int64 }

func pairOf(a, b int64) pair { return pair{min(a, b), max(a, b)} }

// topicOnLoop is a conversation with something going on, or a group with a
// member online: its sessions on this loop, and how far each has been sent.
type topicOnLoop struct {
	conv  int64
	group int64 // 0: a pair
	pair  pair
	last  int64 // the highest seq heard of
	used  time.Time

	version     int64     // of the membership that cursors follow
	wantVersion int64     // the highest version heard of: cursors must not follow an older one
	announced   announced // versions whose change was told to the members

	cursors []cursorOnLoop
	next    int // whose page is read next

	early      []*update // came before their turn, by rising seq
	earlyRound int       // how often early began to fill: an old timer knows by it

	reading   bool // a page of the log is being read
	reloading bool // the members are being read
	dropped   bool // no longer in the loop's lists
}

// cursorOnLoop is a session's cursor in a topic. Nothing beyond sent has been
// written to the connection, and nothing up to it is missing there.
type cursorOnLoop struct {
	session *session.Session
	sent    int64
	joined  int64   // the user joined at this seq: nothing up to it is for the session
	backlog bool    // there is more in the log: live messages wait for it
	acked   []int64 // seqs beyond sent that this session has by their ACK
	read    int64   // the highest read receipt

	// Without receipts a message has arrived once the kernel has its bytes.
	arrived   int64  // arrived for certain
	arrivesAt uint64 // bytes that the connection must have taken for sent to have arrived
	saved     int64  // stored, or receipted
	dirty     bool   // in the loop's list of cursors to store
}

// unknown stands for a cursor that has to be read from the store.
const unknown = -1

func (tp *topicOnLoop) cursor(t Turn, ss *session.Session) *cursorOnLoop {
	for i := range tp.cursors {
		if tp.cursors[i].session == ss {
			return &tp.cursors[i]
		}
	}
	return nil
}

// catchUpAll marks every cursor as having a backlog.
func (tp *topicOnLoop) catchUpAll(t Turn) {
	for i := range tp.cursors {
		tp.cursors[i].backlog = true
	}
}

// newGroup makes a topic for a group. From here on its messages come.
func (l *TopicsOnLoop) newGroup(t Turn, group, version, last int64) *topicOnLoop {
	tp := &topicOnLoop{conv: group, group: group, version: version, announced: announced{newest: version}, last: last}
	l.topics[group] = tp
	l.d.sessions.Watch(group, l.index, true)
	l.d.bus.Subscribe(bus.Group(group))
	return tp
}

// newPair makes a topic for two users, with all their sessions on this loop. It
// returns nil if there are none.
func (l *TopicsOnLoop) newPair(t Turn, conv int64, p pair, last int64) *topicOnLoop {
	if l.users[p.lo] == nil && l.users[p.hi] == nil {
		return nil
	}
	tp := &topicOnLoop{conv: conv, pair: p, last: last}
	l.topics[conv], l.pairs[p] = tp, tp
	for _, id := range [2]int64{p.lo, p.hi} {
		if l.pairsOf[id] == nil {
			l.pairsOf[id] = make(map[*topicOnLoop]struct{})
		}
		l.pairsOf[id][tp] = struct{}{}
		l.add(t, tp, id, unknown)
	}
	return tp
}

// add gives all sessions of a user on this loop a cursor in a topic, at sent.
func (l *TopicsOnLoop) add(t Turn, tp *topicOnLoop, id, sent int64) {
	u := l.users[id]
	if u == nil {
		return
	}
	if u.topics == nil {
		u.topics = make(map[*topicOnLoop]struct{})
	}
	u.topics[tp] = struct{}{}
	for _, ss := range u.sessions {
		if tp.cursor(t, ss) == nil {
			tp.cursors = append(tp.cursors, cursorOnLoop{session: ss, sent: sent, arrived: max(sent, 0), saved: max(sent, 0)})
		}
	}
}

// remove takes a user's cursors out of a topic.
func (l *TopicsOnLoop) remove(t Turn, tp *topicOnLoop, id int64) {
	if u := l.users[id]; u != nil {
		delete(u.topics, tp)
	}
	tp.cursors = slices.DeleteFunc(tp.cursors, func(cu cursorOnLoop) bool { return cu.session.User == id })
	if len(tp.cursors) == 0 {
		l.drop(t, tp)
	}
}

// drop takes a topic out of the loop's lists.
func (l *TopicsOnLoop) drop(t Turn, tp *topicOnLoop) {
	if tp.dropped {
		return
	}
	tp.dropped = true
	delete(l.topics, tp.conv)
	for i := range tp.cursors {
		if u := l.users[tp.cursors[i].session.User]; u != nil {
			delete(u.topics, tp)
		}
	}
	tp.cursors, tp.early = nil, nil
	if tp.group == 0 {
		delete(l.pairs, tp.pair)
		for _, id := range [2]int64{tp.pair.lo, tp.pair.hi} {
			if delete(l.pairsOf[id], tp); len(l.pairsOf[id]) == 0 {
				delete(l.pairsOf, id)
			}
		}
	} else {
		l.d.sessions.Watch(tp.group, l.index, false)
		l.d.bus.Unsubscribe(bus.Group(tp.group))
	}
}

// topicOf is the topic of a group, or of two users; nil if there is none.
func (l *TopicsOnLoop) topicOf(t Turn, user, group, peer int64) *topicOnLoop {
	if group != 0 {
		if tp := l.topics[group]; tp != nil && tp.group != 0 {
			return tp
		}
		return nil
	}
	return l.pairs[pairOf(user, peer)]
}

// Begin puts a new session into the loop's lists. From here on what is new for
// its user is noted for it, and pushed once it is live. memberships need only name
// the user's groups.
func (l *TopicsOnLoop) Begin(t Turn, ss *session.Session, memberships []model.Membership) {
	u := l.users[ss.User]
	if u == nil {
		u = &userOnLoop{}
		l.users[ss.User] = u
		l.d.bus.Subscribe(bus.User(ss.User))
	}
	u.sessions = append(u.sessions, ss)
	for tp := range u.topics {
		l.add(t, tp, ss.User, unknown)
	}
	for tp := range l.pairsOf[ss.User] {
		l.add(t, tp, ss.User, unknown)
	}
	for i := range memberships {
		if p := &memberships[i]; p.Group != 0 {
			tp := l.topics[p.Conv]
			if tp == nil {
				tp = l.newGroup(t, p.Group, p.Version, p.Last)
			}
			l.add(t, tp, ss.User, unknown)
		}
	}
	ss.Attach(t)
}

// End takes a session out of all lists and stores how far it came. A session
// that has ended already stays so.
func (l *TopicsOnLoop) End(t Turn, ss *session.Session) {
	if !ss.Detach(t) {
		return
	}
	u := l.users[ss.User]
	u.sessions = slices.DeleteFunc(u.sessions, func(o *session.Session) bool { return o == ss })
	for tp := range u.topics {
		tp.cursors = slices.DeleteFunc(tp.cursors, func(cu cursorOnLoop) bool {
			if cu.session == ss {
				l.save(t, &cu, tp.conv)
			}
			return cu.session == ss
		})
		if len(u.sessions) == 0 {
			delete(u.topics, tp)
		}
		if len(tp.cursors) == 0 {
			l.drop(t, tp)
		}
	}
	if len(u.sessions) == 0 {
		delete(l.users, ss.User)
		l.d.bus.Unsubscribe(bus.User(ss.User))
	}
	l.d.sessions.Remove(ss)
	if len(l.d.sessions.Sessions(ss.User)) == 0 { // even if another was the last: it may have reported that before this one
		l.d.presence.Down(ss.User)
		l.d.limits.Keep(ss.User, ss.Rate, t.Now())
	}
	l.d.store.FlushSoon(ss.User)
}
