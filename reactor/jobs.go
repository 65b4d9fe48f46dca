package reactor

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
)

// Lane says which workers run a job. They are bounded, each lane's for itself,
// so that a storm of logins can't starve the rest.
type Lane int

const (
	Quick Lane = iota // what asks the store
	Slow              // what computes: password hashing
	laneCount
)

// maxJobs is how many jobs of one connection may wait for each other.
const maxJobs = 16

// task is a job and what comes of it: exactly one of finish, which run
// returns, and refuse, is called on the loop.
type task struct {
	c      *Conn
	run    func(t Off) (finish func(t Turn))
	refuse func(t Turn, err error)
}

// jobsOnLoop are a connection's: one runs or waits in a lane, the others wait here.
type jobsOnLoop struct{ queue []queued }

type queued struct {
	lane Lane
	task task
}

// lanes has the workers of all loops.
type lanes struct {
	r      *Reactor
	queues [laneCount][]chan task
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newLanes(r *Reactor) *lanes {
	l := &lanes{r: r}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	for lane, n := range [laneCount]int{Quick: r.cfg.QuickLanes, Slow: r.cfg.SlowLanes} {
		for range n {
			l.queues[lane] = append(l.queues[lane], make(chan task, r.cfg.LaneQueue))
		}
	}
	return l
}

func (l *lanes) start() {
	for _, queues := range l.queues {
		for _, q := range queues {
			l.wg.Go(func() { l.work(q) })
		}
	}
}

// stop ends the workers and waits for them. What is queued isn't run, but
// refused on its loop. No loop may put anything in any more.
func (l *lanes) stop() {
	l.cancel()
	for _, queues := range l.queues {
		for _, q := range queues {
			close(q)
		}
	}
	l.wg.Wait()
}

func (l *lanes) work(q <-chan task) {
	t := Off{l.ctx}
	for tk := range q {
		var finish func(t Turn)
		if l.ctx.Err() == nil {
			finish = tk.run(t)
		} else {
			// A long queue of slow jobs must not hold up the end.
			finish = func(t Turn) { tk.refuse(t, ErrStopped) }
		}
		if err := tk.c.l.post(func(t Turn) { tk.c.jobDone(t, finish) }); err != nil {
			// Loops take until the lanes have stopped.
			l.r.log.Error("a job's outcome found no loop", "err", err)
		}
	}
}

// put queues a task, or says that its worker has enough.
func (l *lanes) put(lane Lane, tk task) error {
	if l.r.stopping.Load() {
		return ErrStopped
	}
	queues := l.queues[lane]
	// Ids count up on each loop: neighbours go to different workers.
	q := queues[(tk.c.id*uint64(len(l.r.loops))+uint64(tk.c.l.idx))%uint64(len(queues))]
	select {
	case q <- tk:
		return nil
	default:
		l.r.count.laneFull.Inc()
		return ErrBusy
	}
}

// Go runs job off the loop, on the worker of the lane that c hashes to, and
// then done on c's loop. Jobs of one connection run one at a time, in order.
// It must be called on c's loop and doesn't block.
//
// With an error nothing runs: ErrBusy if the lane is full or c has too many
// jobs waiting, ErrStopped when the reactor stops. If c has closed meanwhile
// done runs all the same (c.Open tells), so that what job made can be undone.
// A panic in job is logged and reaches done as an error. job's context ends
// when the reactor stops. A job that had to wait may never run: done gets
// ErrStopped where the reactor has stopped, and ErrBusy where it waited for
// another of its connection and then found its own lane full.
func Go[T any](t Turn, c *Conn, lane Lane, job func(t Off) (T, error), done func(t Turn, v T, err error)) error {
	return c.submit(t, lane, task{
		c: c,
		run: func(t Off) func(t Turn) {
			v, err := protect(c.l.r, t, job)
			return func(t Turn) { done(t, v, err) }
		},
		refuse: func(t Turn, err error) {
			var none T
			done(t, none, err)
		},
	})
}

// protect runs job; a panic becomes its error.
func protect[T any](r *Reactor, t Off, job func(t Off) (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.count.panics.Inc()
			r.log.Error("panic in a job", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("reactor: panic in a job: %v", p)
		}
	}()
	return job(t)
}

func (c *Conn) busy(t Turn) bool { return c.jobs != nil }

func (c *Conn) submit(t Turn, lane Lane, tk task) error {
	r := c.l.r
	if c.jobs == nil {
		if err := r.lanes.put(lane, tk); err != nil {
			return err
		}
		c.jobs = &jobsOnLoop{}
		return nil
	}
	if len(c.jobs.queue) >= maxJobs {
		r.count.laneFull.Inc()
		return ErrBusy
	}
	c.jobs.queue = append(c.jobs.queue, queued{lane, tk})
	return nil
}

// jobDone runs what comes of a job, and then the next job.
func (c *Conn) jobDone(t Turn, finish func(t Turn)) {
	c.l.call(t, c, "done", finish)
	for len(c.jobs.queue) > 0 {
		next := c.jobs.queue[0]
		c.jobs.queue = c.jobs.queue[1:]
		err := c.l.r.lanes.put(next.lane, next.task)
		if err == nil {
			return
		}
		c.l.call(t, c, "done", func(t Turn) { next.task.refuse(t, err) })
	}
	c.jobs = nil
}
