package bus

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// ErrUnavailable is returned while Redis can't be reached.
var ErrUnavailable = errors.New("bus: Redis is unavailable")

// Redis connects a node to the nodes on other machines. Its methods may be
// called from any goroutine.
//
// It has one connection for subscriptions, on which it receives messages, and
// a pool of connections for commands: publishing and queries. If either kind
// fails, the bus is unavailable until both work again. Meanwhile it publishes
// nothing and blocks nobody. Repair finds the messages that other
// nodes missed.
type Redis struct {
	endpoint       endpoint
	commandTimeout time.Duration
	self           senderID
	log            *slog.Logger
	receive        func([]Message)
	onChange       func(up bool)

	subs *subscriptions
	pool connPool
	m    redisCounters

	up       atomic.Bool // both kinds of connections are healthy
	mu       sync.Mutex
	healthy  [2]bool       // by kind: subscriberConn, commandConns
	failures int           // number of calls of markFailed
	lastErr  error         // of the last markFailed
	wake     chan struct{} // tells monitor that healthy or failures has changed

	ctx    context.Context // canceled by Close
	cancel context.CancelFunc
	done   chan struct{} // closed when all goroutines have ended
}

type redisCounters struct {
	published, errors, dropped, received, echoes, unknown, broken, reconnects *metrics.Counter
}

// DialRedis connects a node to Redis. It fails if the configuration is wrong:
// an invalid URL, or a password or certificate that is refused. It doesn't fail
// if Redis can't be reached; the bus is then unavailable until it can.
//
// receive is called with the messages that other nodes publish on the channels
// that this node has subscribed to, in the order of each publisher. All
// messages of one Publish for one channel come in one call. receive must not
// block or keep the slice; it may keep the messages.
//
// onChange is called with false when Redis becomes unavailable, and with true
// when it is available again and all subscriptions are active. At first Redis
// counts as available.
//
// Neither function is called concurrently with itself. Both may be called
// before DialRedis returns.
func DialRedis(ctx context.Context, cfg RedisConfig, receive func([]Message), onChange func(up bool)) (*Redis, error) {
	e, err := parseRedisURL(cfg)
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	c, err := e.dial(ctx)
	if err != nil && (isPermanent(err) || ctx.Err() != nil) {
		return nil, fmt.Errorf("redis: %w", err)
	}
	log, set := cfg.Logger, cfg.Set
	if log == nil {
		log = slog.Default()
	}
	if set == nil {
		set = metrics.NewSet()
	}
	r := &Redis{endpoint: e, commandTimeout: cmp.Or(cfg.commandTimeout, commandTimeout), log: log.With("redis", e.address),
		receive: receive, onChange: onChange, subs: newSubscriptions(), wake: make(chan struct{}, 1), done: make(chan struct{})}
	rand.Read(r.self[:]) // never fails
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.pool.init(&r.endpoint)
	r.registerMetrics(set)
	r.healthy = [2]bool{subscriberConn: c != nil, commandConns: true}
	r.up.Store(c != nil)
	startChange := uint64(0)
	if c == nil {
		r.markFailed(subscriberConn, err)
	} else {
		startChange = r.subs.onConnect() // now, so that Await blocks for the first Subscribe
	}
	go func() {
		defer close(r.done)
		var wg sync.WaitGroup
		wg.Go(r.monitor)
		r.runSubscriber(c, startChange)
		wg.Wait()
	}()
	return r, nil
}

// Close closes all connections. It blocks until receive and onChange have
// returned for the last time. If ctx ends before that, Close returns its error.
func (r *Redis) Close(ctx context.Context) error {
	r.cancel()
	r.pool.close()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Redis) registerMetrics(set *metrics.Set) {
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
	set.NewGauge("chatd_bus_up", func() float64 { return float64(boolInt(r.up.Load())) })
	set.NewGauge("chatd_bus_subscriptions", func() float64 { n, _ := r.subs.size(); return float64(n) })
	set.NewGauge("chatd_bus_subscriptions_unconfirmed", func() float64 { _, n := r.subs.size(); return float64(n) })
	set.NewGauge("chatd_bus_connections_asking", func() float64 { return float64(len(r.pool.slots)) })
}

// Subscribe adds a subscription to c. It doesn't block; use Await to wait until
// the subscription is active.
func (r *Redis) Subscribe(c Channel) { r.subs.add(c) }

// Unsubscribe removes a subscription to c. When none is left, the node
// unsubscribes from the channel. It doesn't block.
func (r *Redis) Unsubscribe(c Channel) { r.subs.remove(c) }

// Await blocks until all subscriptions made before the call are active. It
// returns nil at once while Redis is unavailable. It returns an error only if
// ctx ends.
func (r *Redis) Await(ctx context.Context) error { return r.subs.await(ctx) }

// MayHaveSubscribers reports whether Redis is available. It doesn't ask whether
// another node has subscribed to the channel.
func (r *Redis) MayHaveSubscribers(Channel) bool { return r.up.Load() }

// Up reports whether Redis is available.
func (r *Redis) Up() bool { return r.up.Load() }

// Err returns the latest reason why Redis was unavailable. It is nil if Redis has
// always been available.
func (r *Redis) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lastErr
}
