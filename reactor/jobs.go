package reactor

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
)

// Lane is a kind of job. Quick has workers of its own: goroutines, each with a
// queue of its own. Slow and SlowLast share the slow workers, which share one
// queue, see fairQueue. The numbers of workers are fixed, so many simultaneous
// logins by password don't delay quick jobs.
type Lane int

const (
	Quick    Lane = iota // I/O: requests that use the store
	Slow                 // CPU: password hashing
	SlowLast             // CPU: runs only while no job of Slow waits
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
	quick  []chan task // one per worker
	slow   *fairQueue
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newWorkers(r *Reactor) *workers {
	w := &workers{r: r}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	for range r.cfg.QuickLanes {
		w.quick = append(w.quick, make(chan task, r.cfg.LaneQueue))
	}
	w.slow = newFairQueue(r.cfg.SlowLanes, r.cfg.SlowLanes*r.cfg.LaneQueue, r.cfg.PasswordWait, r.cfg.Now)
	return w
}

func (w *workers) start() {
	for _, q := range w.quick {
		w.wg.Go(func() {
			for tk := range q {
				w.run(tk)
			}
		})
	}
	for range w.r.cfg.SlowLanes {
		w.wg.Go(w.workSlowly)
	}
}

// stop ends the workers and waits for them. Queued jobs don't run; their refuse
// functions do. No loop may submit jobs any more.
func (w *workers) stop() {
	w.cancel()
	for _, q := range w.quick {
		close(q)
	}
	w.slow.close()
	w.wg.Wait()
}

// workSlowly runs jobs of the slow lanes until their queue is closed.
func (w *workers) workSlowly() {
	for {
		j, expired := w.slow.pop()
		for _, old := range expired {
			if w.ctx.Err() != nil {
				w.run(old.task) // refuses it
				continue
			}
			w.r.count.laneFull.Inc()
			w.finish(old.task, func(t Turn) { old.task.refuse(t, &BusyError{Wait: w.slow.maxWait}) })
		}
		switch {
		case j != nil:
			began := w.slow.now()
			w.run(j.task)
			w.slow.done(j, began)
		case len(expired) == 0:
			return
		}
	}
}

// run runs a job or, if the workers are stopping, refuses it.
func (w *workers) run(tk task) {
	if w.ctx.Err() != nil { // don't run a long queue of slow jobs before stopping
		w.finish(tk, func(t Turn) { tk.refuse(t, ErrStopped) })
		return
	}
	w.finish(tk, tk.run(Off{w.ctx}))
}

func (w *workers) finish(tk task, finish func(t Turn)) {
	if err := tk.c.l.post(func(t Turn) { tk.c.jobDone(t, finish) }); err != nil {
		// Unexpected: the loops stop after the workers.
		w.r.log.Error("job result dropped: loop stopped", "err", err)
	}
}

// submit queues a job of c for a worker. It returns ErrBusy if the queue is full,
// or a *BusyError if the job would wait for too long.
func (w *workers) submit(t Turn, c *Conn, lane Lane, tk task) error {
	if w.r.stopping.Load() {
		return ErrStopped
	}
	err := ErrBusy
	if lane == Quick {
		// IDs count up on each loop, so this spreads connections evenly.
		q := w.quick[(c.id*uint64(len(w.r.loops))+uint64(c.l.idx))%uint64(len(w.quick))]
		select {
		case q <- tk:
			return nil
		default:
		}
	} else if err = w.slow.push(lane, c.Source(t), tk); err == nil {
		return nil
	}
	w.r.count.laneFull.Inc()
	return err
}

// Go runs job on a worker of the lane, and then done on c's loop. Jobs of one
// connection run one at a time, in order. Go doesn't block.
//
// If Go returns an error, neither function runs. The error is ErrBusy if the
// worker's queue is full or c has too many jobs queued, a *BusyError if a slow
// job would have to wait for longer than Config.PasswordWait, and ErrStopped if
// the reactor is stopping. Otherwise done always runs, even if c has closed meanwhile
// (see Conn.Open), so that it can undo what job did. If job panics, the panic is
// logged and done gets an error. The context of job is canceled when the reactor
// stops.
//
// A queued job may not run: done gets ErrStopped if the reactor has stopped,
// ErrBusy or a *BusyError if the queue was full when the connection's previous
// job ended, and a *BusyError if a slow job has waited for too long.
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
		if err := r.workers.submit(t, c, lane, tk); err != nil {
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
		err := c.l.r.workers.submit(t, c, next.lane, next.task)
		if err == nil {
			return
		}
		c.l.call(t, c, "done", func(t Turn) { next.task.refuse(t, err) })
	}
	c.jobs = nil
}
