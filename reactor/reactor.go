// Package reactor is the network: event loops on gnet, connections in two
// framings (TCP with a length, WebSocket), mailboxes between the loops, and
// work off the loops. It knows frames, and nothing of the chat.
package reactor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"chatd/limit"
)

// Reactor is a listener and its loops. Its methods are for any goroutine, but
// Drain and Stop not for a loop's.
type Reactor struct {
	cfg     Config
	h       Handler
	log     *slog.Logger
	count   *counters
	ln      net.Listener
	loops   []*loop
	lanes   *lanes
	limits  *limits
	rates   rates
	ticker  *ticker
	buffers buffers
	batches batches

	open     atomic.Int64 // connections
	held     atomic.Int64 // bytes of frames held back, of all connections
	draining atomic.Bool
	stopping atomic.Bool

	acceptEnd  context.CancelFunc
	acceptDone sync.WaitGroup

	life    sync.Mutex
	started bool
	stopped chan struct{} // closed when all has ended
	stopErr error
}

// New listens on cfg.Addr; nothing is accepted before Start. The errors name
// the bad setting, or say why the address can't be had.
func New(cfg Config, h Handler) (*Reactor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	// Go's listener sets SO_REUSEADDR: a restart isn't held up. TCP's own
	// keep-alive would cost system calls for each connection, and the idle
	// time-out finds the dead ones anyway.
	lc := net.ListenConfig{KeepAlive: -1}
	ln, err := lc.Listen(context.Background(), "tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("reactor: listen on %s: %w", cfg.Addr, err)
	}
	r := &Reactor{cfg: cfg, h: h, log: cfg.Logger, ln: ln, count: newCounters(cfg.Set), stopped: make(chan struct{}),
		rates: newRates(&cfg)}
	r.limits = newLimits(cfg.ConnsPerAddr, limit.PerSecond(cfg.ConnectsPerAddrPerSec, cfg.Burst, cfg.Now()), r.count.addrForgotten)
	for i := range cfg.Loops {
		r.loops = append(r.loops, newLoop(r, i))
	}
	r.lanes = newLanes(r)
	r.ticker = newTicker(r.loops)
	r.gauges(cfg.Set)
	return r, nil
}

// Start runs the loops and begins to accept. After an error nothing runs, and
// only Stop is left to call.
func (r *Reactor) Start() error {
	r.life.Lock()
	defer r.life.Unlock()
	if r.started || r.stopping.Load() {
		return errors.New("reactor: started or stopped before")
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
	r.lanes.start()
	go r.ticker.run()
	a := &acceptor{r: r}
	a.ctx, r.acceptEnd = context.WithCancel(context.Background())
	for range acceptors {
		r.acceptDone.Go(a.run)
	}
	return nil
}

// Addr is where it listens, with the port that was taken.
func (r *Reactor) Addr() net.Addr { return r.ln.Addr() }

// Now is the time by the clock of the loops.
func (r *Reactor) Now() time.Time { return r.cfg.Now() }

// Loops is how many loops there are.
func (r *Reactor) Loops() int { return len(r.loops) }

// Post runs fn on loop i, in the order of this goroutine's other Posts and
// Peer.Sends there. It never blocks. ErrStopped: the reactor isn't running,
// and fn never runs. On a loop use Turn.Post, which keeps the order with
// Turn.Send.
func (r *Reactor) Post(i int, fn func(t Turn)) error { return r.loops[i].post(fn) }

// PostSized is Post of what may be left out where too much is on its way: fn
// holds n bytes. ErrBusy: with them there would be more than half of
// Config.MaxMailbox on the way to that loop, and fn doesn't run.
func (r *Reactor) PostSized(i, n int, fn func(t Turn)) error { return r.loops[i].postSized(n, fn) }

// Each runs fn for every connection, on its loop, some time soon; it doesn't
// wait. Connections that are being closed are left out.
func (r *Reactor) Each(fn func(t Turn, c *Conn)) {
	for _, l := range r.loops {
		// An error means that there are no connections any more.
		_ = l.post(func(t Turn) {
			for _, c := range t.l.all {
				if c.reading(t) {
					t.l.call(t, c, "Each", func(t Turn) { fn(t, c) })
				}
			}
		})
	}
}

// everywhere runs fn on each loop and waits for all, ctx or the end.
func (r *Reactor) everywhere(ctx context.Context, fn func(t Turn)) error {
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
