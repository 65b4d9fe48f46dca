package messages

import (
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/session"
)

// Event sends an event to the online sessions of a user or group. Events, such
// as typing indicators, are never stored, and may be lost.
func (m *Messages) Event(t Turn, c *conn, r *proto.Request) {
	if r.Has(proto.FGroupID) {
		m.groupEvent(t, c, r)
		return
	}
	blocked, known := m.delivery.On(t).Blocked(t, r.ToID, c.Session(t).User)
	if !known {
		m.askBlocked(t, c, r.Clone())
		return
	}
	if !blocked {
		m.userEvent(t, c, r)
	}
}

// askBlocked reads from the store whether the receiver has blocked the sender.
// If not, it sends the event.
func (m *Messages) askBlocked(t Turn, c *conn, r *proto.Request) {
	ask, keep := m.delivery.On(t).AskBlocked(t, r.ToID, c.Session(t).User)
	session.RunJob(t, c, reactor.Quick, session.Answer(r), ask, func(t Turn, blocked bool) {
		keep(t, blocked)
		if c.Session(t) != nil && !blocked {
			m.userEvent(t, c, r)
		}
	})
}

// userEvent writes an event to the sessions of a user, and publishes it to other
// nodes. Sessions on this node that haven't got LOGIN_ACK don't get it. Other
// nodes treat it like a notice: such a session gets it after its LOGIN_ACK.
func (m *Messages) userEvent(t Turn, c *conn, r *proto.Request) {
	m.events.Inc()
	l, ss := m.loops[t.Loop()], c.Session(t)
	l.buf = appendEvent(l.buf[:0], ss, r)
	for _, o := range m.sessions.Sessions(r.ToID) {
		if o != ss && o.Live() {
			t.Send(o.Ref, l.buf)
		}
	}
	m.courier.PublishEvent(bus.User(r.ToID), l.buf)
}

// groupEvent sends an event to the members of a group.
func (m *Messages) groupEvent(t Turn, c *conn, r *proto.Request) {
	ss := c.Session(t)
	body := appendEvent(nil, ss, r)
	if m.delivery.On(t).GroupEvent(t, ss, r.GroupID, body) {
		m.events.Inc()
		m.courier.PublishEvent(bus.Group(r.GroupID), body)
		return
	}
	// The store decides which error it is: no such group, or not a member.
	a := session.Answer(r)
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (struct{}, error) {
		_, err := m.store.VisibleRange(t, ss.User, a.GroupID, 0)
		return struct{}{}, err
	}, func(Turn, struct{}) {}) // no error: the user has just joined, and the event is dropped
}

func appendEvent(dst []byte, ss *session.Session, r *proto.Request) []byte {
	return proto.AppendPush(dst, &proto.Push{Op: proto.EVENT, Sender: ss.Sender,
		ToID: r.ToID, GroupID: r.GroupID, Event: r.Event, Data: r.Data, Plain: r.Plain})
}
