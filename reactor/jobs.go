package reactor

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
)

// Lane is a set of workers for one kind of job: the quick workers or the slow
// workers. A worker is a goroutine with a queue of its own. Each lane has a fixed
// number of workers, so many simultaneous logins don't delay jobs in the other lane.
type Lane int

const (
	Quick Lane = iota // I/O: requests that use the store
	Slow              // CPU: password hashing
	laneCount
)

// maxJobs is how many jobs of one connection may wait while another job of the same
// connection is running or in a worker's queue.
const maxJobs = 16

// task is a job. Exactly one of finish, which run returns, and refuse is called,
// on the connection's loop.
type task struct {
	c      *Conn
	run    func(t Off) (finish func(t Turn))
	refuse func(t Turn, err error)
}

// jobsOnLoop are the jobs of a connection. One is running or in a worker's queue;
// the others wait in queue.
type jobsOnLoop struct{ queue []queuedJob }

type queuedJob struct {
	lane Lane
	task task
}

// workers are the goroutines that run jobs, for all loops.
type workers struct {
	r      *Reactor
	queues [laneCount][]chan task // one per worker
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newWorkers(r *Reactor) *workers {
	w := &workers{r: r}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	for lane, n := range [laneCount]int{Quick: r.cfg.QuickLanes, Slow: r.cfg.SlowLanes} {
		for range n {
			w.queues[lane] = append(w.queues[lane], make(chan task, r.cfg.LaneQueue))
		}
	}
	return w
}

func (w *workers) start() {
	for _, queues := range w.queues {
		for _, q := range queues {
			w.wg.Go(func() { w.work(q) })
		}
	}
}

// stop ends the workers and waits for them. Queued jobs don't run; their refuse
// functions do. No loop may submit jobs any more.
func (w *workers) stop() {
	w.cancel()
	for _, queues := range w.queues {
		for _, q := range queues {
			close(q)
		}
	}
	w.wg.Wait()
}

func (w *workers) work(q <-chan task) {
	t := Off{w.ctx}
	for tk := range q {
		var finish func(t Turn)
		if w.ctx.Err() == nil {
			finish = tk.run(t)
		} else { // don't run a long queue of slow jobs before stopping
			finish = func(t Turn) { tk.refuse(t, ErrStopped) }
		}
		if err := tk.c.l.post(func(t Turn) { tk.c.jobDone(t, finish) }); err != nil {
			// Unexpected: the loops stop after the workers.
			w.r.log.Error("job result dropped: loop stopped", "err", err)
		}
	}
}

// submit queues a job for its worker. It returns ErrBusy if that queue is full.
func (w *workers) submit(lane Lane, tk task) error {
	if w.r.stopping.Load() {
		return ErrStopped
	}
	queues := w.queues[lane]
	// IDs count up on each loop, so this spreads connections evenly.
	q := queues[(tk.c.id*uint64(len(w.r.loops))+uint64(tk.c.l.idx))%uint64(len(queues))]
	select {
	case q <- tk:
		return nil
	default:
		w.r.count.laneFull.Inc()
		return ErrBusy
	}
}

// Go runs job on a worker of the lane, and then done on c's loop. Jobs of one
// connection run one at a time, in order. Go doesn't block.
//
// If Go returns an error, neither function runs. The error is ErrBusy if the
// worker's queue is full or c has too many jobs queued, and ErrStopped if the
// reactor is stopping. Otherwise done always runs, even if c has closed meanwhile
// (see Conn.Open), so that it can undo what job did. If job panics, the panic is
// logged and done gets an error. The context of job is canceled when the reactor
// stops.
//
// A queued job may not run: done gets ErrStopped if the reactor has stopped, and
// ErrBusy if the worker's queue was full when the connection's previous job ended.
func Go[T any](t Turn, c *Conn, lane Lane, job func(t Off) (T, error), done func(t Turn, v T, err error)) error {
	return c.submitJob(t, lane, task{
		c: c,
		run: func(t Off) func(t Turn) {
			v, err := runJob(c.l.r, t, job)
			return func(t Turn) { done(t, v, err) }
		},
		refuse: func(t Turn, err error) {
			var none T
			done(t, none, err)
		},
	})
}

// runJob runs job, and turns a panic into an error.
func runJob[T any](r *Reactor, t Off, job func(t Off) (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.count.panics.Inc()
			r.log.Error("panic in a job", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("reactor: panic in a job: %v", p)
		}
	}()
	return job(t)
}

// busy reports whether a job is queued or running.
func (c *Conn) busy(t Turn) bool { return c.jobs != nil }

func (c *Conn) submitJob(t Turn, lane Lane, tk task) error {
	r := c.l.r
	if c.jobs == nil {
		if err := r.workers.submit(lane, tk); err != nil {
			return err
		}
		c.jobs = &jobsOnLoop{}
		return nil
	}
	if len(c.jobs.queue) >= maxJobs {
		r.count.laneFull.Inc()
		return ErrBusy
	}
	c.jobs.queue = append(c.jobs.queue, queuedJob{lane, tk})
	return nil
}

// jobDone finishes a job, and submits the next one.
func (c *Conn) jobDone(t Turn, finish func(t Turn)) {
	c.l.call(t, c, "done", finish)
	for len(c.jobs.queue) > 0 {
		next := c.jobs.queue[0]
		c.jobs.queue = c.jobs.queue[1:]
		err := c.l.r.workers.submit(next.lane, next.task)
		if err == nil {
			return
		}
		c.l.call(t, c, "done", func(t Turn) { next.task.refuse(t, err) })
	}
	c.jobs = nil
}
