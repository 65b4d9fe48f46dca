// Package service is the chat: a dispatch table of handlers, sessions and
// devices, friends and groups, and the routing of what the log has committed
// to those who are online.
//
// A message goes through dispatch.go (which handler?), chat.go (checked,
// handed to the log) and route.go (committed: to local sessions, other nodes
// and, as an ACK, the sender). What a session has been sent of a conversation
// is kept in topic.go; what it lacks is read from the log in backlog.go. Live
// messages, offline messages and repair are the same cursor in the same log.
//
// State of a connection or a conversation belongs to one event loop and is
// touched with a Turn only; what is shared between loops is in registry.go.
package service

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
)

// Turn is the right to touch the state of one event loop; Off the right to
// block. No code has both.
type (
	Turn = reactor.Turn
	Off  = reactor.Off
)

// Bus is how nodes tell each other what is new. bus.Node implements it.
// Only Await, Publish, Online and Now may block, for half a second or until
// their context ends.
type Bus interface {
	// Subscribe and Unsubscribe count: the last Unsubscribe ends it.
	Subscribe(bus.Channel)
	Unsubscribe(bus.Channel)
	// Await returns when all subscriptions made before are in force.
	Await(context.Context) error
	// Reaches is false where certainly nobody else listens.
	Reaches(bus.Channel) bool
	// Publish offers messages to all other nodes, in order.
	Publish(context.Context, []bus.Message) error
	// Online tells which users have a session on any node. With an error
	// comes what is certain all the same: who is online here.
	Online(context.Context, []int64) ([]bool, error)
	// Now is the time by the one clock of all nodes, in Unix microseconds.
	Now(context.Context) int64
}

