package model

import (
	"context"
	"time"

	"chatd/model/sqldb"

	"github.com/jmoiron/sqlx"
)

// waiter is who blocks in a writer's place, on a connection of its own: for
// conversations that another node has locked, and where pairs are made. It has
// one job at a time.
type waiter struct {
	t    *transaction
	jobs chan *job
	back chan *job
	busy bool // the writer's
}

// job is a batch of conversations that all wait for the same kind of thing.
type job struct {
	convs  []*missedConv
	batch  []*Append // afterwards those that were skipped
	unmade bool
}

func newWaiter(ctx context.Context, db *DB, on *sqlx.DB) (*waiter, error) {
	t, err := newTransaction(ctx, db, on)
	if err != nil {
		return nil, err
	}
	return &waiter{t: t, jobs: make(chan *job, 1), back: make(chan *job, 1)}, nil
}

// engage gives the waiter what has been missed too often, if it is idle.
func (w *writer) engage() {
	if w.waiter == nil || w.waiter.busy {
		return
	}
	j := &job{}
	for _, c := range w.missed.order {
		if c.stuck || c.misses < maxMisses && !c.unmade {
			continue
		}
		if len(j.convs) == 0 {
			j.unmade = c.unmade
		}
		room := w.db.o.MaxBatch - len(j.batch)
		if c.unmade != j.unmade || room == 0 {
			continue
		}
		n := min(room, len(c.batch))
		c.waiting = true
		j.convs = append(j.convs, c)
		j.batch = append(j.batch, c.batch[:n]...)
		c.batch = c.batch[n:]
	}
	if len(j.convs) == 0 {
		return
	}
	w.db.queue.aside(j.batch, -1)
	w.waiter.busy = true
	w.waiter.jobs <- j
}

// wait is the waiter's goroutine.
func (w *writer) wait() {
	for j := range w.waiter.jobs {
		w.db.m.waiterJobs.Inc()
		w.waiter.do(j)
		var settled, skipped []*Append
		for _, a := range j.batch {
			if a.skipped {
				skipped = append(skipped, a)
			} else {
				settled = append(settled, a)
			}
		}
		// First to the sink: what comes later in these conversations is stored
		// once the writer has the job back.
		if len(settled) > 0 {
			w.out <- settled
		}
		j.batch = skipped
		w.waiter.back <- j
		w.db.queue.poke(w.lane)
	}
}

// do settles a job. What is skipped afterwards nobody could get hold of.
func (w *waiter) do(j *job) {
	err := w.t.settle(j.batch, true)
	if err == nil || w.t.db.d.Classify(err) != sqldb.LockTimeout {
		return
	}
	w.t.db.m.waits.Inc()
	if !j.unmade {
		_ = w.t.settle(j.batch, false) // some of them are to be had; what isn't stored has its outcome
		return
	}
	// Nothing tells which pair it was.
	started := time.Now()
	for _, part := range byConversation(j.batch) {
		err := errLocked
		if time.Since(started) < missedFor {
			if err = w.t.settle(part, true); err == nil || w.t.db.d.Classify(err) != sqldb.LockTimeout {
				continue
			}
		}
		w.t.fail(part, err)
	}
}

// takeBack takes a job that is done.
func (w *writer) takeBack() {
	if w.waiter == nil {
		return
	}
	var j *job
	select {
	case j = <-w.waiter.back:
	default:
		return
	}
	w.waiter.busy = false
	now := time.Now()
	var failed []*Append
	for _, part := range byConversation(j.batch) {
		c := w.missed.convs[convOf(part[0])]
		c.stuck = true
		failed = append(failed, w.putBack(c, part, now)...)
	}
	for _, c := range j.convs {
		if c.waiting {
			w.caughtUp(c, now)
		}
	}
	if len(failed) > 0 {
		w.out <- failed
	}
	w.engage()
}
