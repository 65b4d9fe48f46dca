package messages

import (
	"chatd/model/feed"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/session"
)

// Receipt moves the device's delivered cursor and, if read is set, the user's
// read cursor.
func (m *Messages) Receipt(t Turn, c *conn, r *proto.Request) {
	ss := c.Session(t)
	conv, upTo, known, ok := m.delivery.On(t).Receipt(t, ss, r.GroupID, r.Peer, r.Seq, r.Read)
	a, read, seq := session.Answer(r), r.Read, r.Seq
	switch {
	case ok && upTo == 0:
		return
	case ok && known:
		m.readUpTo(t, c, ss, a, feed.Read{Conv: conv, User: ss.User, Peer: a.Peer, Seq: upTo})
		return
	}
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (p position, err error) {
		if p = (position{conv: conv, seq: upTo}); !ok {
			v, err := m.store.VisibleRange(t, ss.User, a.GroupID, a.Peer)
			if err != nil {
				return p, err
			}
			p = position{conv: v.Conv, seq: min(seq, v.Last)}
		}
		if read && p.seq > 0 {
			p.read, err = m.store.ReadUpTo(t, ss.User, p.conv)
		}
		return p, err
	}, func(t Turn, p position) {
		switch {
		case p.seq == 0:
		case !read:
			m.store.SetDelivered(ss.User, ss.Device, p.conv, p.seq)
		case m.delivery.On(t).RaiseRead(t, ss, p.conv, p.seq, p.read):
			// Without a topic, the session has been sent nothing that its device
			// didn't have before: see TopicsOnLoop.Receipt.
			m.readUpTo(t, c, ss, a, feed.Read{Conv: p.conv, User: ss.User, Peer: a.Peer, Seq: p.seq})
		}
	})
}

// position is where a receipt is in a conversation.
type position struct {
	conv, seq int64
	read      int64 // the read cursor before
}

// readUpTo stores a read cursor that has risen. It notifies the user's other devices and,
// if the conversation is a pair without a block, the other user. It does neither if they
// were told of it before: the user has read as far on another device meanwhile. The
// session may have ended: people read a message and close the app.
func (m *Messages) readUpTo(t Turn, c *conn, ss *session.Session, a proto.Response, r feed.Read) {
	m.store.SetRead(r.User, r.Conv, r.Seq)
	about, own, others := readNotices(&r)
	if fresh := m.sessions.TellOf(r.User, about, own, ss); !fresh || others == nil {
		return
	}
	blocked, known := m.delivery.On(t).AnyBlock(t, r.User, r.Peer)
	switch {
	case !known && c.Session(t) == nil: // nobody is left to ask for; the other user sees it later
	case !known:
		ask, keep := m.delivery.On(t).AskAnyBlock(t, r.User, r.Peer)
		session.RunJob(t, c, reactor.Quick, a, ask, func(t Turn, blocked [2]bool) {
			keep(t, blocked)
			if blocked == [2]bool{} {
				m.sessions.TellOf(r.Peer, about, others, nil)
			}
		})
	case !blocked:
		m.sessions.TellOf(r.Peer, about, others, nil)
	}
}

// ReadElsewhere handles what a user has read through another process. This node may have
// got hints about it before, or may get them later. It doesn't block.
func (m *Messages) ReadElsewhere(r *feed.Read) {
	about, own, others := readNotices(r)
	m.sessions.TellOfHere(r.User, about, own, nil)
	if others != nil && !r.Alone {
		m.sessions.TellOfHere(r.Peer, about, others, nil)
	}
}

// readNotices returns the bodies of the notices for the user who has read, and for the
// other one. The latter is nil if there is none.
func readNotices(r *feed.Read) (about bus.About, own, others []byte) {
	about = bus.About{Subject: bus.ReadUpTo, ID: r.Conv, By: r.User, Number: r.Seq}
	rr := proto.Response{Op: proto.RECEIPT, Peer: r.Peer, ID: r.User, Seq: r.Seq, Read: true}
	if r.Peer == 0 {
		rr.GroupID = r.Conv
	}
	own = proto.AppendResponse(nil, &rr)
	if r.Peer != 0 && r.Peer != r.User {
		rr.Peer = r.User
		others = proto.AppendResponse(nil, &rr)
	}
	return about, own, others
}
