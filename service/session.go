package service

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
)

// client is the service's side of a connection. It belongs to the
// connection's loop.
type client struct {
	conn    *reactor.Conn
	session *Session   // nil: not logged in
	busy    bool       // a request is with the store: the next ones are held
	sending []*sending // chat messages not yet acknowledged
	parked  int        // of these, refusals that wait for the answers before them
	line    *model.Line
	stops   map[target]*stop // conversations that stand still, or did
	round   int64            // the last one that began in any of them
	// unanswered is what these take, as Service.unanswered counts it.
	unanswered int64
}

// Session is a device of a user, logged in on a connection. What stands
// above the line never changes and may be read anywhere.
type Session struct {
	user   int64
	name   string
	device string
	ack    bool // sends receipts
	loop   int
	peer   *reactor.Peer
	at     int64       // when it logged in, Unix microseconds
	nth    int64       // of this node's sessions, whatever its clock does
	rate   *userRate   // the user's, of this node
	live   atomic.Bool // has its LOGIN_ACK; set by its loop, read by all
	// token is the hash of the one it is logged in with; set by its loop.
	token atomic.Pointer[[]byte]

	// ---- the loop's

	client *client
	paused bool // its backlog waits for the connection to take bytes
	ended  bool
	held   [][]byte // notices that came while joining
}

// user is a user with sessions on a loop. It belongs to the loop.
type user struct {
	sessions []*Session
	topics   map[*topic]struct{} // with a sub of one of the sessions
}

// begin puts a new session into the loop's lists: from here on, what is new
// for its user is noted for it, and pushed once it is no longer joining.
// places need only name the user's groups.
func (l *loop) begin(t Turn, ss *Session, places []model.Place) {
	u := l.users[ss.user]
	if u == nil {
		u = &user{}
		l.users[ss.user] = u
		l.s.bus.Subscribe(bus.User(ss.user))
	}
	u.sessions = append(u.sessions, ss)
	for tp := range u.topics {
		l.add(tp, ss.user, unknown)
	}
	for tp := range l.pairsOf[ss.user] {
		l.add(tp, ss.user, unknown)
	}
	for i := range places {
		if p := &places[i]; p.Group != 0 {
			tp := l.topics[p.Conv]
			if tp == nil {
				tp = l.newGroup(p.Group, p.Version, p.Last)
			}
			l.add(tp, ss.user, unknown)
		}
	}
	ss.client.session = ss
	ss.client.noStops()
	ss.client.conn.LoggedIn(t, true)
}

// end takes a session out of all lists and writes down how far it came.
func (l *loop) end(t Turn, ss *Session) {
	if ss.ended {
		return
	}
	ss.ended = true
	ss.client.session = nil
	u := l.users[ss.user]
	u.sessions = slices.DeleteFunc(u.sessions, func(o *Session) bool { return o == ss })
	for tp := range u.topics {
		tp.subs = slices.DeleteFunc(tp.subs, func(sb sub) bool {
			if sb.session == ss {
				sb.tell(t, l.s.store, tp.conv)
			}
			return sb.session == ss
		})
		if len(u.sessions) == 0 {
			delete(u.topics, tp)
		}
		if len(tp.subs) == 0 {
			l.drop(tp)
		}
	}
	if len(u.sessions) == 0 {
		delete(l.users, ss.user)
		l.s.bus.Unsubscribe(bus.User(ss.user))
	}
	l.s.registry.remove(ss)
	if len(l.s.registry.sessions(ss.user)) == 0 { // even if another was the last: its word may have come before this one's
		l.s.presence.down(ss.user)
		l.s.limits.left(ss.user, ss.rate, t.Now())
	}
	l.s.store.FlushSoon(ss.user)
}

// notice sends a session what isn't a stored message. While it is joining the
// notice waits: LOGIN_ACK, whose lists may be older, has to come first.
func (l *loop) notice(t Turn, ss *Session, body []byte) {
	switch {
	case ss.ended:
	case ss.live.Load():
		ss.client.conn.Write(t, body)
	case len(ss.held) < maxHeldNotices:
		ss.held = append(ss.held, body)
	default:
		l.s.m.dropped.Inc()
	}
}

// kick ends a session from wherever: its client gets KICK and the connection
// closes.
func (s *Service) kick(ss *Session, reason, why string) {
	_ = s.r.Post(ss.loop, func(t Turn) { // stopped: it has ended
		if ss.ended {
			return
		}
		s.loops[ss.loop].end(t, ss)
		ss.client.conn.Finish(t, kickBody(reason, why))
	})
}

func kickBody(reason, why string) []byte {
	return proto.AppendResponse(nil, &proto.Response{Op: proto.KICK, Reason: reason, ErrMsg: why})
}

// displace ends a user's sessions older than at, by the cluster's clock:
// those of one device, or of all but that device.
func (s *Service) displace(d *bus.Login) {
	for _, ss := range s.registry.sessions(d.User) {
		if (ss.device == d.Device) != d.All && ss.at < d.At {
			s.kick(ss, d.Reason, kickText(d.Reason))
		}
	}
}

// login is what other nodes are told of a session's beginning.
func (ss *Session) login() *bus.Login {
	return &bus.Login{User: ss.user, Device: ss.device, Reason: proto.Replaced, At: ss.at}
}

// heard takes another node's word of a login. Where the session here is the
// later one of that device, or the word of one here may have gone out before
// that node was listening, it is told.
func (s *Service) heard(d *bus.Login) {
	s.displace(d)
	if d.Reason != proto.Replaced {
		return
	}
	news := s.registry.isElsewhere(d.User, d.At)
	for _, ss := range s.registry.sessions(d.User) {
		if ss.device == d.Device && ss.at > d.At || ss.device != d.Device && news {
			s.publish(bus.User(d.User), bus.Payload{Login: ss.login()})
		}
	}
}

// recheck ends sessions whose token ended while the bus was away: other nodes'
// word of it was not heard. One that a session has just changed itself may not
// be known yet, so a bad one is asked about twice.
func (s *Service) recheck(t Off) {
	var bad []*Session
	s.registry.each(func(sessions []*Session) {
		bad = append(bad, s.tokenless(t, sessions)...)
	})
	if len(bad) == 0 {
		return
	}
	select {
	case <-t.Done():
		return
	case <-time.After(recheckAfter):
	}
	for _, ss := range s.tokenless(t, bad) {
		s.kick(ss, proto.LoggedOut, kickText(proto.LoggedOut))
	}
}

// tokenless are those of the sessions whose token is no longer good.
func (s *Service) tokenless(t Off, sessions []*Session) (bad []*Session) {
	for _, ss := range sessions {
		if _, _, err := s.store.TokenDevice(t, *ss.token.Load()); errors.Is(err, model.ErrNotFound) {
			bad = append(bad, ss)
		}
	}
	return bad
}

// announce tells other nodes of every session here, as their word of them may
// not have been heard while the bus was away.
func (s *Service) announce(t Off) {
	s.registry.each(func(sessions []*Session) {
		batch := make([]bus.Message, len(sessions))
		for i, ss := range sessions {
			batch[i] = bus.Message{Channel: bus.User(ss.user), Payload: bus.Payload{Login: ss.login()}}
		}
		ctx, cancel := context.WithTimeout(t, publishTimeout)
		defer cancel()
		if err := s.bus.Publish(ctx, batch); err != nil {
			s.m.dropped.Add(len(batch))
		}
	})
}

func kickText(reason string) string {
	if reason == proto.Replaced {
		return "this device has logged in elsewhere"
	}
	return "this device was logged out"
}
