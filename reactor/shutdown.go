package reactor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// drainPoll is how often Drain looks again.
const drainPoll = 10 * time.Millisecond

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
