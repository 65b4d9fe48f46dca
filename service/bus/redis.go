package bus

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// ErrUnavailable is returned while Redis is known not to be there.
var ErrUnavailable = errors.New("bus: Redis is away")

// Redis is the bus of nodes on several machines: one node's side of it. Its
// methods may be called from any goroutine.
//
// It has one connection for subscriptions, on which it reads what others
// publish, and some for publishing and asking. When either side fails Redis is
// "away" until both are well again: nothing is published meanwhile, nobody
// waits, and what others should have heard the repair sweep finds.
type Redis struct {
	where   where
	answer  time.Duration // how long one is waited for
	self    sender
	log     *slog.Logger
	receive func([]Message)
	changed func(up bool)

	subs *subscriptions
	pool pool
	m    redisCounters

	mu     sync.Mutex
	sides  [2]bool // which sides are well
	losses int     // how often one ceased to be
	cause  error   // of the last loss
	up     atomic.Bool
	wake   chan struct{} // keep has something to do

	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{}
}

// The sides that can fail on their own.
const (
	hearing = iota // the subscriber's connection
	asking         // all others
)

type redisCounters struct {
	published, errors, dropped, received, echoes, unknown, broken, reconnects *metrics.Counter
}

// DialRedis connects a node to Redis. It fails where the configuration is
// wrong: a URL that can't be read, a password or certificate that is refused.
// A Redis that isn't there is no error: it is away until it comes.
//
// What other nodes publish on channels that this one has subscribed to is
// handed to receive, in the order of each publisher, all that one Publish had
// for a channel at once; receive must neither block nor keep the slice, but
// may keep what is in it. changed is told when Redis goes away and when it is
// back with all subscriptions in force; before the first call it is there.
// Each is called by one goroutine at a time, and may be before DialRedis
// returns.
func DialRedis(ctx context.Context, cfg RedisConfig, receive func([]Message), changed func(up bool)) (*Redis, error) {
	w, err := parseRedis(cfg)
	if err != nil {
		return nil, err
	}
	c, err := w.dial(ctx)
	if err != nil && (hopeless(err) || ctx.Err() != nil) {
		return nil, fmt.Errorf("redis: %w", err)
	}
	log, set := cfg.Logger, cfg.Set
	if log == nil {
		log = slog.Default()
	}
	if set == nil {
		set = metrics.NewSet()
	}
	r := &Redis{where: w, answer: cmp.Or(cfg.answer, askTimeout), log: log.With("redis", w.address), receive: receive, changed: changed,
		subs: newSubscriptions(), wake: make(chan struct{}, 1), ended: make(chan struct{})}
	rand.Read(r.self[:]) // never fails
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.pool.init(&r.where)
	r.meter(set)
	r.sides = [2]bool{hearing: c != nil, asking: true}
	r.up.Store(c != nil)
	begin := uint64(0)
	if c == nil {
		r.lose(hearing, err)
	} else {
		begin = r.subs.begin() // here, so that Await waits from the first Subscribe on
	}
	go func() {
		defer close(r.ended)
		var wg sync.WaitGroup
		wg.Go(r.keep)
		r.hear(c, begin)
		wg.Wait()
	}()
	return r, nil
}

// Close ends the node's side of the bus, its subscriptions with it. It blocks
// until receive and changed are called no more, or ctx ends, whose error it
// then returns.
func (r *Redis) Close(ctx context.Context) error {
	r.cancel()
	r.pool.close()
	select {
	case <-r.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Redis) meter(set *metrics.Set) {
	r.m = redisCounters{
		published:  set.NewCounter("chatd_bus_published_total"),
		errors:     set.NewCounter("chatd_bus_publish_errors_total"),
		dropped:    set.NewCounter("chatd_bus_dropped_total"),
		received:   set.NewCounter("chatd_bus_received_total"),
		echoes:     set.NewCounter("chatd_bus_echoes_total"),
		unknown:    set.NewCounter("chatd_bus_unknown_versions_total"),
		broken:     set.NewCounter("chatd_bus_broken_total"),
		reconnects: set.NewCounter("chatd_bus_reconnects_total"),
	}
	set.NewGauge("chatd_bus_up", func() float64 { return float64(flag(r.up.Load())) })
	set.NewGauge("chatd_bus_subscriptions", func() float64 { n, _ := r.subs.size(); return float64(n) })
	set.NewGauge("chatd_bus_subscriptions_unconfirmed", func() float64 { _, n := r.subs.size(); return float64(n) })
	set.NewGauge("chatd_bus_connections_asking", func() float64 { return float64(len(r.pool.places)) })
}

// lose notes that a side has failed.
func (r *Redis) lose(side int, cause error) {
	r.pool.renew() // the others are likely to be dead as well
	r.mu.Lock()
	r.sides[side] = false
	r.losses++
	r.cause = cause
	r.up.Store(false)
	r.mu.Unlock()
	r.rouse()
}

// regain notes that a side is well again.
func (r *Redis) regain(side int) {
	r.mu.Lock()
	r.sides[side] = true
	r.up.Store(r.sides[hearing] && r.sides[asking])
	r.mu.Unlock()
	r.rouse()
}

func (r *Redis) rouse() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// keep tells of Redis's going and coming, and finds out when it can be asked
// again.
func (r *Redis) keep() {
	told, seen := true, 0
	var pause backoff
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.wake:
		}
		for {
			r.mu.Lock()
			up, canAsk, losses, cause := r.up.Load(), r.sides[asking], r.losses, r.cause
			r.mu.Unlock()
			if told && losses != seen { // be it only for a moment: something was lost
				told = false
				r.log.Warn("Redis is away: messages between nodes come by the repair sweep", "err", cause)
				r.changed(false)
			}
			seen = losses
			if up && !told {
				told = true
				r.log.Info("Redis is back")
				r.changed(true)
			}
			if canAsk {
				break
			}
			if !pause.wait(r.ctx) {
				return
			}
			if r.pool.probe(r.ctx) == nil {
				pause.good()
				r.regain(asking)
			}
		}
	}
}

// Subscribe counts one subscription more to c. It doesn't block: Await tells
// when it is in force.
func (r *Redis) Subscribe(c Channel) { r.subs.add(c) }

// Unsubscribe counts one subscription less to c; the last one ends it. It
// doesn't block.
func (r *Redis) Unsubscribe(c Channel) { r.subs.remove(c) }

// Await blocks until all that was subscribed to before the call is in force.
// While Redis is away it returns nil at once; else the error is that of ctx.
func (r *Redis) Await(ctx context.Context) error { return r.subs.await(ctx) }

// MayHaveSubscribers reports whether a message on c may reach another node: nobody can
// be reached while Redis is away.
func (r *Redis) MayHaveSubscribers(Channel) bool { return r.up.Load() }

// Up reports whether Redis is there.
func (r *Redis) Up() bool { return r.up.Load() }

// backoff is the pause before another attempt: longer and longer, as long as
// what was gained by the last one doesn't last.
type backoff struct {
	next time.Duration
	well time.Time // when an attempt last succeeded
}

// good notes that an attempt has succeeded.
func (b *backoff) good() { b.well = time.Now() }

// wait blocks for the pause; it reports false when ctx ends.
func (b *backoff) wait(ctx context.Context) bool {
	if b.next == 0 || !b.well.IsZero() && time.Since(b.well) > lastBackoff {
		b.next = firstBackoff
	}
	b.well = time.Time{}
	timer := time.NewTimer(b.next/2 + mathrand.N(b.next/2)) // jittered: nodes should not return all at once
	defer timer.Stop()
	b.next = min(2*b.next, lastBackoff)
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