// Service is the chat of one node. It is the reactor's Handler, and gets what
// the log has committed through Committed.
type Service struct {
	cfg   Config
	node  string
	epoch int64
	log   *slog.Logger
	store Store
	bus   Bus
	r     *reactor.Reactor

	registry registry
	loops    []*loop
	presence *presence
	courier  chan bus.Message
	away     atomic.Bool   // the bus is: only the log tells what other nodes store
	nudge    chan struct{} // it has gone or come back
	pass     *passwords
	proven   atomic.Int64 // logins whose token was looked at
	limits   *limits
	m        counters

	unanswered *unanswered

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

type counters struct {
	pushes, acks, events, logins, refused, internal, catchUps, reloads, dropped *metrics.Counter
	eventsDropped, hintsDropped, behind                                         *metrics.Counter
	forgotUsers, forgotAddrs, forgotAccounts                                    *metrics.Counter
	limited                                                                     [limitKinds]*metrics.Counter
}

// New makes a service; it serves nothing before Start.
func New(cfg Config, log *slog.Logger, set *metrics.Set) *Service {
	if set == nil {
		set = metrics.NewSet()
	}
	s := &Service{cfg: cfg, log: log, courier: make(chan bus.Message, courierLen), nudge: make(chan struct{}, 1), pass: newPasswords(cfg.Argon2.Params)}
	s.unanswered = newUnanswered(cfg.MaxUnanswered, set)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.registry.init()
	s.presence = newPresence(s)
	s.m = counters{
		pushes:   set.NewCounter("chatd_service_pushes_total"),
		acks:     set.NewCounter("chatd_service_acks_total"),
		events:   set.NewCounter("chatd_service_events_total"),
		logins:   set.NewCounter("chatd_service_logins_total"),
		refused:  set.NewCounter("chatd_service_refused_total"),
		internal: set.NewCounter("chatd_service_internal_errors_total"),
		catchUps: set.NewCounter("chatd_service_catchup_reads_total"),
		reloads:  set.NewCounter("chatd_service_member_reloads_total"),
		dropped:  set.NewCounter("chatd_service_notices_dropped_total"),

		eventsDropped: set.NewCounter("chatd_service_events_dropped_total"),
		hintsDropped:  set.NewCounter("chatd_service_hints_dropped_total"),
		behind:        set.NewCounter("chatd_service_behind_failed_total"),

		forgotUsers:    set.NewCounter(`chatd_service_limits_forgotten_total{of="users"}`),
		forgotAddrs:    set.NewCounter(`chatd_service_limits_forgotten_total{of="addresses"}`),
		forgotAccounts: set.NewCounter(`chatd_service_limits_forgotten_total{of="accounts"}`),
	}
	for k := range s.m.limited {
		s.m.limited[k] = set.NewCounter(`chatd_service_limited_total{limit="` + limitNames[k] + `"}`)
	}
	set.NewGauge("chatd_service_sessions", func() float64 { return float64(s.registry.count.Load()) })
	return s
}

// Start gives the service what it works with, and what it tells clients of
// the node and the store, and starts its goroutines. Call it before the
// reactor's Start.
func (s *Service) Start(r *reactor.Reactor, store Store, b Bus, node string, epoch int64) error {
	s.r, s.store, s.bus, s.node, s.epoch = r, store, b, node, epoch
	s.limits = newLimits(&s.cfg, &s.m, r.Now())
	s.loops = make([]*loop, r.Loops())
	if len(s.loops) > maxLoops {
		return errors.New("service: more than 64 event loops")
	}
	for i := range s.loops {
		s.loops[i] = newLoop(s, i)
	}
	s.run(s.presence.run)
	s.run(s.carry)
	s.run(s.sweep)
	s.run(s.revoke)
	s.run(s.presence.look)
	s.run(s.settle)
	return nil
}

// run starts a goroutine that ends when the service stops, with the right to
// block.
func (s *Service) run(f func(t Off)) {
	s.wg.Go(func() { f(reactor.OffLoop(s.ctx)) })
}

// Stop ends the service's goroutines and waits for them. Sessions end with
// the reactor, before or after.
func (s *Service) Stop() {
	s.cancel()
	s.wg.Wait()
}

// Idle reports whether all that a connection has asked for is answered: the
// condition on which a draining node may close it.
func (s *Service) Idle(t Turn, c *reactor.Conn) bool {
	x, _ := c.Data(t).(*client)
	return x == nil || !x.busy && len(x.sending) == 0
}

// Draining is the body of the KICK for the n-th connection of a node that
// goes away: they are told to come back spread over some seconds, so that
// the other nodes are not stormed.
func (s *Service) Draining(n int) []byte {
	retry := s.cfg.DrainSpread.Milliseconds() * int64(n%drainSlots) / drainSlots
	return proto.AppendResponse(nil, &proto.Response{Op: proto.KICK, Reason: proto.Draining,
		ErrMsg: "the server is going down for a restart", RetryAfter: 100 + retry})
}

// carry publishes what the loops want other nodes to know. Chat messages
// don't come this way: their publishing belongs to their commit.
func (s *Service) carry(t Off) {
	batch := make([]bus.Message, 0, courierBatch)
	for {
		select {
		case <-t.Done():
			return
		case m := <-s.courier:
			batch = append(batch[:0], m)
		}
		for len(batch) < courierBatch && len(s.courier) > 0 {
			batch = append(batch, <-s.courier)
		}
		ctx, cancel := context.WithTimeout(t, publishTimeout)
		if err := s.bus.Publish(ctx, batch); err != nil {
			s.m.dropped.Add(len(batch))
		}
		cancel()
	}
}

// BusChanged is the bus's word that it is away, or back: from any goroutine,
// never blocking. It says so once for each change, beginning with up.
func (s *Service) BusChanged(up bool) {
	s.away.Store(!up)
	if up {
		s.presence.busBack()
	}
	select {
	case s.nudge <- struct{}{}:
	default:
	}
}

// await waits until what was subscribed is in force: until then, what other
// nodes store goes by. It doesn't wait for a bus that is slow or away: the
// sweep finds what was missed.
func (s *Service) await(t Off) {
	ctx, cancel := context.WithTimeout(t, publishTimeout)
	defer cancel()
	_ = s.bus.Await(ctx)
}

// publish hands a notice to the courier; it never blocks. A full courier
// drops it, and counts: notices are hints, the store has what they tell.
func (s *Service) publish(c bus.Channel, p bus.Payload) {
	if !s.bus.Reaches(c) {
		return
	}
	select {
	case s.courier <- bus.Message{Channel: c, Payload: p}:
	default:
		s.m.dropped.Inc()
	}
}

// publishEvent hands an event to the courier, unless that is nearly full: what
// is left of it is for notices, which somebody would miss.
func (s *Service) publishEvent(c bus.Channel, body []byte) {
	if !s.bus.Reaches(c) {
		return
	}
	if len(s.courier) > courierLen*3/4 {
		s.m.dropped.Inc()
		return
	}
	s.publish(c, bus.Payload{Notice: &bus.Notice{Body: bytes.Clone(body)}})
}

// tell sends a body to all sessions of a user but one, on whatever node.
func (s *Service) tell(user int64, body []byte, except *Session) {
	s.tellLocal(user, body, except)
	s.publish(bus.User(user), bus.Payload{Notice: &bus.Notice{Body: body}})
}

func (s *Service) tellLocal(user int64, body []byte, except *Session) {
	for _, ss := range s.registry.sessions(user) {
		if ss != except {
			_ = s.r.Post(ss.loop, func(t Turn) { s.loops[ss.loop].notice(t, ss, body) }) // stopped: nobody to tell
		}
	}
}

// every runs f each d until the service stops.
func (s *Service) every(t Off, d time.Duration, f func(t Off)) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-t.Done():
			return
		case <-tick.C:
			f(t)
		}
	}
}
