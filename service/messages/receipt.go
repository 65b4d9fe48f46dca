package messages

import (
	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/session"
)

// Receipt moves the device's delivered cursor and, if read is set, the user's
// read cursor.
func (m *Messages) Receipt(t Turn, c *conn, r *proto.Request) {
	ss := c.Session(t)
	if conv, upTo, ok := m.delivery.On(t).Receipt(t, ss, r.GroupID, r.Peer, r.Seq, r.Read); ok {
		if upTo > 0 {
			m.readUpTo(ss, conv, r.GroupID, r.Peer, upTo)
		}
		return
	}
	a, read, seq := session.Answer(r), r.Read, r.Seq
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (model.VisibleRange, error) {
		return m.store.VisibleRange(t, ss.User, a.GroupID, a.Peer)
	}, func(t Turn, v model.VisibleRange) {
		if seq = min(seq, v.Last); seq == 0 {
			return
		}
		if read {
			// Without a topic, the session has been sent nothing that its device
			// didn't have before: see TopicsOnLoop.Receipt.
			m.readUpTo(ss, v.Conv, a.GroupID, a.Peer, seq)
			return
		}
		m.store.SetDelivered(ss.User, ss.Device, v.Conv, seq)
	})
}

// readUpTo stores a read cursor. It notifies the user's other devices and, if
// the conversation isn't a group, the other user.
func (m *Messages) readUpTo(ss *session.Session, conv, group, peer, seq int64) {
	m.store.SetRead(ss.User, conv, seq)
	rr := proto.Response{Op: proto.RECEIPT, GroupID: group, Peer: peer, ID: ss.User, Seq: seq, Read: true}
	m.sessions.Tell(ss.User, proto.AppendResponse(nil, &rr), ss)
	if group == 0 && peer != ss.User {
		rr.Peer = ss.User
		m.sessions.Tell(peer, proto.AppendResponse(nil, &rr), nil)
	}
}
