// Package session holds the sessions of one node: the connection and the
// device of each, the order of what a connection sends (order.go), and the
// registry in which other goroutines find them. It ends sessions that a login
// elsewhere replaces. What a session is sent of each conversation is in package
// delivery.
package session

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/limits"
)

// recheckAfter is the time between two looks at a token that seems to have ended.
const recheckAfter = time.Second

// Store is what sessions ask of the data.
type Store interface {
	TokenDevice(ctx context.Context, tokenHash []byte) (model.User, string, error)
	Revocations(ctx context.Context, after int64) (last int64, users []int64, err error)
}

// Sessions are the sessions of one node. Any goroutine may use them; what needs
// a Turn, an event loop only.
type Sessions struct {
	Registry
	Limited *limits.Metrics
	Window  int // see Config

	log     *slog.Logger
	m       counters
	pending *pending

	r       *reactor.Reactor
	courier *bus.Courier
	store   Store
	limits  *limits.Limits
	end     func(t Turn, ss *Session)
}

type counters struct {
	acks, logins, refused, internal, stopped, noticesDropped *metrics.Counter
}

// NewSessions makes a node's sessions. Call Start before any connection opens.
func NewSessions(cfg *Config, log *slog.Logger, set *metrics.Set) *Sessions {
	s := &Sessions{Window: cfg.Window, log: log, Limited: limits.NewMetrics(set), pending: newPending(cfg.MaxUnanswered, set), m: counters{
		acks:           set.NewCounter("chatd_service_acks_total"),
		logins:         set.NewCounter("chatd_service_logins_total"),
		refused:        set.NewCounter("chatd_service_refused_total"),
		internal:       set.NewCounter("chatd_service_internal_errors_total"),
		stopped:        set.NewCounter("chatd_service_behind_failed_total"),
		noticesDropped: set.GetOrCreateCounter("chatd_service_notices_dropped_total"),
	}}
	s.Registry.init()
	set.NewGauge("chatd_service_sessions", func() float64 { return float64(s.count.Load()) })
	return s
}

// Start gives the sessions what they work with. end takes a session out of all
// lists, on its loop.
func (s *Sessions) Start(r *reactor.Reactor, c *bus.Courier, store Store, l *limits.Limits, end func(t Turn, ss *Session)) {
	s.r, s.courier, s.store, s.limits, s.end = r, c, store, l, end
}

// Tell sends a body to all sessions of a user but one, on every node. It never
// blocks.
func (s *Sessions) Tell(user int64, body []byte, except *Session) {
	s.TellHere(user, body, except)
	s.courier.Publish(bus.User(user), bus.Payload{Notice: &bus.Notice{Body: body}})
}

// TellHere is Tell for the sessions on this node.
func (s *Sessions) TellHere(user int64, body []byte, except *Session) {
	for _, ss := range s.Sessions(user) {
		if ss != except {
			_ = s.r.Post(ss.Loop, func(t Turn) { ss.Notify(t, body) }) // stopped: nobody to tell
		}
	}
}

// Kick ends a session: its client gets KICK and the connection closes. It never
// blocks.
func (s *Sessions) Kick(ss *Session, reason, why string) {
	_ = s.r.Post(ss.Loop, func(t Turn) { // stopped: it has ended
		if ss.Ended(t) {
			return
		}
		s.end(t, ss)
		ss.Conn(t).Finish(t, kickBody(reason, why))
	})
}

// Replace ends a session in favor of another one of its device.
func (s *Sessions) Replace(ss *Session) { s.Kick(ss, proto.Replaced, kickText(proto.Replaced)) }

// FinishReplaced closes a connection whose login came too late: the device's
// session is a later one.
func (c *Conn) FinishReplaced(t Turn) {
	c.Finish(t, kickBody(proto.Replaced, kickText(proto.Replaced)))
}

func kickBody(reason, why string) []byte {
	return proto.AppendResponse(nil, &proto.Response{Op: proto.KICK, Reason: reason, ErrMsg: why})
}

func kickText(reason string) string {
	if reason == proto.Replaced {
		return "a later login with the same device name has replaced this session"
	}
	return "this device was logged out; log in again with the password"
}

