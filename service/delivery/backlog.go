package delivery

import (
	"errors"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/limits"
	"chatd/service/session"
)

// page is a piece of the log, with the cursors that had to be looked up.
type page struct {
	cursors  []int64
	messages []model.Message
	version  int64 // of the group's membership after the messages were read
	gone     bool  // the user it was read for is no longer a member
}

// catchUp reads the log for the sessions of a topic that have a backlog: one
// page at a time, which all sessions at that place share. Sessions far behind
// and those that lack one message take turns, so neither waits for the other.
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
				d.log.Error("reading a backlog failed", "conversation", tp.conv, "err", err)
				t.After(retryRead, again)
			}
			return
		}
		if tp.dropped || tp.reloading { // who is still a member isn't known: read again then
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
		// Sessions that still have a backlog heard of messages that this read was
		// too early for.
		t.After(retryBusy, again)
	})
	if err != nil { // the lane is full
		tp.reading = false
		t.After(retryBusy, again)
	}
}

// readPage reads the page after a seq, or after the first of the devices'
// cursors where after is unknown.
func (d *Delivery) readPage(t Off, conv, group, user, after int64, devices []model.DeviceKey) (p page, err error) {
	d.courier.Await(t)
	if len(devices) > 0 {
		if p.cursors, err = d.store.DeliveredSeqs(t, conv, devices); err != nil {
			return p, err
		}
	}
	if after == unknown {
		after = p.cursors[0]
	}
	p.messages, err = d.store.Page(t, conv, after, d.cfg.MaxPage, proto.MaxSyncBytes)
	if len(p.messages) == d.cfg.MaxPage {
		d.sessions.Limited.Reached(limits.FullPage, 1)
	}
	if err != nil || group == 0 {
		return p, err
	}
	// A user who has left isn't shown what was said since, even if the notice of
	// it hasn't come here.
	v, err := d.store.VisibleRange(t, user, group, 0)
	if errors.Is(err, model.ErrNotAllowed) || errors.Is(err, model.ErrNotFound) {
		p.gone, err = true, nil
	}
	p.version = v.Version
	return p, err
}

// reader is the connection in whose name a page is read for first. Jobs of a
// connection run one after the other, so one that has no request with the store
// is better.
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

// nextReaders picks the cursor whose page is read next, and all sessions whose
// cursor has to be looked up first. The picked one leads them if it is among
// them.
func (tp *topicOnLoop) nextReaders(t Turn) (first *cursorOnLoop, ask []*session.Session) {
	n := len(tp.cursors)
	for i := range n {
		cu := &tp.cursors[(tp.next+i)%n]
		if !cu.backlog || !cu.session.Live() || cu.session.BacklogPaused(t) {
			continue
		}
		if first == nil {
			first = cu
			tp.next = (tp.next + i + 1) % n
		}
		if cu.sent == unknown {
			if first.sent != unknown { // the leader has a place: the others wait for their turn
				continue
			}
			ask = append(ask, cu.session)
		}
	}
	return first, ask
}

// pushPage pushes a page to the sessions with a backlog that it continues.
func (l *TopicsOnLoop) pushPage(t Turn, tp *topicOnLoop, ask []*session.Session, p *page) {
	for i, ss := range ask {
		if cu := tp.cursor(t, ss); cu != nil && cu.sent == unknown {
			cu.sent = max(p.cursors[i], cu.joined) // the user may have been out of the group at its stored cursor
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
			if !cu.backlog || cu.sent != m.Seq-1 || !ss.Live() || ss.BacklogPaused(t) {
				continue
			}
			conn := ss.Conn(t)
			if has := cu.takeAcked(t, m.Seq) || m.Sender == ss.User && conn.Awaits(t, tp.group, tp.pair.lo+tp.pair.hi, m); !has {
				if len(l.buf) == 0 {
					c := Chat(m, tp.group, tp.pair.lo, tp.pair.hi)
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

// pauseBacklog stops a session's backlog until its connection has taken most of
// what was written.
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

// Chat is a stored message as clients see it. A pair is named by its two users.
func Chat(m *model.Message, group, a, b int64) proto.Chat {
	c := proto.Chat{Op: proto.GROUP_CHAT, GroupID: group, ID: m.Sender, Name: m.Name, Msg: string(m.Body),
		Time: m.Time, Seq: m.Seq, CID: string(m.CID)}
	if group == 0 {
		c.Op, c.ToID = proto.ONE_CHAT, a+b-m.Sender
	}
	return c
}
