package delivery

import (
	"slices"
	"time"

	"chatd/model"
	"chatd/service/bus"
	"chatd/service/session"
)

// TopicsOnLoop holds the sessions of one event loop and their topics. Only that
// loop uses it.
type TopicsOnLoop struct {
	d      *Delivery
	index  int
	users  map[int64]*userOnLoop
	topics map[int64]*topicOnLoop // by conversation
	pairs  map[pair]*topicOnLoop
	// pairsOf has the pairs of each user, even of users without a session on
	// this loop: when they log in, their session gets a cursor in these topics.
	pairsOf map[int64]map[*topicOnLoop]struct{}

	readers map[*session.Session]*readerOnLoop // of sessions for which something is read
	due     []*readerOnLoop                    // that may start a read when the turn ends

	blocks blocksOnLoop
	events [][]groupEvent // of this turn, for each other loop
	dirty  []progress     // cursors that have to be stored
	buf    []byte
}

func newTopics(d *Delivery, index, loops int) *TopicsOnLoop {
	return &TopicsOnLoop{d: d, index: index, users: make(map[int64]*userOnLoop), topics: make(map[int64]*topicOnLoop),
		pairs: make(map[pair]*topicOnLoop), pairsOf: make(map[int64]map[*topicOnLoop]struct{}),
		readers: make(map[*session.Session]*readerOnLoop),
		blocks:  blocksOnLoop{known: make(map[block]bool)}, events: make([][]groupEvent, loops)}
}

// userOnLoop is a user with sessions on a loop.
type userOnLoop struct {
	sessions []*session.Session
	topics   map[*topicOnLoop]struct{} // in which the sessions have cursors
	heard    map[int64]int64           // by group without a topic, see hear
}

func (u *userOnLoop) in(t Turn, tp *topicOnLoop) bool {
	_, ok := u.topics[tp]
	return ok
}

// pair is the two users of a conversation.
type pair struct{ lo, hi int64 }

func pairOf(a, b int64) pair { return pair{min(a, b), max(a, b)} }

// topicOnLoop is a conversation with sessions on this loop, and the cursors of
// these sessions. A group has one as long as a member is on this loop. That of a
// pair is dropped when the pair has been quiet for quietAfter.
type topicOnLoop struct {
	conv  int64
	group int64 // 0: a pair
	pair  pair
	last  int64 // the highest seq that this loop has heard of
	used  time.Time

	version     int64     // of the membership that the cursors represent
	wantVersion int64     // the highest version heard of; older ones must not be loaded
	announced   announced // versions that the members have been notified of

	cursors []cursorOnLoop
	next    int // index of the cursor whose turn it is to read the log

	early      []*update // held back by keepEarly, by rising seq
	earlyRound int       // incremented when early starts to fill, to recognize an old timer

	reading   bool // a page of the log is being read, or will be: the topic is in the queue of a reader, or set aside
	failures  int  // how often in a row it was set aside after it was read alone
	reloading bool // the members are being read
	dropped   bool // removed from TopicsOnLoop
}

// cursorOnLoop is a session's cursor in a topic: the client has been sent all
// messages up to sent, and none after it.
type cursorOnLoop struct {
	session *session.Session
	sent    int64
	joined  int64   // the user joined after this seq, and must not get messages up to it
	backlog bool    // messages after sent are read from the log; new ones aren't pushed directly
	acked   []int64 // seqs after sent that the client has by their ACKs; see noteAcked
	read    int64   // up to where the user has read, as far as the loop knows
	readAt  int64   // when the loop has got that from the store; Unix time, 0: never
	claimed int64   // the highest receipt for a message after sent; see TopicsOnLoop.Receipt

	// Without receipts, a message counts as delivered once the kernel has
	// accepted its bytes.
	arrived   int64  // delivered for certain
	arrivesAt uint64 // sent is delivered once the connection has sent this many bytes in total
	saved     int64  // the delivered cursor in the store
	dirty     bool   // in TopicsOnLoop.dirty
}

// unknown is the value of a cursor that has to be read from the store.
const unknown = -1

func (tp *topicOnLoop) cursor(t Turn, ss *session.Session) *cursorOnLoop {
	for i := range tp.cursors {
		if tp.cursors[i].session == ss {
			return &tp.cursors[i]
		}
	}
	return nil
}

// ready reports whether a session may get messages and events of this topic. It
// may not before its LOGIN_ACK, and before its ADD_GROUP_ACK for the group.
func (tp *topicOnLoop) ready(t Turn, ss *session.Session) bool {
	return ss.Live() && ss.Joining(t) != tp.conv
}

