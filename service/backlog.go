package service

import (
	"errors"
	"slices"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
)

// page is a piece of the log, and the cursors that had to be looked up.
type page struct {
	cursors  []int64
	messages []model.Message
	version  int64 // of the group's membership, as it was after the messages
	gone     bool  // so was the one for whom they were read
}

// catchUp reads the log for the sessions of a topic that are behind: one page
// at a time, which all who wait at that place share. Sessions far behind and
// those that lack one message take turns, so neither waits for the other.
func (l *loop) catchUp(t Turn, tp *topic) {
	if tp.reading || tp.reloading || tp.dropped {
		return
	}
	first, ask := l.whose(tp)
	if first == nil {
		return
	}
	after := first.sent
	holders := make([]model.Holder, len(ask))
	for i, ss := range ask {
		holders[i] = model.Holder{User: ss.user, Device: ss.device}
	}
	tp.reading = true
	l.s.m.catchUps.Inc()
	s, store, conv, group, user := l.s, l.s.store, tp.conv, tp.group, first.session.user
	err := reactor.Go(t, tp.reader(first), reactor.Quick, func(t Off) (p page, err error) {
		s.await(t)
		if len(holders) > 0 {
			if p.cursors, err = store.Delivered(t, conv, holders); err != nil {
				return p, err
			}
		}
		if after == unknown {
			after = p.cursors[0]
		}
		p.messages, err = store.Page(t, conv, after, s.cfg.MaxPage, proto.MaxSyncBytes)
		if len(p.messages) == s.cfg.MaxPage {
			s.m.limited[fullPage].Inc()
		}
		if err != nil || group == 0 {
			return p, err
		}
		// Who has left isn't shown what was said since, whether or not the word
		// of it has come here.
		v, err := store.View(t, user, group, 0)
		if errors.Is(err, model.ErrNotAllowed) || errors.Is(err, model.ErrNotFound) {
			p.gone, err = true, nil
		}
		p.version = v.Version
		return p, err
	}, func(t Turn, p page, err error) {
		tp.reading = false
		if err != nil {
			if l.s.ctx.Err() == nil {
				l.s.log.Error("reading a backlog failed", "conversation", tp.conv, "err", err)
				t.After(retryRead, func(t Turn) { l.catchUp(t, tp) })
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
		l.fill(t, tp, ask, &p)
		if len(p.messages) > 0 {
			l.catchUp(t, tp)
			return
		}
		// Whoever is behind still has heard of what this read was too early for.
		t.After(retryBusy, func(t Turn) { l.catchUp(t, tp) })
	})
	if err != nil { // the lane is full
		tp.reading = false
		t.After(retryBusy, func(t Turn) { l.catchUp(t, tp) })
	}
}

// reader is the connection in whose name a page is read for first: jobs of a
// connection run one after the other, so one without any is better.
func (tp *topic) reader(first *sub) *reactor.Conn {
	if first.session.client.busy {
		for i := range tp.subs {
			if x := tp.subs[i].session.client; !x.busy {
				return x.conn
			}
		}
	}
	return first.session.client.conn
}

// whose picks the session whose page is read next, and all whose cursor has
// to be looked up first; the picked one leads, if it is one of those.
func (l *loop) whose(tp *topic) (first *sub, ask []*Session) {
	n := len(tp.subs)
	for i := range n {
		sb := &tp.subs[(tp.turn+i)%n]
		if !sb.behind || !sb.session.live.Load() || sb.session.paused {
			continue
		}
		if first == nil {
			first = sb
			tp.turn = (tp.turn + i + 1) % n
		}
		if sb.sent == unknown {
			if first.sent != unknown { // lead with one that has a place: others wait for their turn
				continue
			}
			ask = append(ask, sb.session)
		}
	}
	return first, ask
}

// fill pushes a page to all who are behind and where it fits on.
func (l *loop) fill(t Turn, tp *topic, ask []*Session, p *page) {
	for i, ss := range ask {
		if sb := tp.sub(ss); sb != nil && sb.sent == unknown {
			sb.sent = max(p.cursors[i], sb.floor) // the cursor may have been read while the user was out
			sb.taken, sb.told = sb.sent, sb.sent
		}
	}
	for i := range p.messages {
		m := &p.messages[i]
		tp.last = max(tp.last, m.Seq)
		l.buf = l.buf[:0]
		for j := range tp.subs {
			sb := &tp.subs[j]
			ss := sb.session
			if !sb.behind || sb.sent != m.Seq-1 || !ss.live.Load() || ss.paused {
				continue
			}
			if own := sb.takeOwn(m.Seq) || m.Sender == ss.user && ss.client.awaits(tp, m); !own {
				if len(l.buf) == 0 {
					l.buf = appendChat(l.buf, m, tp)
				}
				ss.client.conn.Write(t, l.buf)
				l.s.m.pushes.Inc()
			}
			l.sent(t, tp, sb, m.Seq)
			if ss.client.conn.Waiting(t) > backlogBytes {
				l.pause(t, ss)
			}
		}
	}
	for i := range tp.subs {
		if sb := &tp.subs[i]; sb.sent != unknown && sb.sent >= tp.last {
			sb.behind, sb.own = false, nil
		}
	}
}

// noteOwn notes that seq, which the session hasn't been sent yet, has been
// acknowledged to it.
func (sb *sub) noteOwn(seq int64) {
	if i, found := slices.BinarySearch(sb.own, seq); !found && len(sb.own) < maxOwn {
		sb.own = slices.Insert(sb.own, i, seq)
	}
}

// takeOwn tells whether seq has been acknowledged to this very session: it
// has the message. It forgets what lies below.
func (sb *sub) takeOwn(seq int64) (own bool) {
	for len(sb.own) > 0 && sb.own[0] <= seq {
		own = sb.own[0] == seq
		sb.own = sb.own[1:]
	}
	return own
}

// pause stops a session's backlog until its connection has taken most of what
// waits for it.
func (l *loop) pause(t Turn, ss *Session) {
	ss.paused = true
	ss.client.conn.WhenBelow(t, backlogBytes/2, func(t Turn) {
		ss.paused = false
		u := l.users[ss.user]
		if ss.ended || u == nil {
			return
		}
		for tp := range u.topics {
			if sb := tp.sub(ss); sb != nil && sb.behind {
				l.catchUp(t, tp)
			}
		}
	})
}

// appendChat encodes a stored message as it is pushed.
func appendChat(dst []byte, m *model.Message, tp *topic) []byte {
	c := chat(m, tp.group, tp.lo, tp.hi)
	return proto.AppendChat(dst, &c)
}

// chat is a stored message as clients see it.
func chat(m *model.Message, group, lo, hi int64) proto.Chat {
	c := proto.Chat{Op: proto.GROUP_CHAT, GroupID: group, ID: m.Sender, Name: m.Name, Msg: string(m.Body),
		Time: m.Time, Seq: m.Seq, CID: string(m.CID)}
	if group == 0 {
		c.Op, c.ToID = proto.ONE_CHAT, lo+hi-m.Sender
	}
	return c
}
