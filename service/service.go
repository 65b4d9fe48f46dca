// Package service is the chat of one node. It wires its packages together and
// dispatches requests to them:
//
//	login                             handlers of logins
//	messages, people, groups, trace   other handlers; diagnostics
//	delivery                          what was committed, to those who are online
//	presence                          who is online, and who was told
//	session                           sessions, and the order of a sender's messages
//	limits, bus                       rate limits; what nodes tell each other
//
// Imports point down this list only.
package service

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/delivery"
	"chatd/service/groups"
	"chatd/service/limits"
	"chatd/service/login"
	"chatd/service/messages"
	"chatd/service/people"
	"chatd/service/presence"
	"chatd/service/session"
	"chatd/service/trace"
)

// Turn is the right to touch the state of one event loop; Off is the right to
// block. No code has both.
type (
	Turn = reactor.Turn
	Off  = reactor.Off
)

const (
	drainSlots  = 64          // into which reconnects are spread
	awaySweep   = time.Second // how often repair looks while the bus is away
	revokeEvery = time.Second // how often revocations are read
)

// Service is the chat of one node. It is the reactor's Handler, and Committed is
// the log's sink.
type Service struct {
	cfg Config
	log *slog.Logger
	set *metrics.Set

	events   *metrics.Counter
	sessions *session.Sessions
	presence *presence.Presence
	delivery *delivery.Delivery
	courier  *bus.Courier
	limits   *limits.Limits
	messages *messages.Messages
	people   *people.People
	groups   *groups.Groups
	logins   *login.Logins
	tracer   *trace.Tracer
	table    [proto.OpCount]row

	nudge  chan struct{} // the bus is up or away: repair looks at once
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// New makes a service. It serves nothing before Start.
func New(cfg Config, log *slog.Logger, set *metrics.Set) *Service {
	if set == nil {
		set = metrics.NewSet()
	}
	s := &Service{cfg: cfg, log: log, set: set, nudge: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.events = set.NewCounter("chatd_service_events_total")
	s.sessions = session.NewSessions(&s.cfg.Session, log, set)
	s.presence = presence.New(&s.cfg.Presence, log)
	s.delivery = delivery.New(&s.cfg.Delivery, log, set)
	return s
}

// Start gives the service what it works with, and the node's name and the
// store's epoch for its clients, and starts its goroutines. Call it before the
// reactor's Start.
func (s *Service) Start(r *reactor.Reactor, store Store, b bus.Bus, node string, epoch int64) error {
	s.courier = bus.NewCourier(b, s.set.GetOrCreateCounter("chatd_service_notices_dropped_total"))
	s.limits = limits.New(&s.cfg.Limits, s.sessions.Limited, r.Now())
	s.sessions.Start(r, s.courier, store, s.limits, func(t Turn, ss *session.Session) { s.delivery.On(t).End(t, ss) })
	s.presence.Start(b, s.courier, store, s.sessions)
	err := s.delivery.Start(delivery.Deps{Context: s.ctx, Reactor: r, Store: store, Bus: b, Courier: s.courier,
		Sessions: s.sessions, Presence: s.presence, Limits: s.limits})
	if err != nil {
		return err
	}
	s.messages = messages.New(store, s.courier, s.sessions, s.delivery, r.Loops(), s.events)
	s.people = people.New(&s.cfg.People, s.log, store, s.courier, s.sessions, s.presence, s.delivery)
	s.groups = groups.New(&s.cfg.Groups, s.log, store, s.presence, s.delivery)
	s.logins = login.New(&s.cfg.Login, login.Deps{Reactor: r, Store: store, Bus: b, Courier: s.courier, Sessions: s.sessions,
		Presence: s.presence, Delivery: s.delivery, Limits: s.limits, People: s.people, Groups: s.groups, Messages: s.messages,
		Node: node, Epoch: epoch})
	s.tracer = trace.NewTracer(node, store, b, s.sessions, s.presence, s.delivery, s.cfg.Presence.Grace)
	s.table = s.newTable()

	s.run(func(t Off) { s.courier.Run(t) })
	s.run(s.presence.Run)
	s.run(s.repair)
	s.run(func(t Off) {
		v := s.sessions.NewRevoker(t)
		every(t, revokeEvery, func() { v.Look(t) })
	})
	s.run(func(t Off) { every(t, s.cfg.Presence.LookEvery, func() { s.presence.LookAfter(t) }) })
	s.run(func(t Off) { every(t, delivery.SaveEvery, s.delivery.SaveProgress) })
	return nil
}

// run starts a goroutine that may block, and ends when the service stops.
func (s *Service) run(f func(t Off)) {
	s.wg.Go(func() { f(reactor.OffLoop(s.ctx)) })
}

// every calls f each d until t ends.
func every(t Off, d time.Duration, f func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-t.Done():
			return
		case <-tick.C:
			f()
		}
	}
}