// catchUpAll marks all cursors as having a backlog.
func (tp *topicOnLoop) catchUpAll(t Turn) {
	for i := range tp.cursors {
		tp.cursors[i].backlog = true
	}
}

// newGroup adds a topic for a group. From then on the loop gets its messages.
func (l *TopicsOnLoop) newGroup(t Turn, group, version, last int64) *topicOnLoop {
	tp := &topicOnLoop{conv: group, group: group, version: version, announced: announced{newest: version}, last: last}
	l.topics[group] = tp
	l.d.sessions.Watch(group, l.index, true)
	l.d.bus.Subscribe(bus.Group(group))
	return tp
}

// newPair adds a topic for two users, with all their sessions on this loop. It
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

// add adds cursors for all sessions of a user on this loop to a topic. sent is
// their initial value.
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

// remove removes a user's cursors from a topic.
func (l *TopicsOnLoop) remove(t Turn, tp *topicOnLoop, id int64) {
	if u := l.users[id]; u != nil {
		delete(u.topics, tp)
	}
	tp.cursors = slices.DeleteFunc(tp.cursors, func(cu cursorOnLoop) bool { return cu.session.User == id })
	if len(tp.cursors) == 0 {
		l.drop(t, tp)
	}
}

// drop removes a topic from the loop.
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

// topicOf returns the topic of a group or, if group is 0, of two users. It
// returns nil if there is none.
func (l *TopicsOnLoop) topicOf(t Turn, user, group, peer int64) *topicOnLoop {
	if group != 0 {
		if tp := l.topics[group]; tp != nil && tp.group != 0 {
			return tp
		}
		return nil
	}
	return l.pairs[pairOf(user, peer)]
}

// Begin adds a new session to the loop, and to the topics that the loop has of its
// user. From then on new messages are recorded for the session; they are pushed once it
// is live. If the user is in groups, call Follow before Arrive.
func (l *TopicsOnLoop) Begin(t Turn, ss *session.Session) {
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
	ss.Attach(t)
}

// Follow adds a session to the topics of its user's groups. memberships must have been
// read after Begin. It returns the groups that may have changed since without the topic
// hearing of it: if one has, Arrive needs memberships that are read after Follow.
func (l *TopicsOnLoop) Follow(t Turn, ss *session.Session, memberships []model.Membership) (check []int64) {
	for i := range memberships {
		p := &memberships[i]
		if p.Group == 0 {
			continue
		}
		tp := l.topics[p.Conv]
		if tp == nil {
			tp = l.newGroup(t, p.Group, p.Version, p.Last)
			check = append(check, p.Conv)
		} else if tp.version != p.Version || tp.reloading {
			check = append(check, p.Conv)
		}
		l.add(t, tp, ss.User, unknown)
	}
	return check
}

// End removes a session from the loop and stores its delivered cursors. It does
// nothing if the session has ended already. If a step causes a panic, the others are
// still done: nobody would do them later.
func (l *TopicsOnLoop) End(t Turn, ss *session.Session) {
	if !ss.Detach(t) {
		return
	}
	u := l.users[ss.User]
	defer l.d.store.FlushSoon(ss.User)
	defer l.unregister(t, ss, u)
	defer l.endReader(t, ss)
	defer l.leaveTopics(t, ss, u)
	for tp := range u.topics {
		if cu := tp.cursor(t, ss); cu != nil {
			l.save(t, cu, tp.conv)
		}
	}
}

// leaveTopics removes a session's cursors.
func (l *TopicsOnLoop) leaveTopics(t Turn, ss *session.Session, u *userOnLoop) {
	u.sessions = slices.DeleteFunc(u.sessions, func(o *session.Session) bool { return o == ss })
	for tp := range u.topics {
		tp.cursors = slices.DeleteFunc(tp.cursors, func(cu cursorOnLoop) bool { return cu.session == ss })
		if len(u.sessions) == 0 {
			delete(u.topics, tp)
		}
		if len(tp.cursors) == 0 {
			l.drop(t, tp)
		}
	}
}

// unregister makes a session that has ended unknown to the rest of the node. u is its
// user.
func (l *TopicsOnLoop) unregister(t Turn, ss *session.Session, u *userOnLoop) {
	if len(u.sessions) == 0 {
		delete(l.users, ss.User)
		l.d.bus.Unsubscribe(bus.User(ss.User))
	}
	l.d.sessions.Remove(ss)
	if len(l.d.sessions.Sessions(ss.User)) == 0 { // two sessions that end at the same time may both see this
		l.d.presence.Down(ss.User)
		l.d.limits.Keep(ss.User, ss.Rate, t.Now())
	}
}
