package service

import (
	"errors"
	"math/bits"

	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
)

// way is from one user to another.
type way struct{ from, to int64 }

// relayed is a group event on its way to another loop.
type relayed struct {
	group int64
	body  []byte
}

// event passes something on that is never stored: to those who are online.
func (s *Service) event(t Turn, x *client, r *proto.Request) {
	l, ss := s.loops[t.Loop()], x.session
	if r.Has(proto.FGroupID) {
		l.groupEvent(t, x, r)
		return
	}
	w := way{ss.user, r.ToID}
	blocked, known := l.blocks[w]
	if !known {
		s.askBlock(t, x, r.Clone(), w)
		return
	}
	if !blocked {
		s.userEvent(t, x, r)
	}
}

// userEvent passes an event on to the sessions of a user, straight from loop
// to loop. Those still joining don't get it: LOGIN_ACK has to come first, and
// an event is for the moment.
func (s *Service) userEvent(t Turn, x *client, r *proto.Request) {
	s.m.events.Inc()
	l, ss := s.loops[t.Loop()], x.session
	l.buf = appendEvent(l.buf[:0], ss, r)
	for _, o := range s.registry.sessions(r.ToID) {
		if o != ss && o.live.Load() {
			t.Send(o.peer, l.buf)
		}
	}
	s.publishEvent(bus.User(r.ToID), l.buf)
}

// appendEvent encodes an event.
func appendEvent(dst []byte, ss *Session, r *proto.Request) []byte {
	return proto.AppendResponse(dst, &proto.Response{Op: proto.EVENT, ID: ss.user, Name: ss.name,
		ToID: r.ToID, GroupID: r.GroupID, Event: r.Event, Data: r.Data})
}

// groupEvent passes an event on to the members of a group. Whether its sender
// is one, the loop knows.
func (l *loop) groupEvent(t Turn, x *client, r *proto.Request) {
	ss, s := x.session, l.s
	tp := l.topics[r.GroupID]
	if u := l.users[ss.user]; tp == nil || tp.group == 0 || !u.in(tp) {
		// The store tells whether there is no such group or one of others.
		a := answer(r)
		offLoop(s, t, x, reactor.Quick, a, func(t Off) (struct{}, error) {
			_, err := s.store.View(t, ss.user, a.GroupID, 0)
			return struct{}{}, err
		}, func(Turn, struct{}) {}) // just joined: an event that came too early is dropped
		return
	}
	body := appendEvent(nil, ss, r)
	s.m.events.Inc()
	l.spread(t, tp, body, ss)
	for loops := s.registry.watchers(tp.group) &^ (1 << l.index); loops != 0; loops &= loops - 1 {
		i := bits.TrailingZeros64(loops)
		l.events[i] = append(l.events[i], relayed{tp.group, body})
	}
	s.publishEvent(bus.Group(tp.group), body)
}

func (u *user) in(tp *topic) bool {
	_, ok := u.topics[tp]
	return ok
}

// spread writes an event to all sessions of a topic but its sender's.
func (l *loop) spread(t Turn, tp *topic, body []byte, from *Session) {
	for i := range tp.subs {
		if ss := tp.subs[i].session; ss != from && ss.live.Load() {
			ss.client.conn.Write(t, body)
		}
	}
}

// relay spreads what another loop, or another node, has passed on.
func (l *loop) relay(t Turn, es []relayed) {
	for i := range es {
		if tp := l.topics[es[i].group]; tp != nil && tp.group != 0 {
			l.spread(t, tp, es[i].body, nil)
		}
	}
}

// groupNotice spreads an event that another node has passed on.
func (s *Service) groupNotice(group int64, body []byte) {
	es := []relayed{{group, body}}
	for loops := s.registry.watchers(group); loops != 0; loops &= loops - 1 {
		l := s.loops[bits.TrailingZeros64(loops)]
		if err := s.r.PostSized(l.index, len(body), func(t Turn) { l.relay(t, es) }); errors.Is(err, reactor.ErrBusy) {
			s.m.eventsDropped.Inc()
		} // stopped: nobody to tell
	}
}

// askBlock reads whether the addressee has blocked the sender, and takes the
// event up again.
func (s *Service) askBlock(t Turn, x *client, r *proto.Request, w way) {
	l := s.loops[t.Loop()]
	gen := l.blockGen
	offLoop(s, t, x, reactor.Quick, answer(r), func(t Off) (bool, error) {
		return s.store.Blocked(t, w.to, w.from)
	}, func(t Turn, blocked bool) {
		if len(l.blocks) >= blockCacheLen {
			clear(l.blocks) // rare, and cheaper than to keep an order
		}
		if l.blockGen == gen { // else asked before a change: good for this one event only
			l.blocks[w] = blocked
		}
		if x.session != nil && !blocked {
			s.userEvent(t, x, r)
		}
	})
}

// forgetBlock makes every loop ask again what one user has blocked of another.
func (s *Service) forgetBlock(b *bus.Blocked) {
	for i, l := range s.loops {
		_ = s.r.Post(i, func(Turn) { // stopped: nothing is kept
			delete(l.blocks, way{b.Whom, b.By})
			l.blockGen++
		})
	}
}
