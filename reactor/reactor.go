// Package reactor is the network layer: event loops on gnet, connections with two
// framings (length-prefixed TCP and WebSocket), mailboxes between the loops, and
// jobs that run off the loops. It knows frames, but nothing about the chat. See
// DESIGN.md.
package reactor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"chatd/internal/limit"
)

// Reactor is a listener and its event loops. Its methods are safe for concurrent
// use. Drain and Stop must not be called on a loop.
type Reactor struct {
	cfg     Config
	h       Handler
	log     *slog.Logger
	count   *counters
	ln      net.Listener
	loops   []*loop
	workers *workers
	limits  *addrLimits
	origins atomic.Pointer[[]string] // Config.Origins, as last set
	rates   rates
	ticker  *ticker
	buffers buffers
	batches batches

	open     atomic.Int64 // open connections
	held     atomic.Int64 // bytes of held frames, of all connections
	draining atomic.Bool
	stopping atomic.Bool

	acceptEnd  context.CancelFunc
	acceptDone sync.WaitGroup

	life    sync.Mutex
	started bool
	stopped chan struct{} // closed when everything has ended
	stopErr error
}

// New returns a reactor that listens on cfg.Addr. It accepts no connections before
// Start. The error names the invalid setting, or says why listening failed.
func New(cfg Config, h Handler) (*Reactor, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	// Go's listener sets SO_REUSEADDR, so a restart can listen at once. TCP
	// keep-alive is off: it costs system calls per connection, and the idle
	// timeout closes dead connections anyway.
	lc := net.ListenConfig{KeepAlive: -1}
	ln, err := lc.Listen(context.Background(), "tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("reactor: listen on %s: %w", cfg.Addr, err)
	}
	r := &Reactor{cfg: cfg, h: h, log: cfg.Logger, ln: ln, count: newCounters(cfg.Set), stopped: make(chan struct{}),
		rates: newRates(&cfg)}
	r.origins.Store(&cfg.Origins)
	r.limits = newAddrLimits(cfg.ConnsPerAddr, limit.PerSecond(cfg.ConnectsPerSecPerAddr, cfg.Burst, cfg.Now()), r.count.addrForgotten)
	for i := range cfg.Loops {
		r.loops = append(r.loops, newLoop(r, i))
	}
	r.workers = newWorkers(r)
	r.ticker = newTicker(r.loops)
	r.gauges(cfg.Set)
	return r, nil
}

// Start starts the loops and accepts connections. After an error nothing runs,
// and only Stop may be called.
func (r *Reactor) Start() error {
	r.life.Lock()
	defer r.life.Unlock()
	if r.started || r.stopping.Load() {
		return errors.New("reactor: already started or stopped")
	}
	for _, l := range r.loops {
		if err := l.start(); err != nil {
			for _, l := range r.loops {
				err = errors.Join(err, l.stop())
			}
			return err
		}
	}
	r.started = true
	r.workers.start()
	go r.ticker.run()
	a := &acceptor{r: r}
	a.ctx, r.acceptEnd = context.WithCancel(context.Background())
	for range acceptors {
		r.acceptDone.Go(a.run)
	}
	return nil
}

// Reload changes the settings that a running reactor can change: Origins,
// ConnsPerAddr and ConnectsPerSecPerAddr of cfg, which CheckSettings must have
// checked. It doesn't block. They hold for new connections.
func (r *Reactor) Reload(cfg *Config) {
	origins := slices.Clone(cfg.Origins)
	r.origins.Store(&origins)
	r.limits.set(cfg.ConnsPerAddr, limit.PerSecond(cfg.ConnectsPerSecPerAddr, r.cfg.Burst, r.cfg.Now()))
}

// Addr returns the address that the reactor listens on, with the actual port.
func (r *Reactor) Addr() net.Addr { return r.ln.Addr() }

// Now returns the time by the loops' clock.
func (r *Reactor) Now() time.Time { return r.cfg.Now() }

// Loops returns the number of event loops.
func (r *Reactor) Loops() int { return len(r.loops) }

// Post runs fn on loop i. Calls of Post and ConnRef.Send that one goroutine makes
// for the same loop take effect in order. Post never blocks. It returns ErrStopped
// if the reactor isn't running; fn then never runs. On a loop, use Turn.Post, which
// also keeps the order with Turn.Send.
func (r *Reactor) Post(i int, fn func(t Turn)) error { return r.loops[i].post(fn) }

// PostDroppable posts droppable work that holds n bytes. It returns ErrBusy if the
// loop's mailbox would exceed half of Config.MaxMailbox; fn then never runs.
func (r *Reactor) PostDroppable(i, n int, fn func(t Turn)) error { return r.loops[i].postSized(n, fn) }

// Each runs fn for every connection, on the connection's loop. It doesn't wait for
// that. It skips connections that are closing.
func (r *Reactor) Each(fn func(t Turn, c *Conn)) {
	for _, l := range r.loops {
		// An error means that the loop has stopped and has no connections.
		_ = l.post(func(t Turn) {
			for _, c := range t.l.all {
				if c.reading(t) {
					t.l.call(t, c, "Each", func(t Turn) { fn(t, c) })
				}
			}
		})
	}
}

// onAllLoops runs fn on each loop. It waits until all have run it, ctx is done or
// the reactor has stopped.
func (r *Reactor) onAllLoops(ctx context.Context, fn func(t Turn)) error {
	done := make(chan struct{}, len(r.loops))
	for _, l := range r.loops {
		if err := l.post(func(t Turn) {
			defer func() { done <- struct{}{} }()
			fn(t)
		}); err != nil {
			return err
		}
	}
	for range r.loops {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		case <-r.stopped:
			return ErrStopped
		}
	}
	return nil
}
