// Package delivery brings what the log has committed to those who are online:
// to other nodes (route.go), to the sessions on each event loop (deliver.go),
// and, where a session misses something, from the log itself (backlog.go).
// Repair (repair.go) finds what no one was told of.
//
// Each event loop has its own topics and cursors (topics.go), which only its
// goroutine touches. What loops share is in session.Registry.
package delivery

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/model"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/limits"
	"chatd/service/presence"
	"chatd/service/session"
)

// Turn is the right to touch the state of one event loop; Off is the right to
// block.
type (
	Turn = reactor.Turn
	Off  = reactor.Off
)

const (
	maxLoops      = 64                     // a set of loops is a uint64
	backlogBytes  = 256 << 10              // waiting for a connection, from which on its backlog pauses
	maxAcked      = 1024                   // acknowledged seqs beyond a gap that are remembered
	blockCacheLen = 16384                  // pairs whose blocks a loop remembers
	quietAfter    = 10 * time.Minute       // then a pair's topic is dropped
	retryRead     = time.Second            // after an error of the store
	retryBusy     = 100 * time.Millisecond // after a full lane
	earlyWait     = 20 * time.Millisecond  // that a message waits for those with lower seqs
	maxEarly      = 256                    // such messages of one conversation
	sweepOverlap  = 30                     // seconds that each sweep reads again: a transaction may commit late
	maxKnown      = 1 << 16                // groups whose versions repair remembers
)

// SaveEvery is how often SaveProgress has to be called.
const SaveEvery = 10 * time.Second

// Store is what delivery asks of the data. SetDelivered and FlushSoon don't block;
// the others may.
type Store interface {
	Page(ctx context.Context, conv, after int64, limit, maxBytes int) ([]model.Message, error)
	VisibleRange(ctx context.Context, user, group, peer int64) (model.VisibleRange, error)
	DeliveredSeqs(ctx context.Context, conv int64, of []model.DeviceKey) ([]int64, error)
	MemberIDs(ctx context.Context, group int64) (version int64, members []model.Member, err error)
	ChangedSince(ctx context.Context, since int64) (now int64, heads []model.LogHead, err error)
	Blocked(ctx context.Context, by, whom int64) (bool, error)
	SetDelivered(user int64, device string, conv, seq int64)
	FlushSoon(user int64)
}

// Delivery is the delivery of one node. Its methods may be called from any
// goroutine and don't block, unless they say otherwise.
type Delivery struct {
	cfg *Config
	log *slog.Logger
	m   counters

	r        *reactor.Reactor
	store    Store
	bus      bus.Bus
	courier  *bus.Courier
	sessions *session.Sessions
	presence *presence.Presence
	limits   *limits.Limits
	ctx      context.Context // ends with the service

	topics []*TopicsOnLoop // by loop
}

type counters struct {
	pushes, catchUps, reloads, eventsDropped, hintsDropped *metrics.Counter
}

// New makes the delivery of a node. Call Start before any session begins.
func New(cfg *Config, log *slog.Logger, set *metrics.Set) *Delivery {
	return &Delivery{cfg: cfg, log: log, m: counters{
		pushes:        set.NewCounter("chatd_service_pushes_total"),
		catchUps:      set.NewCounter("chatd_service_catchup_reads_total"),
		reloads:       set.NewCounter("chatd_service_member_reloads_total"),
		eventsDropped: set.NewCounter("chatd_service_events_dropped_total"),
		hintsDropped:  set.NewCounter("chatd_service_hints_dropped_total"),
	}}
}

// Deps is what delivery works with.
type Deps struct {
	Context  context.Context // ends with the service
	Reactor  *reactor.Reactor
	Store    Store
	Bus      bus.Bus
	Courier  *bus.Courier
	Sessions *session.Sessions
	Presence *presence.Presence
	Limits   *limits.Limits
}

// Start gives delivery what it works with. An error: the reactor has more than
// 64 loops.
func (d *Delivery) Start(on Deps) error {
	d.ctx, d.r, d.store, d.bus, d.courier = on.Context, on.Reactor, on.Store, on.Bus, on.Courier
	d.sessions, d.presence, d.limits = on.Sessions, on.Presence, on.Limits
	if on.Reactor.Loops() > maxLoops {
		return errors.New("delivery: more than 64 event loops")
	}
	for i := range on.Reactor.Loops() {
		d.topics = append(d.topics, newTopics(d, i, on.Reactor.Loops()))
	}
	return nil
}

// On are the topics of the loop whose turn it is.
func (d *Delivery) On(t Turn) *TopicsOnLoop { return d.topics[t.Loop()] }

// MaxPage is the most messages that one page has.
func (d *Delivery) MaxPage() int { return d.cfg.MaxPage }

// each runs f on every loop, soon.
func (d *Delivery) each(f func(t Turn, l *TopicsOnLoop)) {
	for i, l := range d.topics {
		_ = d.r.Post(i, func(t Turn) { f(t, l) }) // stopped: there is nothing left to do
	}
}

// SaveProgress stores how far sessions without receipts have come, and forgets
// pairs in which nothing happens any more. Call it every SaveEvery.
func (d *Delivery) SaveProgress() {
	d.each(func(t Turn, l *TopicsOnLoop) { l.saveProgress(t) })
}
