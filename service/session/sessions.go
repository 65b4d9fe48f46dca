// Package session has the sessions of one node, the registry in which other
// goroutines find them, and the order of the messages that a connection sends
// (order.go). It ends sessions that were replaced by a login on another node.
// The cursors of sessions are in package delivery.
package session

import (
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/model/feed"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/limits"
)

// usedWithin is how long a connected device may count as unused.
const usedWithin = 10 * time.Minute

// UseEvery is the interval at which RecordUse must be called.
const UseEvery = usedWithin / shardCount

// announceBatch is the maximum number of sessions that AnnounceAll publishes at once.
const announceBatch = 512

// retrySlots is the number of different delays of EndAll.
const retrySlots = 64

// Store holds the methods of the store that sessions need. They don't block.
type Store interface {
	SetUsed(user int64, device string)
}

// Sessions has the sessions of one node. Methods without a Turn may be called
// from any goroutine.
type Sessions struct {
	Registry
	Limited *limits.Metrics
	Window  int // see Config

	log     *slog.Logger
	set     *metrics.Set
	m       counters
	latency []*latencies // by loop
	pending *pending
	notices notices
	useTurn atomic.Uint64 // number of calls of RecordUse

	r       *reactor.Reactor
	courier *bus.Courier
	store   Store
	limits  *limits.Limits
	end     func(t Turn, ss *Session)
}

type counters struct {
	acks, logins, refused, internal, stopped, noticesDropped *metrics.Counter
	failedLogins                                             [loginFailures]*metrics.Counter
}

// NewSessions returns the Sessions of a node. Call Start before the first
// connection.
func NewSessions(cfg *Config, log *slog.Logger, set *metrics.Set) *Sessions {
	s := &Sessions{Window: cfg.Window, log: log, set: set, Limited: limits.NewMetrics(set), pending: newPending(cfg.MaxUnanswered, set), m: counters{
		acks:           set.NewCounter("chatd_service_acks_total"),
		logins:         set.NewCounter("chatd_service_logins_total"),
		refused:        set.NewCounter("chatd_service_refused_total"),
		internal:       set.NewCounter("chatd_service_internal_errors_total"),
		stopped:        set.NewCounter("chatd_service_behind_failed_total"),
		noticesDropped: set.GetOrCreateCounter("chatd_service_notices_dropped_total"),
	}}
	for r := range s.m.failedLogins {
		s.m.failedLogins[r] = set.NewCounter(`chatd_service_failed_logins_total{reason="` + failureNames[r] + `"}`)
	}
	s.Registry.init()
	s.notices.init()
	set.NewGauge("chatd_service_sessions", func() float64 { return float64(s.count.Load()) })
	return s
}

// Start sets the dependencies. end is called on a session's loop to end it.
func (s *Sessions) Start(r *reactor.Reactor, c *bus.Courier, store Store, l *limits.Limits, end func(t Turn, ss *Session)) {
	s.r, s.courier, s.store, s.limits, s.end = r, c, store, l, end
	for range r.Loops() {
		s.latency = append(s.latency, new(latencies))
	}
	s.set.RegisterMetricsWriter(func(w io.Writer) { writeLatencies(w, s.latency) })
}

// LoginFailure is the reason why a login failed.
type LoginFailure int

// The reasons. failureNames has their labels in chatd_service_failed_logins_total.
const (
	WrongPassword LoginFailure = iota // or no such account, or it is banned
	WrongToken
	LoginLimited // over a limit of logins, passwords or wrong passwords, or locked out after abuse
	LoginOvertaken
	LoginError // the database failed, or the node was busy
	loginFailures
)

var failureNames = [loginFailures]string{WrongPassword: "password", WrongToken: "token", LoginLimited: "limited", LoginOvertaken: "overtaken", LoginError: "error"}

// LoginFailed counts a login that failed. Any goroutine may call it.
func (s *Sessions) LoginFailed(why LoginFailure) { s.m.failedLogins[why].Inc() }

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

// End ends sessions on all nodes. It doesn't block. Other nodes also find in the
// feed what the hint tells them; see EndCommitted.
func (s *Sessions) End(ended []feed.Ended) {
	s.EndCommitted(ended)
	for i := range ended {
		e := &ended[i]
		s.courier.Publish(bus.User(e.User), bus.Payload{Ended: &bus.Ended{User: e.User, Device: e.Device, Before: e.Before, Keep: e.Keep, Reason: reason(e.Why)}})
	}
}

// EndCommitted ends sessions on this node that a transaction has ended, on this node
// or on another one. It doesn't block.
func (s *Sessions) EndCommitted(ended []feed.Ended) {
	for i := range ended {
		e := &ended[i]
		text := kickText(reason(e.Why))
		if e.Why == feed.ByOperator {
			text = "an operator ended this session"
		}
		s.endHere(e, text)
	}
}

func (s *Sessions) endHere(e *feed.Ended, text string) {
	for _, ss := range s.Sessions(e.User) {
		if e.Ends(ss.Device, ss.Number) {
			s.Kick(ss, reason(e.Why), text)
		}
	}
}

// reason returns the reason for the KICK.
func reason(why feed.Why) string {
	if why == feed.Replaced {
		return proto.Replaced
	}
	return proto.LoggedOut
}

// EndedElsewhere handles the hint that sessions were ended by another node. If it
// announces a session there, this node announces sessions here that the other node may
// not know of: a later one of the same device, and those of other devices, whose
// announcements may have been sent before the other node subscribed.
func (s *Sessions) EndedElsewhere(h *bus.Ended) {
	e := &feed.Ended{User: h.User, Device: h.Device, Before: h.Before, Keep: h.Keep, Why: feed.LoggedOut}
	if h.Reason == proto.Replaced {
		e.Why = feed.Replaced
	}
	s.endHere(e, kickText(h.Reason))
	if e.Why != feed.Replaced {
		return
	}
	news := s.SetElsewhere(e.User, e.Before)
	for _, ss := range s.Sessions(e.User) {
		if ss.Device == e.Device && ss.Number > e.Before || ss.Device != e.Device && news {
			s.Announce(ss)
		}
	}
}

// Announce announces a session to other nodes. It doesn't block.
func (s *Sessions) Announce(ss *Session) {
	s.courier.Publish(bus.User(ss.User), bus.Payload{Ended: ss.Announcement()})
}

// AnnounceAll tells other nodes of all sessions here, after announcements may
// have been lost because the bus was unavailable. It blocks.
func (s *Sessions) AnnounceAll(t Off) {
	s.Each(func(sessions []*Session) {
		for some := range slices.Chunk(sessions, announceBatch) {
			batch := make([]bus.Message, len(some))
			for i, ss := range some {
				batch[i] = bus.Message{Channel: bus.User(ss.User), Payload: bus.Payload{Ended: ss.Announcement()}}
			}
			_ = s.courier.PublishNow(t, batch) // it counts what is lost
		}
	})
}

// RecordUse records that the devices of some of the sessions on this node are in use.
// Call it every UseEvery: each session's turn comes every shardCount calls. It doesn't
// block.
func (s *Sessions) RecordUse() {
	for _, l := range s.some(int(s.useTurn.Add(1) % shardCount)) {
		s.store.SetUsed(l.User, l.Device)
	}
}

// RecordUseOf is RecordUse for the sessions of one user.
func (s *Sessions) RecordUseOf(user int64) {
	for _, ss := range s.Sessions(user) {
		s.store.SetUsed(ss.User, ss.Device)
	}
}
