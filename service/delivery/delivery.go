// Package delivery pushes committed messages to the sessions that are online.
// It publishes them to other nodes (route.go) and writes them to the sessions
// on each event loop (deliver.go). A session that has missed messages gets them
// from the log (backlog.go). Repair (repair.go) finds messages that
// this node hasn't heard of.
//
// Each event loop has its own topics and cursors (topics.go), which only its
// goroutine uses. Data that loops share is in session.Registry.
package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/model"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/limits"
	"chatd/service/presence"
	"chatd/service/session"
)

// Turn and Off are short names for the types of package reactor.
type (
	Turn = reactor.Turn
	Off  = reactor.Off
)

const (
	maxLoops      = 64                     // a set of loops is a uint64
	backlogBytes  = 256 << 10              // unsent bytes of a connection above which its backlog pauses
	maxReads      = 64                     // most topics that are read at once; the store reads as many pages with one query
	maxAcked      = 1024                   // most seqs in cursorOnLoop.acked
	blockCacheLen = 16384                  // most entries in blocksOnLoop.known
	quietAfter    = 10 * time.Minute       // how long a pair's topic may be unused before it is dropped
	retryRead     = time.Second            // delay after an error of the store
	maxRetryRead  = 8 * time.Second        // most delay for a conversation that can't be read; doubled up to this
	retryBusy     = 100 * time.Millisecond // delay if a worker's queue is full, or if nothing was read
	earlyWait     = 20 * time.Millisecond  // how long a message is held back for those with lower seqs
	maxEarly      = 256                    // most messages of one conversation that are held back
	maxHeard      = 256                    // most groups in userOnLoop.heard
	maxFound      = 1 << 18                // conversations in one Look of Repair, approximately

	// reconnectSpread is over how long the clients of a node reconnect that may
	// have missed messages.
	reconnectSpread = 5 * time.Second
)

// SaveEvery is the interval at which SaveProgress must be called.
const SaveEvery = 10 * time.Second

// Store holds the methods of the store that delivery needs. SetDelivered and
// FlushSoon don't block; the others may.
type Store interface {
	Pages(ctx context.Context, pages []model.PageRequest, maxBytes int) ([]model.Message, error)
	VisibleRange(ctx context.Context, user, group, peer int64) (model.VisibleRange, error)
	GroupVersions(ctx context.Context, user int64, groups []int64) (map[int64]int64, error)
	DeliveredSeqs(ctx context.Context, of []model.DeviceCursor) ([]int64, error)
	MemberIDs(ctx context.Context, group int64) (version int64, members []model.Member, err error)
	StartFeed(ctx context.Context) (*model.FeedReader, error)
	Blocked(ctx context.Context, by, whom int64) (bool, error)
	SetDelivered(user int64, device string, conv, seq int64)
	FlushSoon(user int64)
}

// Delivery delivers the messages of one node. Its methods may be called from any
// goroutine and don't block, unless their comments say otherwise.
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
	ctx      context.Context // canceled when the service stops

	topics []*TopicsOnLoop // by loop

	start    time.Time
	followed atomic.Int64 // when Repair has last read the whole feed; nanoseconds since start
}

type counters struct {
	pushes, catchUps, reloads, eventsDropped, hintsDropped *metrics.Counter
}

// New returns the Delivery of a node. Call Start before the first login.
func New(cfg *Config, log *slog.Logger, set *metrics.Set) *Delivery {
	return &Delivery{cfg: cfg, log: log, start: time.Now(), m: counters{
		pushes:        set.NewCounter("chatd_service_pushes_total"),
		catchUps:      set.NewCounter("chatd_service_catchup_reads_total"),
		reloads:       set.NewCounter("chatd_service_member_reloads_total"),
		eventsDropped: set.NewCounter("chatd_service_events_dropped_total"),
		hintsDropped:  set.NewCounter("chatd_service_hints_dropped_total"),
	}}
}

// Deps holds what Start needs.
type Deps struct {
	Context  context.Context // canceled when the service stops
	Reactor  *reactor.Reactor
	Store    Store
	Bus      bus.Bus
	Courier  *bus.Courier
	Sessions *session.Sessions
	Presence *presence.Presence
	Limits   *limits.Limits
}

// Start sets the dependencies. It returns an error if the reactor has more than
// 64 loops.
func (d *Delivery) Start(on Deps) error {
	d.ctx, d.r, d.store, d.bus, d.courier = on.Context, on.Reactor, on.Store, on.Bus, on.Courier
	d.sessions, d.presence, d.limits = on.Sessions, on.Presence, on.Limits
	if on.Reactor.Loops() > maxLoops {
		return fmt.Errorf("delivery: %d event loops; at most %d are supported", on.Reactor.Loops(), maxLoops)
	}
	for i := range on.Reactor.Loops() {
		d.topics = append(d.topics, newTopics(d, i, on.Reactor.Loops()))
	}
	return nil
}

// On returns the topics of the current event loop.
func (d *Delivery) On(t Turn) *TopicsOnLoop { return d.topics[t.Loop()] }

// MaxPage returns the maximum number of messages in a page.
func (d *Delivery) MaxPage() int { return d.cfg.MaxPage }

// each posts f to every loop.
func (d *Delivery) each(f func(t Turn, l *TopicsOnLoop)) {
	for i, l := range d.topics {
		_ = d.r.Post(i, func(t Turn) { f(t, l) }) // an error means that the reactor has stopped
	}
}

// SaveProgress stores the delivered cursors of sessions without receipts, and
// drops the topics of pairs that have been quiet for quietAfter. Call it every
// SaveEvery.
func (d *Delivery) SaveProgress() {
	d.each(func(t Turn, l *TopicsOnLoop) { l.saveProgress(t) })
}
