package service

import (
	"cmp"
	"slices"
	"time"

	"chatd/service/bus"
)

// loop is what the service keeps for one event loop. All of it belongs to
// that loop: no locks, and a Turn for whoever touches a connection.
type loop struct {
	s      *Service
	index  int
	users  map[int64]*user
	topics map[int64]*topic // by conversation
	pairs  map[way]*topic   // of two users, the lower id first
	// pairsOf has a user's pairs, whether or not the user has a session here:
	// a pair's topic may be older than the session.
	pairsOf map[int64]map[*topic]struct{}

	blocks   map[way]bool // a cache: has the addressee blocked the sender?
	blockGen int          // raised when something is taken out of it

	sends  []*sending  // this turn's chat messages, for the log
	events [][]relayed // this turn's group events, for each other loop
	dirty  []told      // subs whose progress has to be written down
	buf    []byte
}

func newLoop(s *Service, i int) *loop {
	return &loop{s: s, index: i, users: make(map[int64]*user), topics: make(map[int64]*topic),
		pairs: make(map[way]*topic), pairsOf: make(map[int64]map[*topic]struct{}), blocks: make(map[way]bool), events: make([][]relayed, len(s.loops))}
}

// topic is a conversation with something going on, or a group with a member
// online: its sessions on this loop, and how far each has been sent.
type topic struct {
	conv    int64
	group   int64  // 0: a pair
	lo, hi  int64  // of a pair
	version int64  // of the membership that subs go by
	heard   int64  // the highest version heard of: subs must not go by an older one
	newest  int64  // the highest version whose change was told
	untold  uint64 // bit i: the change to newest-i wasn't told yet
	last    int64  // the highest seq heard of
	subs    []sub

	waiting   []*delivery // came before their turn, by rising seq
	waits     int         // how often the waiting began: a timer of an earlier one knows
	reading   bool        // a page of the log is on its way
	reloading bool        // the members are being read again
	dropped   bool        // no longer in the loop's lists
	turn      int         // whose page is read next
	used      time.Time   // of the last message
}

// sub is a session's cursor in a topic. Nothing beyond sent has been written
// to the connection, and nothing up to it is missing there.
type sub struct {
	session *Session
	sent    int64
	floor   int64   // nothing up to it is for this session: its user joined there
	behind  bool    // there is more in the log: live messages wait for the backlog
	own     []int64 // acknowledged to this session beyond sent
	read    int64   // the highest read receipt

	// Without receipts a message has arrived when the kernel has its bytes.
	taken int64  // arrived for certain
	pos   uint64 // what the connection must have taken for sent to have arrived
	told  int64  // written down, or receipted
	dirty bool   // in the loop's list of those to be written down
}

// unknown stands for a cursor that has to be read from the store.
const unknown = -1

func (tp *topic) sub(ss *Session) *sub {
	for i := range tp.subs {
		if tp.subs[i].session == ss {
			return &tp.subs[i]
		}
	}
	return nil
}

// newGroup makes a topic for a group; from here on its messages come.
func (l *loop) newGroup(group, version, last int64) *topic {
	tp := &topic{conv: group, group: group, version: version, newest: version, last: last}
	l.topics[group] = tp
	l.s.registry.watch(group, l.index, true)
	l.s.bus.Subscribe(bus.Group(group))
	return tp
}

// newPair makes a topic for two users, with all their sessions on this loop;
// nil if there are none.
func (l *loop) newPair(conv, lo, hi, last int64) *topic {
	if l.users[lo] == nil && l.users[hi] == nil {
		return nil
	}
	tp := &topic{conv: conv, lo: lo, hi: hi, last: last}
	l.topics[conv], l.pairs[way{lo, hi}] = tp, tp
	for _, id := range [2]int64{lo, hi} {
		if l.pairsOf[id] == nil {
			l.pairsOf[id] = make(map[*topic]struct{})
		}
		l.pairsOf[id][tp] = struct{}{}
		l.add(tp, id, unknown)
	}
	return tp
}

