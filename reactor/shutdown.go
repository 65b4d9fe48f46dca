package reactor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// drainPoll is how often Drain checks the connections.
const drainPoll = 10 * time.Millisecond

// Drain closes all connections gracefully. It stops accepting connections and
// handling frames, including held ones. For each connection, it waits until its
// jobs are done and idle returns true, then writes last(n) and finishes the
// connection. n counts up from 0, so that last can spread reconnects over time. idle
// and last are called on the loops; last may run on several loops at once.
//
// If ctx is done first, the remaining connections get last at once, and Drain
// returns ctx's error. Call Stop afterwards.
func (r *Reactor) Drain(ctx context.Context, idle func(t Turn, c *Conn) bool, last func(n int) []byte) error {
	r.stopAccepting()
	r.draining.Store(true)
	var n atomic.Int64
	sweep := func(ctx context.Context, all bool) (left int64, err error) {
		var open atomic.Int64
		err = r.onAllLoops(ctx, func(t Turn) {
			for _, c := range t.l.all {
				if !c.open {
					continue
				}
				open.Add(1)
				t.l.call(t, c, "idle", func(t Turn) {
					if c.reading(t) && (all || !c.busy(t) && idle(t, c)) {
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
	// Time is up: finish all others, and wait for as long as closing may take.
	late, cancel := context.WithTimeout(context.Background(), r.cfg.Linger+10*timerTick)
	defer cancel()
	for late.Err() == nil {
		if left, err := sweep(late, true); err != nil || left == 0 {
			break
		}
		<-again.C
	}
	return fmt.Errorf("reactor: drain: %w", ctx.Err())
}

// stopAccepting closes the listener and waits for the acceptors.
func (r *Reactor) stopAccepting() {
	r.life.Lock()
	end := r.acceptEnd
	r.life.Unlock()
	if end != nil {
		end()
	}
	if err := r.ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		r.log.Warn("couldn't close the listener", "err", err)
	}
	r.acceptDone.Wait()
}

// Stop stops the reactor. It closes all connections at once, calls Handler.Closed
// for each, and cancels the context of jobs. It waits until every goroutine has
// ended, or returns an error if ctx is done first; blocked goroutines then end
// later. Stop may be called again.
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
		r.workers.cancel()
		return nil
	}
	// After this no loop has connections or submits jobs.
	ctx := context.Background()
	err := r.onAllLoops(ctx, func(t Turn) {
		for _, c := range t.l.all {
			c.close(t)
		}
	})
	r.workers.stop()
	// Wait for the loops to run the functions that the last jobs have posted.
	err = errors.Join(err, r.onAllLoops(ctx, func(Turn) {}))
	r.ticker.stop()
	for _, l := range r.loops {
		err = errors.Join(err, l.stop())
	}
	return err
}
