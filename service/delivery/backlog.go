package delivery

import (
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/service/session"
)

// catchUp puts a topic into the queue of a reader, if a session has a backlog in it.
// A page of the log is pushed to all sessions whose cursors are in it. The sessions
// take turns, so that one that lacks a single message doesn't wait for one that
// lacks thousands.
func (l *TopicsOnLoop) catchUp(t Turn, tp *topicOnLoop) {
	if tp.reading || tp.reloading || tp.dropped {
		return
	}
	first := l.behind(t, tp)
	if first == nil {
		return
	}
	tp.reading = true
	rd := l.readerOf(t, tp, first)
	rd.queue = append(rd.queue, tp)
	l.readSoon(t, rd)
}

// behind returns the first session for which the log can be read, or nil. Before it
// returns nil, it has recorded the topic for each session whose backlog is paused.
func (l *TopicsOnLoop) behind(t Turn, tp *topicOnLoop) *session.Session {
	for i := range tp.cursors {
		cu := &tp.cursors[i]
		if !cu.backlog || !tp.ready(t, cu.session) {
			continue
		}
		if !cu.session.BacklogPaused(t) {
			return cu.session
		}
		l.reader(t, cu.session).wait(t, tp)
	}
	return nil
}

// nextReaders returns the cursor after which the next page is read, or nil if no
// session has a backlog. If that cursor is unknown, ask has its session, and
// after it all other sessions with unknown cursors.
func (tp *topicOnLoop) nextReaders(t Turn) (first *cursorOnLoop, ask []*session.Session) {
	n := len(tp.cursors)
	for i := range n {
		cu := &tp.cursors[(tp.next+i)%n]
		if !cu.backlog || !tp.ready(t, cu.session) || cu.session.BacklogPaused(t) {
			continue
		}
		if first == nil {
			first = cu
			tp.next = (tp.next + i + 1) % n
		}
		if cu.sent == unknown {
			if first.sent != unknown { // nothing has to be looked up for this page
				continue
			}
			ask = append(ask, cu.session)
		}
	}
	return first, ask
}

// pushPage pushes the messages of a page to the sessions for which they are
// next. If writing to a session causes a panic, that session ends: it isn't known what
// it was sent.
func (l *TopicsOnLoop) pushPage(t Turn, tp *topicOnLoop, p *page) {
	var to *session.Session // that is being written to
	defer func() {
		if to != nil {
			defer to.Conn(t).Finish(t, nil)
			l.End(t, to)
		}
	}()
	for i, ss := range p.ask {
		if cu := tp.cursor(t, ss); cu != nil && cu.sent == unknown && p.cursors[i] >= 0 { // otherwise not a member
			cu.sent = max(p.cursors[i], cu.joined) // the stored cursor may be from before the user left and joined again
			cu.arrived, cu.saved = cu.sent, cu.sent
		}
	}
	for i := range p.messages {
		m := &p.messages[i]
		tp.last = max(tp.last, m.Seq)
		l.buf = l.buf[:0]
		for j := range tp.cursors {
			cu := &tp.cursors[j]
			ss := cu.session
			if !cu.backlog || cu.sent != m.Seq-1 || !tp.ready(t, ss) || ss.BacklogPaused(t) {
				continue
			}
			to = ss
			conn := ss.Conn(t)
			if has := cu.takeAcked(t, m.Seq) || m.Sender == ss.User && conn.Awaits(t, tp.group, tp.pair.lo+tp.pair.hi, m); !has {
				if len(l.buf) == 0 {
					c := Chat(m, tp.group, tp.pair.lo, tp.pair.hi)
					c.Gone = false // only lists have it
					l.buf = proto.AppendChat(l.buf, &c)
				}
				conn.Write(t, l.buf)
				l.d.m.pushes.Inc()
				l.d.limits.Missed(ss.Rate, t.Now(), len(l.buf))
			}
			l.advance(t, tp, cu, m.Seq)
			if conn.BytesUnsent(t) > backlogBytes {
				l.pauseBacklog(t, ss)
			}
			to = nil
		}
	}
	for i := range tp.cursors {
		if cu := &tp.cursors[i]; cu.sent != unknown && cu.sent >= tp.last && !p.more {
			cu.backlog, cu.acked = false, nil
		}
	}
}

// pauseBacklog stops reading a session's backlog until its connection has at
// most half of backlogBytes left to send.
func (l *TopicsOnLoop) pauseBacklog(t Turn, ss *session.Session) {
	ss.PauseBacklog(t, true)
	ss.Conn(t).WhenDrained(t, backlogBytes/2, func(t Turn) { l.resumeBacklog(t, ss) })
}

// delayBacklog stops reading a session's backlog for a time, because its user has got
// too much. The user may log in again and again without sending receipts, and so have
// the same messages read each time.
func (l *TopicsOnLoop) delayBacklog(t Turn, ss *session.Session, wait time.Duration) {
	ss.PauseBacklog(t, true)
	t.After(wait, func(t Turn) { l.resumeBacklog(t, ss) })
}

func (l *TopicsOnLoop) resumeBacklog(t Turn, ss *session.Session) {
	ss.PauseBacklog(t, false)
	if !ss.Ended(t) {
		l.resumeReader(t, ss)
	}
}

// Chat returns a stored message as clients get it. If group is 0, a and b are
// the two users of the conversation.
func Chat(m *model.Message, group, a, b int64) proto.Chat {
	c := proto.Chat{Op: proto.GROUP_CHAT, GroupID: group, ID: m.Sender, Name: m.Name, Gone: m.Gone, Msg: string(m.Body),
		Time: m.Time, Seq: m.Seq, CID: string(m.CID)}
	if group == 0 {
		c.Op, c.ToID = proto.ONE_CHAT, a+b-m.Sender
	}
	return c
}