// add lets all sessions of a user on this loop take part from sent on.
func (l *loop) add(tp *topic, id, sent int64) {
	u := l.users[id]
	if u == nil {
		return
	}
	if u.topics == nil {
		u.topics = make(map[*topic]struct{})
	}
	u.topics[tp] = struct{}{}
	for _, ss := range u.sessions {
		if tp.sub(ss) == nil {
			tp.subs = append(tp.subs, sub{session: ss, sent: sent, taken: max(sent, 0), told: max(sent, 0)})
		}
	}
}

// remove ends the part of a user in a topic.
func (l *loop) remove(tp *topic, id int64) {
	if u := l.users[id]; u != nil {
		delete(u.topics, tp)
	}
	tp.subs = slices.DeleteFunc(tp.subs, func(sb sub) bool { return sb.session.user == id })
	if len(tp.subs) == 0 {
		l.drop(tp)
	}
}

// drop takes a topic out of the loop's lists.
func (l *loop) drop(tp *topic) {
	if tp.dropped {
		return
	}
	tp.dropped = true
	delete(l.topics, tp.conv)
	for i := range tp.subs {
		if u := l.users[tp.subs[i].session.user]; u != nil {
			delete(u.topics, tp)
		}
	}
	tp.subs, tp.waiting = nil, nil
	if tp.group == 0 {
		delete(l.pairs, way{tp.lo, tp.hi})
		for _, id := range [2]int64{tp.lo, tp.hi} {
			if delete(l.pairsOf[id], tp); len(l.pairsOf[id]) == 0 {
				delete(l.pairsOf, id)
			}
		}
	} else {
		l.s.registry.watch(tp.group, l.index, false)
		l.s.bus.Unsubscribe(bus.Group(tp.group))
	}
}

// delivery is a committed message on its way to the sessions of a loop, or,
// without a body, the word that a conversation has grown up to seq.
type delivery struct {
	conv, group, lo, hi, version, seq int64
	body                              []byte
	from                              *sending // nil: it came from elsewhere
}

// deliver brings a message to all who are in its conversation and up to date,
// and starts reading the log for those who are not.
func (l *loop) deliver(t Turn, d *delivery) {
	tp := l.topics[d.conv]
	if tp == nil {
		if d.group != 0 {
			return
		}
		if tp = l.newPair(d.conv, d.lo, d.hi, d.seq); tp == nil {
			return
		}
	}
	if d.body != nil && d.seq > tp.last+1 && l.early(tp, d) {
		return
	}
	if d.from != nil && d.body == nil { // a repeat: its sender is told in a moment that it has it
		if sb := tp.sub(d.from.session); sb != nil && sb.sent < d.from.Seq {
			sb.noteOwn(d.from.Seq)
		}
	}
	l.pass(t, tp, d)
	for len(tp.waiting) > 0 && tp.waiting[0].seq <= tp.last+1 {
		l.pass(t, tp, tp.takeEarly())
	}
}

// early keeps a message that came before one with a lower seq, which happens
// all the time where several nodes store messages of one conversation: the
// other one is on its way. It is kept for earlyWait; then the log is read.
func (l *loop) early(tp *topic, d *delivery) bool {
	if len(tp.waiting) >= maxEarly {
		return false
	}
	i, found := slices.BinarySearchFunc(tp.waiting, d.seq, func(w *delivery, seq int64) int { return cmp.Compare(w.seq, seq) })
	if found {
		return true
	}
	tp.waiting = slices.Insert(tp.waiting, i, d)
	if d.from != nil { // its ACK doesn't wait, nor does a page of the log that has it
		if sb := tp.sub(d.from.session); sb != nil {
			sb.noteOwn(d.seq)
		}
	}
	if len(tp.waiting) == 1 {
		tp.waits++
		waits := tp.waits
		time.AfterFunc(earlyWait, func() {
			_ = l.s.r.Post(l.index, func(t Turn) { // stopped: nobody is left to tell
				if tp.waits == waits {
					l.late(t, tp)
				}
			})
		})
	}
	return true
}

// late ends the waiting for a message that hasn't come.
func (l *loop) late(t Turn, tp *topic) {
	for len(tp.waiting) > 0 {
		l.pass(t, tp, tp.takeEarly())
	}
}

