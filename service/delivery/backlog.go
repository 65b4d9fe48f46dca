package delivery

import (
	"errors"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/limits"
	"chatd/service/session"
)

// page is a page of the log.
type page struct {
	cursors  []int64 // of the devices whose cursors were unknown
	messages []model.Message
	version  int64 // of the group's membership, read after the messages
	gone     bool  // the user for whom it was read is no longer a member
}

// catchUp reads the log for the sessions of a topic that have a backlog, one
// page at a time. A page is pushed to all sessions whose cursors are in it. The
// sessions take turns, so that one that lacks a single message doesn't wait for
// one that lacks thousands.
func (l *TopicsOnLoop) catchUp(t Turn, tp *topicOnLoop) {
	if tp.reading || tp.reloading || tp.dropped {
		return
	}
	first, ask := tp.nextReaders(t)
	if first == nil {
		return
	}
	after := first.sent
	devices := make([]model.DeviceKey, len(ask))
	for i, ss := range ask {
		devices[i] = model.DeviceKey{User: ss.User, Device: ss.Device}
	}
	tp.reading = true
	l.d.m.catchUps.Inc()
	again := func(t Turn) { l.catchUp(t, tp) }
	d, conv, group, user := l.d, tp.conv, tp.group, first.session.User
	err := reactor.Go(t, tp.reader(t, first), reactor.Quick, func(t Off) (page, error) {
		return d.readPage(t, conv, group, user, after, devices)
	}, func(t Turn, p page, err error) {
		tp.reading = false
		if err != nil {
			if d.ctx.Err() == nil {
				d.log.Error("reading a backlog failed; retrying", "conversation", tp.conv, "err", err)
				t.After(retryRead, again)
			}
			return
		}
		if tp.dropped || tp.reloading { // after a reload, setMembers calls catchUp again
			return
		}
		if p.gone || p.version > tp.version {
			l.reload(t, tp, p.version)
			return
		}
		l.pushPage(t, tp, ask, &p)
		if len(p.messages) > 0 {
			l.catchUp(t, tp)
			return
		}
		// A session may still have a backlog: of messages that were committed
		// after this read.
		t.After(retryBusy, again)
	})
	if err != nil { // the worker's queue is full
		tp.reading = false
		t.After(retryBusy, again)
	}
}

// readPage reads the page that follows the seq after. If after is unknown, it
// reads the page that follows the cursor of the first device.
func (d *Delivery) readPage(t Off, conv, group, user, after int64, devices []model.DeviceKey) (p page, err error) {
	d.courier.Await(t)
	if len(devices) > 0 {
		if p.cursors, err = d.store.DeliveredSeqs(t, conv, devices); err != nil {
			return p, err
		}
	}
	if after == unknown {
		if after = p.cursors[0]; after < 0 {
			// Not a member any more. A pair is left only by a user who is deleted;
			// the session ends soon.
			p.gone = group != 0
			return p, nil
		}
	}
	p.messages, err = d.store.Page(t, conv, after, d.cfg.MaxPage, proto.MaxSyncBytes)
	if len(p.messages) == d.cfg.MaxPage {
		d.sessions.Limited.Reached(limits.FullPage, 1)
	}
	if err != nil || group == 0 {
		return p, err
	}
	// A user who has left the group must not get later messages, even if this
	// node hasn't heard of the leave yet.
	v, err := d.store.VisibleRange(t, user, group, 0)
	if errors.Is(err, model.ErrNotAllowed) || errors.Is(err, model.ErrNotFound) {
		p.gone, err = true, nil
	}
	p.version = v.Version
	return p, err
}

// reader returns the connection whose job reads a page. That is first's, or
// another one if first's is busy: jobs of one connection run one after another.
func (tp *topicOnLoop) reader(t Turn, first *cursorOnLoop) *reactor.Conn {
	c := first.session.Conn(t)
	if c.Busy(t) {
		for i := range tp.cursors {
			if other := tp.cursors[i].session.Conn(t); !other.Busy(t) {
				return other.Conn
			}
		}
	}
	return c.Conn
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
// next.
func (l *TopicsOnLoop) pushPage(t Turn, tp *topicOnLoop, ask []*session.Session, p *page) {
	for i, ss := range ask {
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
			conn := ss.Conn(t)
			if has := cu.takeAcked(t, m.Seq) || m.Sender == ss.User && conn.Awaits(t, tp.group, tp.pair.lo+tp.pair.hi, m); !has {
				if len(l.buf) == 0 {
					c := Chat(m, tp.group, tp.pair.lo, tp.pair.hi)
					c.Gone = false // only lists have it
					l.buf = proto.AppendChat(l.buf, &c)
				}
				conn.Write(t, l.buf)
				l.d.m.pushes.Inc()
			}
			l.advance(t, tp, cu, m.Seq)
			if conn.BytesUnsent(t) > backlogBytes {
				l.pauseBacklog(t, ss)
			}
		}
	}
	for i := range tp.cursors {
		if cu := &tp.cursors[i]; cu.sent != unknown && cu.sent >= tp.last {
			cu.backlog, cu.acked = false, nil
		}
	}
}

// pauseBacklog stops reading a session's backlog until its connection has at
// most half of backlogBytes left to send.
func (l *TopicsOnLoop) pauseBacklog(t Turn, ss *session.Session) {
	ss.PauseBacklog(t, true)
	ss.Conn(t).WhenDrained(t, backlogBytes/2, func(t Turn) {
		ss.PauseBacklog(t, false)
		u := l.users[ss.User]
		if ss.Ended(t) || u == nil {
			return
		}
		for tp := range u.topics {
			if cu := tp.cursor(t, ss); cu != nil && cu.backlog {
				l.catchUp(t, tp)
			}
		}
	})
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
