package delivery

import (
	"time"

	"chatd/service/session"
)

// progress identifies a cursor that has to be stored. It isn't a pointer to the
// cursor, because cursors move in their slice.
type progress struct {
	topic   *topicOnLoop
	session *session.Session
}

// advance records that all messages up to seq have been written to the session's
// connection.
func (l *TopicsOnLoop) advance(t Turn, tp *topicOnLoop, cu *cursorOnLoop, seq int64) {
	ss := cu.session
	if ss.Receipts {
		cu.sent = seq
		if delivered := min(seq, cu.claimed); delivered > cu.saved {
			cu.saved = delivered
			l.d.store.SetDelivered(ss.User, ss.Device, tp.conv, delivered)
		}
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

// save stores the delivered cursor of a session without receipts, if it has
// moved. The store writes it later.
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
	if time.Since(l.d.start) > time.Duration(l.d.followed.Load())+SaveEvery {
		l.blocks.forgetAll(t) // a change on another node may have been missed
	}
	l.dropQuiet(t)
}

// maxDrops is how many topics are dropped in one turn. After a backlog over many
// pairs there may be thousands, and to drop all at once would delay the loop.
const maxDrops = 512

// dropQuiet drops the topics of quiet pairs.
func (l *TopicsOnLoop) dropQuiet(t Turn) {
	dropped := 0
	for _, tp := range l.topics {
		if tp.group != 0 || t.Now().Sub(tp.used) <= quietAfter || !l.quiet(t, tp) {
			continue
		}
		if dropped == maxDrops {
			t.After(retryBusy, l.dropQuiet)
			return
		}
		dropped++
		l.drop(t, tp)
	}
}

// quiet reports whether a topic can be dropped. While a cursor isn't stored, it
// can't: the session would get the messages after the stored cursor again. It can't
// either while a reader has missed pairs, which may include this one: beginMissed
// would use the cursor from the login.
func (l *TopicsOnLoop) quiet(t Turn, tp *topicOnLoop) bool {
	if tp.reading {
		return false
	}
	for i := range tp.cursors {
		cu := &tp.cursors[i]
		if cu.backlog || cu.sent > cu.saved || !cu.session.Live() {
			return false
		}
		if rd := l.readers[cu.session]; rd != nil && len(rd.missed) > 0 {
			return false
		}
	}
	return true
}

// Receipt stores the session's delivered cursor in a conversation. If read is
// set and the user may not have read so far before, it returns the conversation and the
// new read cursor; otherwise upTo is 0. If known is set, the read cursor has risen: the
// caller has to store and announce it. Otherwise the caller has to read the stored one
// first, and call RaiseRead. ok is false if this loop has no topic of the conversation:
// nothing was stored then.
//
// What a user has read, the device may have from SYNC. So a read receipt moves the
// delivered cursor no further than what the session was sent: it must still get
// the messages before the one that was read. During a backlog, that is so for other
// receipts, too, because the device may have the message from its own ACK; the
// cursor then moves to what the receipt said as the backlog is sent.
func (l *TopicsOnLoop) Receipt(t Turn, ss *session.Session, group, peer, seq int64, read bool) (conv, upTo int64, known, ok bool) {
	tp := l.topicOf(t, ss.User, group, peer)
	if tp == nil || !l.users[ss.User].in(t, tp) {
		return 0, 0, false, false
	}
	seq = min(seq, tp.last)
	cu := tp.cursor(t, ss)
	delivered := seq
	if read || cu.backlog {
		delivered = min(seq, cu.sent) // which may be unknown
	}
	if !read && delivered < seq {
		cu.claimed = max(cu.claimed, seq)
	}
	if delivered > 0 {
		l.d.store.SetDelivered(ss.User, ss.Device, tp.conv, delivered)
		cu.saved = max(cu.saved, delivered)
	}
	switch {
	case !read || seq <= cu.read:
		return 0, 0, true, true
	case t.Now().Unix()-cu.readAt > trustRead:
		return tp.conv, seq, false, true
	case tp.raiseRead(t, ss.User, seq, 0):
		return tp.conv, seq, true, true
	}
	return 0, 0, true, true
}

// trustRead is how many seconds a loop uses a read cursor that it got from the store.
// Meanwhile the user may read further on another loop or node. The node remembers the
// notice of that for longer than trustRead, and drops a second one: see Sessions.TellOf.
const trustRead = int64(forgetNotices/time.Second) * 2 / 3

// RaiseRead reports whether the user of a session has read further than before, if that
// is now up to seq. stored is the read cursor that the store had.
func (l *TopicsOnLoop) RaiseRead(t Turn, ss *session.Session, conv, seq, stored int64) bool {
	tp := l.topics[conv]
	if tp == nil {
		return seq > stored
	}
	if cu := tp.cursor(t, ss); cu != nil {
		cu.readAt = t.Now().Unix()
	}
	return tp.raiseRead(t, ss.User, seq, stored)
}

// raiseRead is RaiseRead for a topic. It updates the cursors of all sessions of the user.
func (tp *topicOnLoop) raiseRead(t Turn, user, seq, stored int64) bool {
	before := stored
	for i := range tp.cursors {
		if cu := &tp.cursors[i]; cu.session.User == user {
			before = max(before, cu.read)
		}
	}
	for i := range tp.cursors {
		if cu := &tp.cursors[i]; cu.session.User == user {
			cu.read = max(before, seq)
		}
	}
	return seq > before
}