func (tp *topic) takeEarly() *delivery {
	d := tp.waiting[0]
	if tp.waiting = tp.waiting[1:]; len(tp.waiting) == 0 {
		tp.waiting = nil
	}
	return d
}

// pass brings a message, in its turn or too late for that, to the sessions.
func (l *loop) pass(t Turn, tp *topic, d *delivery) {
	if tp.dropped {
		return
	}
	if tp.group != 0 && d.version > tp.version {
		l.reload(t, tp, d.version)
	}
	tp.last, tp.used = max(tp.last, d.seq), t.Now()
	behind := false
	for i := range tp.subs {
		sb := &tp.subs[i]
		if sb.sent == unknown && d.seq == 1 && d.body != nil { // just said: nobody has it
			sb.sent = 0
		}
		if sb.sent >= d.seq {
			continue
		}
		// A repeat has no body: its seq is that of the last message, anyone's.
		own := d.from != nil && d.from.session == sb.session && d.body != nil
		next := sb.sent == d.seq-1 && d.body != nil && !sb.behind && !tp.reloading && sb.session.live.Load()
		switch {
		case next && own:
			l.sent(t, tp, sb, d.seq)
		case next:
			sb.session.client.conn.Write(t, d.body)
			l.s.m.pushes.Inc()
			l.sent(t, tp, sb, d.seq)
		default:
			if own {
				sb.noteOwn(d.seq)
			}
			sb.behind, behind = true, true
		}
	}
	if behind {
		l.catchUp(t, tp)
	}
}

// sent notes that a session has all up to seq, and its connection the bytes.
func (l *loop) sent(t Turn, tp *topic, sb *sub, seq int64) {
	ss := sb.session
	if ss.ack {
		sb.sent = seq
		return
	}
	conn := ss.client.conn
	if conn.Taken(t) >= sb.pos {
		sb.taken = max(sb.taken, sb.sent)
	}
	sb.sent, sb.pos = seq, conn.Queued(t)
	if !sb.dirty {
		sb.dirty = true
		l.dirty = append(l.dirty, told{tp, ss})
	}
}

// told names a sub whose progress has to be written down. (Not a pointer to
// it: subs move.)
type told struct {
	topic   *topic
	session *Session
}

// tell writes down how far a session without receipts has come.
func (sb *sub) tell(t Turn, store Store, conv int64) {
	ss := sb.session
	if ss.ack {
		return
	}
	if sb.sent != unknown && ss.client.conn.Taken(t) >= sb.pos {
		sb.taken = max(sb.taken, sb.sent)
	}
	if sb.taken > sb.told {
		sb.told = sb.taken
		store.Deliver(ss.user, ss.device, conv, sb.told)
	}
}

// settle writes down, from time to time, how far sessions without receipts
// have come, and forgets pairs in which nothing happens any more.
func (s *Service) settle(t Off) {
	s.every(t, settleEvery, func(Off) {
		for i, l := range s.loops {
			_ = s.r.Post(i, l.settle) // stopped: sessions tell as they end
		}
	})
}

func (l *loop) settle(t Turn) {
	again := l.dirty[:0]
	for _, d := range l.dirty {
		sb := d.topic.sub(d.session)
		if sb == nil {
			continue
		}
		sb.tell(t, l.s.store, d.topic.conv)
		if sb.dirty = sb.told < sb.sent; sb.dirty {
			again = append(again, d)
		}
	}
	clear(l.dirty[len(again):])
	l.dirty = again
	clear(l.blocks) // another node's word of a change may have been lost
	l.blockGen++
	for _, tp := range l.topics {
		if tp.group == 0 && t.Now().Sub(tp.used) > quietAfter && tp.quiet() {
			l.drop(tp)
		}
	}
}

// quiet reports whether nothing would be lost with the topic: what a session
// has and hasn't receipted it would be pushed again.
func (tp *topic) quiet() bool {
	if tp.reading {
		return false
	}
	for i := range tp.subs {
		if sb := &tp.subs[i]; sb.behind || sb.sent > sb.told || !sb.session.live.Load() {
			return false
		}
	}
	return true
}
