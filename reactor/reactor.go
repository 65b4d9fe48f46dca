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

// drainPoll is how often Drain looks again.
const drainPoll = 10 * time.Millisecond

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
				if c.reading() {
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

// Drain ends the service in an orderly way: it stops accepting and taking
// frames (held ones too), waits for each connection until idle says that
// nothing of it is under way and its jobs are done, writes last to it, a KICK
// with a number that counts up, and closes it gracefully. idle and last are
// called on the loops, last on several at once. When ctx ends the
// connections that are left get last all the same, and Drain returns ctx's
// error. Stop must follow.
func (r *Reactor) Drain(ctx context.Context, idle func(t Turn, c *Conn) bool, last func(n int) []byte) error {
	r.stopAccepting()
	r.draining.Store(true)
	var n atomic.Int64
	sweep := func(ctx context.Context, all bool) (left int64, err error) {
		var open atomic.Int64
		err = r.everywhere(ctx, func(t Turn) {
			for _, c := range t.l.all {
				if !c.open {
					continue
				}
				open.Add(1)
				t.l.call(t, c, "idle", func(t Turn) {
					if c.reading() && (all || !c.busy() && idle(t, c)) {
						c.Finish(t, last(int(n.Add(1)-1)))
					}
				})
			}
		})
		return open.Load(), err
	}
	again := time.NewTicker(drainPoll)
	defer again.Stop()
	for {
		left, err := sweep(ctx, false)
		switch {
		case err != nil && ctx.Err() == nil:
			return err
		case err == nil && left == 0:
			return nil
		}
		select {
		case <-again.C:
			continue
		case <-ctx.Done():
		}
		break
	}
	// Time is up. Their last words are still worth as much as a close takes.
	late, cancel := context.WithTimeout(context.Background(), r.cfg.Linger+10*wheelTick)
	defer cancel()
	for late.Err() == nil {
		if left, err := sweep(late, true); err != nil || left == 0 {
			break
		}
		<-again.C
	}
	return fmt.Errorf("reactor: drain: %w", ctx.Err())
}

// stopAccepting closes the listener and waits for those who accept.
func (r *Reactor) stopAccepting() {
	r.life.Lock()
	end := r.acceptEnd
	r.life.Unlock()
	if end != nil {
		end()
	}
	if err := r.ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		r.log.Warn("close the listener", "err", err)
	}
	r.acceptDone.Wait()
}

// Stop ends everything, whatever is under way: connections are closed at
// once, Closed is called for each, the context of jobs ends. It waits until
// every goroutine has ended, or ctx has: then they end later, as soon as what
// blocks them does. It may be called again.
func (r *Reactor) Stop(ctx context.Context) error {
	r.life.Lock()
	if !r.stopping.Swap(true) {
		started := r.started
		go func() {
			r.stopErr = r.stop(started)
			close(r.stopped)
		}()
	}
	r.life.Unlock()
	select {
	case <-r.stopped:
		return r.stopErr
	case <-ctx.Done():
		return fmt.Errorf("reactor: stop: %w", ctx.Err())
	}
}

func (r *Reactor) stop(started bool) error {
	r.stopAccepting()
	r.draining.Store(true)
	if !started {
		r.lanes.cancel()
		return nil
	}
	// After this round no loop has connections, or gives the lanes work.
	ctx := context.Background()
	err := r.everywhere(ctx, func(t Turn) {
		for _, c := range t.l.all {
			c.close(t)
		}
	})
	r.lanes.stop()
	// What the jobs left to be done on the loops has come before this.
	err = errors.Join(err, r.everywhere(ctx, func(Turn) {}))
	r.ticker.stop()
	for _, l := range r.loops {
		err = errors.Join(err, l.stop())
	}
	return err
}