// Stop ends the service's goroutines and waits for them. Sessions end with the
// reactor, before or after.
func (s *Service) Stop() {
	s.cancel()
	s.wg.Wait()
}

// Draining is the body of the KICK for the n-th connection of a node that goes
// away. Its retry_after spreads the reconnects over DrainSpread, so that they
// don't storm the other nodes.
func (s *Service) Draining(n int) []byte {
	retry := s.cfg.DrainSpread.Milliseconds() * int64(n%drainSlots) / drainSlots
	return proto.AppendResponse(nil, &proto.Response{Op: proto.KICK, Reason: proto.Draining,
		ErrMsg: "this node is shutting down; reconnect", RetryAfter: 100 + retry})
}

// Committed takes messages that the log has stored or failed; see
// delivery.Delivery.Committed.
func (s *Service) Committed(ctx context.Context, batch []*model.Append) {
	s.delivery.Committed(ctx, batch)
}

// Receive takes what other nodes have published. The bus calls it in the order
// of each publisher. It doesn't block.
func (s *Service) Receive(ms []bus.Message) {
	for i := range ms {
		c, p := ms[i].Channel, ms[i].Payload
		switch {
		case p.NewMessages != nil:
			s.delivery.NewMessages(p.NewMessages)
		case p.Notice != nil && c.Group: // on a group's channel a notice is an event
			s.delivery.GroupEventElsewhere(c.ID, p.Notice.Body)
		case p.Notice != nil:
			s.sessions.TellHere(c.ID, p.Notice.Body, nil)
		case p.Presence != nil:
			s.presence.InformHere(c.ID, p.Presence)
		case p.Login != nil:
			s.sessions.LoginElsewhere(p.Login)
		case p.Members != nil:
			s.delivery.MembersChangedElsewhere(c, p.Members)
		case p.Blocked != nil:
			s.delivery.ForgetBlock(p.Blocked)
		}
	}
}

// BusChanged is called by the bus when it is away or up again, once for each
// change, the first time with up. Any goroutine may call it. It never blocks.
func (s *Service) BusChanged(up bool) {
	s.presence.BusChanged(up)
	select {
	case s.nudge <- struct{}{}:
	default:
	}
}

// repair brings sessions up to date that were not told of something, whatever
// the reason: every SweepEvery, more often while the bus is away, and at once
// when it goes or comes back.
func (s *Service) repair(t Off) {
	r := s.delivery.NewRepair()
	for nudged := false; ; {
		if err := r.Look(t); err != nil && t.Err() == nil {
			s.log.Error("the repair sweep failed", "err", err)
		}
		if nudged && !s.presence.BusAway() {
			s.sessions.AnnounceAll(t)
			s.sessions.Recheck(t)
		}
		wait := s.cfg.Delivery.SweepEvery
		if !s.presence.Certain() { // nor do other nodes publish as soon as this one is back
			wait = min(wait, awaySweep)
		}
		timer := time.NewTimer(wait)
		nudged = false
		select {
		case <-t.Done():
			timer.Stop()
			return
		case <-s.nudge:
			timer.Stop()
			nudged = true
		case <-timer.C:
		}
	}
}

// Trace tells where a message is: what the store knows, and how far each session
// of this node has been sent. It blocks; call it off the loops, after Start.
// Errors are those of trace.Find.
func (s *Service) Trace(ctx context.Context, q trace.Query) (*trace.Result, error) {
	return s.tracer.Trace(ctx, q)
}