// EndDevices ends sessions of a user on all nodes: those of d.Device, or with
// d.All those of all other devices, if they logged in before d.At.
func (s *Sessions) EndDevices(d *bus.Login) {
	s.endHere(d)
	s.courier.Publish(bus.User(d.User), bus.Payload{Login: d})
}

func (s *Sessions) endHere(d *bus.Login) {
	for _, ss := range s.Sessions(d.User) {
		if (ss.Device == d.Device) != d.All && ss.At < d.At {
			s.Kick(ss, d.Reason, kickText(d.Reason))
		}
	}
}

// LoginElsewhere handles another node's word of a login. That node is told of
// the sessions here if it may not know of them: if one of the same device is
// later, or if the word of one may have gone out before that node listened.
func (s *Sessions) LoginElsewhere(d *bus.Login) {
	s.endHere(d)
	if d.Reason != proto.Replaced {
		return
	}
	news := s.SetElsewhere(d.User, d.At)
	for _, ss := range s.Sessions(d.User) {
		if ss.Device == d.Device && ss.At > d.At || ss.Device != d.Device && news {
			s.Announce(ss)
		}
	}
}

// Announce tells other nodes of a session here. It never blocks.
func (s *Sessions) Announce(ss *Session) {
	s.courier.Publish(bus.User(ss.User), bus.Payload{Login: ss.Announcement()})
}

// AnnounceAll tells other nodes of every session here: while the bus was away
// they may not have heard of them.
func (s *Sessions) AnnounceAll(t Off) {
	s.Each(func(sessions []*Session) {
		batch := make([]bus.Message, len(sessions))
		for i, ss := range sessions {
			batch[i] = bus.Message{Channel: bus.User(ss.User), Payload: bus.Payload{Login: ss.Announcement()}}
		}
		s.courier.PublishNow(t, batch)
	})
}

// Recheck ends sessions whose token ended while the bus was away, when other
// nodes' word of it was not heard. A token that a session has just changed
// itself may not be known yet, so a bad one is looked at twice.
func (s *Sessions) Recheck(t Off) {
	var bad []*Session
	s.Each(func(sessions []*Session) {
		bad = append(bad, s.withoutToken(t, sessions)...)
	})
	if len(bad) == 0 {
		return
	}
	select {
	case <-t.Done():
		return
	case <-time.After(recheckAfter):
	}
	for _, ss := range s.withoutToken(t, bad) {
		s.Kick(ss, proto.LoggedOut, kickText(proto.LoggedOut))
	}
}

// withoutToken returns the sessions whose token is no longer good.
func (s *Sessions) withoutToken(t Off, sessions []*Session) (bad []*Session) {
	for _, ss := range sessions {
		if _, _, err := s.store.TokenDevice(t, ss.TokenHash()); errors.Is(err, model.ErrNotFound) {
			bad = append(bad, ss)
		}
	}
	return bad
}

// Revoker ends the sessions of users whom an operator has banned, deleted or
// given a new password in another process.
type Revoker struct {
	s    *Sessions
	last int64 // revocation handled; -1: none read yet
}

// NewRevoker starts with the revocations that come from now on. It blocks on
// the store.
func (s *Sessions) NewRevoker(t Off) *Revoker {
	v := &Revoker{s: s, last: -1}
	last, _, err := s.store.Revocations(t, -1)
	if err == nil {
		v.last = last
	} else if t.Err() == nil {
		s.log.Error("reading revocations failed", "err", err)
	}
	return v
}

// Look ends the sessions of users revoked since the last look. It blocks on the
// store.
func (v *Revoker) Look(t Off) {
	last, users, err := v.s.store.Revocations(t, v.last)
	if err != nil {
		if t.Err() == nil {
			v.s.log.Error("reading revocations failed", "err", err)
		}
		return
	}
	v.last = last
	for _, u := range users {
		for _, ss := range v.s.Sessions(u) {
			v.s.Kick(ss, proto.LoggedOut, "an operator ended this session")
		}
	}
}
