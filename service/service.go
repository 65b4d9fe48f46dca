// Package service is the chat of one node. It wires its packages together and
// dispatches requests to them:
//
//	login                      register, log in and out, change the password
//	messages, people, groups   the other requests
//	trace                      finds a message, for operators
//	delivery                   pushes committed messages to online sessions
//	presence                   tells users which friends are online
//	cluster                    which nodes are alive, and who is online on each
//	session                    sessions, and the order of each sender's messages
//	limits, bus                rate limits; messages between nodes
//
// A package imports only packages below it in this list.
package service

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/model"
	"chatd/model/feed"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/cluster"
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

// A function with a Turn runs on an event loop: it may use the state of that
// loop, and must not block. A function with an Off runs elsewhere: it may block,
// and must not use the state of a loop.
type (
	Turn = reactor.Turn
	Off  = reactor.Off
)

const (
	drainSlots = 64                     // different retry_after values while draining
	awayRepair = 200 * time.Millisecond // interval of repair while Redis is unavailable
	upkeep     = time.Minute            // how often old rows of the feed are deleted, and deletions of users finished
)

// Service is the chat of one node. It implements reactor.Handler. Its method
// Committed is the sink of the message log.
type Service struct {
	cfg Config
	log *slog.Logger
	set *metrics.Set

	events   *metrics.Counter
	sessions *session.Sessions
	cluster  *cluster.Cluster
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

	nudge  chan struct{} // starts repair at once: the bus became available or unavailable
	back   chan struct{} // the bus became available
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// New returns a Service. Call Start before it serves requests.
func New(cfg Config, log *slog.Logger, set *metrics.Set) *Service {
	if set == nil {
		set = metrics.NewSet()
	}
	s := &Service{cfg: cfg, log: log, set: set, nudge: make(chan struct{}, 1), back: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.events = set.NewCounter("chatd_service_events_total")
	s.sessions = session.NewSessions(&s.cfg.Session, log, set)
	s.cluster = cluster.New(&s.cfg.Cluster, log, set)
	s.presence = presence.New(&s.cfg.Presence, log)
	s.delivery = delivery.New(&s.cfg.Delivery, log, set)
	return s
}

// Start connects the service to the reactor, the store and the bus, and starts
// its goroutines. node and epoch, the node's name and the store's epoch, are for
// LOGIN_ACK. Call Start before the reactor's Start. It blocks on the store,
// and returns an error if that can't be read, or if the reactor has more than 64 loops.
func (s *Service) Start(r *reactor.Reactor, store Store, b bus.Bus, node string, epoch int64) error {
	s.courier = bus.NewCourier(b, s.set.GetOrCreateCounter("chatd_service_notices_dropped_total"))
	s.limits = limits.New(&s.cfg.Limits, s.sessions.Limited, r.Now())
	s.sessions.Start(r, s.courier, store, s.limits, func(t Turn, ss *session.Session) { s.delivery.On(t).End(t, ss) })
	s.cluster.Start(node, b, s.presence, s.cfg.Presence.Grace)
	s.presence.Start(s.cluster, b, s.courier, store, s.sessions)
	err := s.delivery.Start(delivery.Deps{Context: s.ctx, Reactor: r, Store: store, Bus: b, Courier: s.courier,
		Sessions: s.sessions, Presence: s.presence, Limits: s.limits})
	if err != nil {
		return err
	}
	s.messages = messages.New(s.log, store, s.courier, s.sessions, s.delivery, r.Loops(), s.events)
	s.people = people.New(&s.cfg.People, store, s.courier, s.sessions, s.presence, s.delivery)
	s.groups = groups.New(&s.cfg.Groups, s.log, s.cfg.Audit, store, s.presence, s.delivery)
	s.logins = login.New(&s.cfg.Login, login.Deps{Reactor: r, Store: store, Courier: s.courier, Sessions: s.sessions,
		Presence: s.presence, Delivery: s.delivery, Limits: s.limits, People: s.people, Groups: s.groups, Messages: s.messages,
		Audit: s.cfg.Audit, Node: node, Epoch: epoch})
	s.tracer = trace.NewTracer(node, store, s.sessions, s.presence, s.delivery, s.cfg.Presence.Grace)
	s.table = s.newTable()

	s.run(func(t Off) { s.courier.Run(t) })
	s.run(s.cluster.Run)
	s.run(s.presence.Run)
	s.run(func(t Off) { s.presence.RunGone(t) })
	repair := s.delivery.NewRepair(reactor.OffLoop(s.ctx), s.noticed)
	s.run(func(t Off) { s.repair(t, repair) })
	s.run(s.afterOutages)
	s.run(func(t Off) {
		every(t, upkeep, func() {
			if err := store.TrimFeed(t); err != nil && t.Err() == nil {
				s.log.Error("trimming the feed failed", "err", err)
			}
			if err := store.FinishDeletions(t); err != nil && t.Err() == nil {
				s.log.Error("removing a deleted user failed; retrying", "err", err)
			}
		})
	})
	s.run(func(t Off) { every(t, session.UseEvery, s.sessions.RecordUse) })
	s.run(func(t Off) { every(t, delivery.SaveEvery, s.delivery.SaveProgress) })
	return nil
}

// run calls f in a goroutine. f must return when its Off ends.
func (s *Service) run(f func(t Off)) {
	s.wg.Go(func() { f(reactor.OffLoop(s.ctx)) })
}

// every calls f once per d until t ends.
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

// Stop ends the service's goroutines and waits for them. It doesn't end
// sessions; they end when the reactor stops.
func (s *Service) Stop() {
	s.cancel()
	s.wg.Wait()
}

// Draining returns the body of the KICK for the n-th connection that a draining
// node closes. The values of retry_after spread the reconnects over DrainSpread,
// so that the other nodes aren't flooded with logins.
func (s *Service) Draining(n int) []byte {
	return session.DrainingBody("this node is shutting down; reconnect", s.cfg.DrainSpread*time.Duration(n%drainSlots)/drainSlots)
}

// Committed handles a batch of messages that the log has stored or failed to
// store, and of changes of groups; see delivery.Delivery.Committed.
func (s *Service) Committed(ctx context.Context, batch []*model.Append) {
	s.delivery.Committed(ctx, batch)
}

// ID returns the ID under which other nodes know this one.
func (s *Service) ID() int64 { return int64(s.cluster.ID()) }

// Hears reports whether this node gets what the node with an ID publishes. It returns
// true while that isn't certain. Call it after Start.
func (s *Service) Hears(id int64) bool {
	return !s.presence.Certain() || s.cluster.Hears(bus.NodeID(id))
}

// Groups returns the commands that change groups, for callers other than clients'
// requests. Call it after Start.
func (s *Service) Groups() *groups.Commands { return &s.groups.Commands }

// People returns the commands that change friends and blocks; see Groups.
func (s *Service) People() *people.Commands { return &s.people.Commands }

// Messages returns the handler of messages, whose Send is for callers other than
// clients' requests. Call it after Start.
func (s *Service) Messages() *messages.Messages { return s.messages }

// Receive handles messages from other nodes. The bus calls it, in the order of
// each publisher. It doesn't block.
func (s *Service) Receive(ms []bus.Message) {
	for i := range ms {
		c, p := ms[i].Channel, ms[i].Payload
		switch {
		case p.NewMessages != nil:
			s.delivery.NewMessages(p.NewMessages)
		case p.Push != nil && c.Kind == bus.GroupChannel: // see bus.Push: this is an event
			s.delivery.GroupEventElsewhere(c.ID, p.Push.Body)
		case p.Push != nil && p.Push.About.Number != 0:
			s.sessions.TellOfHere(c.ID, p.Push.About, p.Push.Body, nil)
		case p.Push != nil:
			s.sessions.TellHere(c.ID, p.Push.Body, nil)
		case p.Presence != nil:
			s.presence.OnlineElsewhere(c.ID, p.Presence)
		case p.Relation != nil:
			s.presence.RelationElsewhere(c.ID, p.Relation)
		case p.Ended != nil:
			s.sessions.EndedElsewhere(p.Ended)
		case p.Members != nil:
			s.delivery.MembersChangedElsewhere(c, p.Members)
		case p.Blocked != nil:
			s.delivery.ForgetBlock(p.Blocked)
		case p.Wrong != nil:
			s.logins.WrongElsewhere(p.Wrong)
		case c == bus.Nodes:
			s.cluster.Receive(&p)
		}
	}
}

// BusChanged handles a change of the bus: up is false when Redis becomes
// unavailable and true when it is available again. Any goroutine may call it. It
// doesn't block.
func (s *Service) BusChanged(up bool) {
	s.cluster.BusChanged(up)
	s.presence.BusChanged(up)
	signal(s.nudge)
	if up {
		signal(s.back)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// afterOutages tells other nodes of the sessions here whenever the bus is available
// again.
func (s *Service) afterOutages(t Off) {
	for {
		select {
		case <-t.Done():
			return
		case <-s.back:
		}
		s.sessions.AnnounceAll(t)
	}
}

// noticed handles notices of transactions that other processes have committed. Their
// hints may have come before, may come later, or may be lost.
func (s *Service) noticed(n *feed.Notices) {
	for i := range n.Relations {
		s.people.Changed(&n.Relations[i])
	}
	for i := range n.Reads {
		s.messages.ReadElsewhere(&n.Reads[i])
	}
}

// repair finds messages and membership changes that sessions missed for any
// reason. It reads the feed every RepairEvery, every awayRepair while the bus is
// unavailable, and at once when that changes.
func (s *Service) repair(t Off, r *delivery.Repair) {
	for {
		certain := s.presence.Certain() // not just after an outage either, when other nodes may not publish yet
		if err := r.Look(t, certain); err != nil && t.Err() == nil {
			s.log.Error("reading the feed failed; retrying", "err", err)
		}
		wait := s.cfg.Delivery.RepairEvery
		if !certain {
			wait = min(wait, awayRepair)
		}
		timer := time.NewTimer(wait)
		select {
		case <-t.Done():
			timer.Stop()
			return
		case <-s.nudge:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// Trace finds a message in the store, and reports whether each session on this
// node has it. It blocks: don't call it on an event loop. Call it after Start.
// Its errors are those of trace.Tracer.Trace.
func (s *Service) Trace(ctx context.Context, q trace.Query) (*trace.Result, error) {
	return s.tracer.Trace(ctx, q)
}
