package messages

import (
	"math/bits"

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
	l, ss := m.loops[t.Loop()], c.Session(t)
	blocks, version := m.delivery.On(t).BlocksVersion(t), m.sessions.Version(r.ToID)
	if l.blocks != blocks { // all targets may be blocked now
		l.blocks = blocks
		clear(l.targets[:])
	}
	to := l.target(t, ss.User, r.ToID)
	if to.from == ss.User && to.to == r.ToID && to.version == version {
		m.sendEvent(t, ss, r, to.sessions)
		return
	}
	blocked, known := m.delivery.On(t).Blocked(t, r.ToID, ss.User)
	if !known {
		m.askBlocked(t, c, r.Clone())
		return
	}
	if !blocked {
		*to = target{from: ss.User, to: r.ToID, version: version, sessions: m.sessions.Sessions(r.ToID)}
		m.sendEvent(t, ss, r, to.sessions)
	}
}

// target is the receiver of an event, who hasn't blocked the sender. Clients send
// many events to the same user, such as typing indicators.
type target struct {
	from, to int64
	version  uint64 // Sessions.Version before sessions was read
	sessions []*session.Session
}

// targetsLen is how many targets a loop keeps. It is a power of two.
const targetsLen = 512

// target returns the place where a loop keeps a target. It may have another one.
func (l *sendsOnLoop) target(t Turn, from, to int64) *target {
	const odd = 0x9e3779b97f4a7c15 // spreads IDs that follow each other
	return &l.targets[uint64(from*31+to)*odd>>(64-bits.Len(targetsLen-1))]
}

// askBlocked reads from the store whether the receiver has blocked the sender.
// If not, it sends the event.
func (m *Messages) askBlocked(t Turn, c *conn, r *proto.Request) {
	ask, keep := m.delivery.On(t).AskBlocked(t, r.ToID, c.Session(t).User)
	session.RunJob(t, c, reactor.Quick, session.Answer(r), ask, func(t Turn, blocked bool) {
		keep(t, blocked)
		if ss := c.Session(t); ss != nil && !blocked {
			m.sendEvent(t, ss, r, m.sessions.Sessions(r.ToID))
		}
	})
}

// sendEvent writes an event to the sessions of its receiver, and publishes it to
// other nodes. Sessions on this node that haven't got LOGIN_ACK don't get it. Other
// nodes treat it like a notice: such a session gets it after its LOGIN_ACK.
func (m *Messages) sendEvent(t Turn, ss *session.Session, r *proto.Request, to []*session.Session) {
	l := m.loops[t.Loop()]
	l.events++
	l.buf = appendEvent(l.buf[:0], ss, r)
	for _, o := range to {
		if o != ss && o.Live() {
			t.SendDroppable(o.Ref, l.buf)
		}
	}
	// Not for each session: the limit would tell strangers whether the receiver is
	// online.
	ss.Conn(t).ChargePushes(t, 1, len(l.buf))
	m.courier.PublishEvent(bus.User(r.ToID), l.buf)
}

// groupEvent sends an event to the members of a group.
func (m *Messages) groupEvent(t Turn, c *conn, r *proto.Request) {
	ss := c.Session(t)
	body := appendEvent(nil, ss, r)
	if m.delivery.On(t).GroupEvent(t, ss, r.GroupID, body) {
		m.loops[t.Loop()].events++
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
