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
// handling frames, held ones included. Then, for each connection, it waits until
// its jobs are done and idle returns true, writes last, and finishes it. n counts
// up, so that last can spread reconnects over time. idle and last are called on
// the loops, so last may run on several at once.
//
// When ctx is done, the remaining connections get last all the same, and Drain
// returns ctx's error. Call Stop after it.
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
	// Time is up: finish all others, within the time that closing may take.
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
		r.log.Warn("close the listener", "err", err)
	}
	r.acceptDone.Wait()
}

// Stop ends everything. It closes all connections at once, calls Handler.Closed
// for each, and cancels the context of jobs. It waits until every goroutine has
// ended or ctx is done; in that case the rest ends as soon as what blocks it
// does. Stop may be called again.
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
	// Wait for the loops to run what the last jobs have posted.
	err = errors.Join(err, r.onAllLoops(ctx, func(Turn) {}))
	r.ticker.stop()
	for _, l := range r.loops {
		err = errors.Join(err, l.stop())
	}
	return err
}
