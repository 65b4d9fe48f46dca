// Package session has the sessions of one node, the registry in which other
// goroutines find them, and the order of the messages that a connection sends
// (order.go). It ends sessions that were replaced by a login on another node.
// The cursors of sessions are in package delivery.
package session

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/limits"
)

// recheckAfter is the time after which Recheck checks an invalid token again.
const recheckAfter = time.Second

// recheckBatch is the number of tokens that Recheck checks with one query.
const recheckBatch = 256

// retrySlots is the number of different delays of EndAll.
const retrySlots = 64

// Store holds the methods of the store that sessions need. Both may block.
type Store interface {
	ValidTokens(ctx context.Context, tokenHashes [][]byte) ([]bool, error)
	Revocations(ctx context.Context, after int64) (last int64, users []int64, err error)
}

// Sessions has the sessions of one node. Methods without a Turn may be called
// from any goroutine.
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

// NewSessions returns the Sessions of a node. Call Start before the first
// connection.
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

// Start sets the dependencies. end is called on a session's loop to end it.
func (s *Sessions) Start(r *reactor.Reactor, c *bus.Courier, store Store, l *limits.Limits, end func(t Turn, ss *Session)) {
	s.r, s.courier, s.store, s.limits, s.end = r, c, store, l, end
}

// Tell sends a notice to all sessions of a user, on all nodes and except one. It
// doesn't block.
func (s *Sessions) Tell(user int64, body []byte, except *Session) {
	s.TellHere(user, body, except)
	s.courier.Publish(bus.User(user), bus.Payload{Push: &bus.Push{Body: body}})
}

// TellHere is like Tell, but only for sessions on this node.
func (s *Sessions) TellHere(user int64, body []byte, except *Session) {
	for _, ss := range s.Sessions(user) {
		if ss != except {
			_ = s.r.Post(ss.Loop, func(t Turn) { ss.Notify(t, body) }) // an error means that the reactor has stopped
		}
	}
}

// Kick ends a session: it sends KICK and closes the connection. It doesn't
// block.
func (s *Sessions) Kick(ss *Session, reason, why string) { s.finish(ss, kickBody(reason, why)) }

// finish ends a session: it sends body and closes the connection.
func (s *Sessions) finish(ss *Session, body []byte) {
	_ = s.r.Post(ss.Loop, func(t Turn) { // an error means that the reactor has stopped
		if ss.Ended(t) {
			return
		}
		s.end(t, ss)
		ss.Conn(t).Finish(t, body)
	})
}

// EndAll ends all sessions on this node as if it were draining. It tells the clients
// to reconnect, spread over a time. It doesn't block.
func (s *Sessions) EndAll(why string, spread time.Duration) {
	n := time.Duration(0)
	s.Each(func(sessions []*Session) {
		for _, ss := range sessions {
			s.finish(ss, DrainingBody(why, spread*(n%retrySlots)/retrySlots))
			n++
		}
	})
}

// DrainingBody returns the body of a KICK after which the client should reconnect,
// but not before the given time.
func DrainingBody(why string, after time.Duration) []byte {
	return proto.AppendResponse(nil, &proto.Response{Op: proto.KICK, Reason: proto.Draining, ErrMsg: why,
		RetryAfter: 100 + after.Milliseconds()})
}

// Replace ends a session because its device has logged in again.
func (s *Sessions) Replace(ss *Session) { s.Kick(ss, proto.Replaced, kickText(proto.Replaced)) }

// FinishReplaced sends KICK and closes a connection whose login was overtaken
// by a later login of the same device.
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

// EndDevices ends sessions of a user on all nodes; see bus.Login. It doesn't
// block.
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

// LoginElsewhere handles the announcement of a login on another node. It ends
// the session of that device here. It announces sessions here that the other
// node may not know of: a later one of the same device, and those of other
// devices, whose announcements may have been sent before the other node
// subscribed.
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

// Announce announces a session to other nodes. It doesn't block.
func (s *Sessions) Announce(ss *Session) {
	s.courier.Publish(bus.User(ss.User), bus.Payload{Login: ss.Announcement()})
}

// AnnounceAll tells other nodes of all sessions here, after announcements may
// have been lost because the bus was unavailable. It blocks.
func (s *Sessions) AnnounceAll(t Off) {
	s.Each(func(sessions []*Session) {
		batch := make([]bus.Message, len(sessions))
		for i, ss := range sessions {
			batch[i] = bus.Message{Channel: bus.User(ss.User), Payload: bus.Payload{Login: ss.Announcement()}}
		}
		_ = s.courier.PublishNow(t, batch) // it counts what is lost
	})
}

// Recheck ends sessions whose tokens were revoked on other nodes while the bus
// was unavailable. It checks invalid tokens twice: a session whose user has
// just changed the password may not have its new token yet. It blocks.
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

// withoutToken returns the sessions whose token isn't valid. It leaves out those for
// which the store returns an error.
func (s *Sessions) withoutToken(t Off, sessions []*Session) (bad []*Session) {
	for some := range slices.Chunk(sessions, recheckBatch) {
		hashes := make([][]byte, len(some))
		for i, ss := range some {
			hashes[i] = ss.TokenHash()
		}
		valid, err := s.store.ValidTokens(t, hashes)
		if err != nil && t.Err() == nil {
			s.log.Error("checking the tokens of sessions failed", "sessions", len(some), "err", err)
		}
		for i := range valid {
			if !valid[i] {
				bad = append(bad, some[i])
			}
		}
	}
	return bad
}

// Revoker ends the sessions of users whom an operator has banned or deleted, or
// whose password an operator has changed. Operators do that in other processes,
// so it reads these revocations from the store.
type Revoker struct {
	s    *Sessions
	last int64 // the last revocation that was handled; -1: none read yet
}

// NewRevoker returns a Revoker for revocations after the call. It blocks.
func (s *Sessions) NewRevoker(t Off) *Revoker {
	v := &Revoker{s: s, last: -1}
	last, _, err := s.store.Revocations(t, -1)
	if err == nil {
		v.last = last
	} else if t.Err() == nil {
		s.log.Error("reading revocations failed; retrying", "err", err)
	}
	return v
}

// Look handles the revocations since the last call. It blocks.
func (v *Revoker) Look(t Off) {
	last, users, err := v.s.store.Revocations(t, v.last)
	if err != nil {
		if t.Err() == nil {
			v.s.log.Error("reading revocations failed; retrying", "err", err)
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
