package delivery

import (
	"chatd/service/session"
)

// progress names a cursor whose progress has to be stored. (Not a pointer to
// it: cursors move.)
type progress struct {
	topic   *topicOnLoop
	session *session.Session
}

// advance notes that everything up to seq is written to a session's connection.
func (l *TopicsOnLoop) advance(t Turn, tp *topicOnLoop, cu *cursorOnLoop, seq int64) {
	ss := cu.session
	if ss.Receipts {
		cu.sent = seq
		return
	}
	conn := ss.Conn(t)
	if conn.BytesSent(t) >= cu.arrivesAt {
		cu.arrived = max(cu.arrived, cu.sent)
	}
	cu.sent, cu.arrivesAt = seq, conn.BytesQueued(t)
	if !cu.dirty {
		cu.dirty = true
		l.dirty = append(l.dirty, progress{tp, ss})
	}
}

// save stores how far a session without receipts has come.
func (l *TopicsOnLoop) save(t Turn, cu *cursorOnLoop, conv int64) {
	ss := cu.session
	if ss.Receipts {
		return
	}
	if cu.sent != unknown && ss.Conn(t).BytesSent(t) >= cu.arrivesAt {
		cu.arrived = max(cu.arrived, cu.sent)
	}
	if cu.arrived > cu.saved {
		cu.saved = cu.arrived
		l.d.store.SetDelivered(ss.User, ss.Device, conv, cu.saved)
	}
}

// saveProgress is SaveProgress for one loop.
func (l *TopicsOnLoop) saveProgress(t Turn) {
	again := l.dirty[:0]
	for _, p := range l.dirty {
		cu := p.topic.cursor(t, p.session)
		if cu == nil {
			continue
		}
		l.save(t, cu, p.topic.conv)
		if cu.dirty = cu.saved < cu.sent; cu.dirty {
			again = append(again, p)
		}
	}
	clear(l.dirty[len(again):])
	l.dirty = again
	l.blocks.forgetAll(t) // another node's word of a change may have been lost
	for _, tp := range l.topics {
		if tp.group == 0 && t.Now().Sub(tp.used) > quietAfter && tp.quiet(t) {
			l.drop(t, tp)
		}
	}
}

// quiet reports whether the topic can be dropped without loss: what a session
// has and hasn't receipted would be pushed again.
func (tp *topicOnLoop) quiet(t Turn) bool {
	if tp.reading {
		return false
	}
	for i := range tp.cursors {
		if cu := &tp.cursors[i]; cu.backlog || cu.sent > cu.saved || !cu.session.Live() {
			return false
		}
	}
	return true
}

// Receipt notes that a session's device has everything of a conversation up to
// seq. It reports false if the conversation has no topic here with the session's
// user. With read it also notes the read mark: conv and upTo are set if that has
// moved.
func (l *TopicsOnLoop) Receipt(t Turn, ss *session.Session, group, peer, seq int64, read bool) (conv, upTo int64, ok bool) {
	tp := l.topicOf(t, ss.User, group, peer)
	if tp == nil || !l.users[ss.User].in(t, tp) {
		return 0, 0, false
	}
	seq = min(seq, tp.last)
	cu := tp.cursor(t, ss)
	l.d.store.SetDelivered(ss.User, ss.Device, tp.conv, seq)
	cu.saved = max(cu.saved, seq)
	if read && seq > cu.read {
		cu.read = seq
		return tp.conv, seq, true
	}
	return 0, 0, true
}
