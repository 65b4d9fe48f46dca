package groupcommit

import "time"

// lockWaiter waits for locks that other processes hold, and creates
// conversations, so that its writer never blocks on them. It has a goroutine and
// a database connection of its own, and does one job at a time.
type lockWaiter struct {
	exec     executor
	jobs     chan *job
	finished chan *job
	busy     bool // used by the writer's goroutine only
}

// job is a batch whose conversations either are all locked or must all be
// created.
type job struct {
	convs    []*deferredConv
	batch    []*Append // once finished: the messages that are still deferred
	creation bool
}

func newLockWaiter(exec executor) *lockWaiter {
	return &lockWaiter{exec: exec, jobs: make(chan *job, 1), finished: make(chan *job, 1)}
}

// startWaiter passes the conversations that the writer can't store itself to the
// lock waiter, if that is idle.
func (w *writer) startWaiter() {
	if w.waiter == nil || w.waiter.busy {
		return
	}
	j := &job{}
	for _, c := range w.deferred.order {
		if c.waiterFailed || c.attempts < maxAttempts && !c.needsCreation {
			continue
		}
		if len(j.convs) == 0 {
			j.creation = c.needsCreation
		}
		room := w.c.config.MaxBatch - len(j.batch)
		if c.needsCreation != j.creation || room == 0 {
			continue
		}
		c.withWaiter = true
		j.convs = append(j.convs, c)
		j.batch = append(j.batch, w.takeFrom(c, room)...)
	}
	if len(j.convs) > 0 {
		w.waiter.busy = true
		w.waiter.jobs <- j
	}
}

// waitForLocks is the lock waiter's goroutine.
func (w *writer) waitForLocks() {
	for j := range w.waiter.jobs {
		w.c.m.lockWaits.Inc()
		w.waiter.run(j)
		var done []*Append
		done, j.batch = splitDeferred(j.batch)
		// The sink must get these first: once the writer has the job back, it
		// stores later messages of the same conversations.
		if len(done) > 0 {
			w.out <- done
		}
		w.waiter.finished <- j
		w.c.queue.wake(w.shard)
	}
}

// run stores a job's batch. Messages whose conversation is still locked
// afterwards are deferred.
func (w *lockWaiter) run(j *job) {
	err := w.exec.store(j.batch, true)
	if err == nil || w.exec.step.Classify(err) != LockTimeout {
		return
	}
	w.exec.c.m.timeouts.Inc()
	if !j.creation {
		_ = w.exec.store(j.batch, false) // stores what isn't locked; each message has its outcome
		return
	}
	// The error doesn't say which conversation could not be created.
	started := time.Now()
	for _, group := range byConversation(j.batch) {
		err := ErrLocked
		if time.Since(started) < maxDeferred {
			if err = w.exec.store(group, true); err == nil || w.exec.step.Classify(err) != LockTimeout {
				continue
			}
		}
		w.exec.fail(group, err)
	}
}

// takeJobBack takes a finished job from the lock waiter.
func (w *writer) takeJobBack() {
	if w.waiter == nil {
		return
	}
	var j *job
	select {
	case j = <-w.waiter.finished:
	default:
		return
	}
	w.waiter.busy = false
	now := time.Now()
	var failed []*Append
	for _, group := range byConversation(j.batch) {
		c := w.deferred.convs[convOf(group[0])]
		c.waiterFailed = true
		failed = append(failed, w.deferAgain(c, group, now)...)
	}
	for _, c := range j.convs {
		if c.withWaiter { // still set: nothing was deferred again
			w.resume(c, now)
		}
	}
	if len(failed) > 0 {
		w.out <- failed
	}
	w.startWaiter()
}
