package groupcommit

import (
	"context"
	"sync"
	"time"
)

// writer stores the messages of one shard of the queue, one transaction after
// another, and passes each batch to the goroutine that calls the sink. It never
// waits for locks of other processes; it leaves that to its lock waiter.
type writer struct {
	c        *Committer
	shard    int
	exec     executor
	waiter   *lockWaiter // nil: no other process writes
	deferred deferredSet // used by the store goroutine only
	out      chan []*Append
	free     chan []*Append // batches whose memory can be used again
	done     sync.WaitGroup
}

func newWriter(c *Committer, shard int, s Steps) *writer {
	w := &writer{
		c: c, shard: shard, exec: executor{c, s.Main},
		deferred: deferredSet{convs: make(map[convKey]*deferredConv)},
		out:      make(chan []*Append, maxHandover),
		free:     make(chan []*Append, maxHandover),
	}
	if s.Wait != nil {
		w.waiter = newLockWaiter(executor{c, s.Wait})
	}
	return w
}

func (w *writer) start() {
	w.done.Go(w.store)
	w.done.Go(w.callSink)
	if w.waiter != nil {
		w.done.Go(w.waitForLocks)
	}
}

// close waits for the goroutines to store what is queued. The queue must be
// closed.
func (w *writer) close() {
	w.done.Wait()
	w.exec.step.Close()
	if w.waiter != nil {
		w.waiter.exec.step.Close()
	}
}

// store is the goroutine that runs the transactions.
func (w *writer) store() {
	for batch := w.next(); batch != nil; batch = w.next() {
		w.c.m.batch.Update(float64(len(batch)))
		err := w.exec.store(batch, w.waiter == nil)
		if w.waiter == nil && err != nil && w.exec.step.Classify(err) == LockTimeout {
			w.exec.fail(batch, err) // nobody else can wait for the lock
		}
		if batch = w.deferLocked(batch); len(batch) > 0 {
			w.out <- batch
		} else {
			w.recycle(batch)
		}
		if err != nil && w.exec.step.Classify(err) == Disconnected {
			w.failQueued(err)
		}
	}
	if w.waiter != nil {
		close(w.waiter.jobs) // it is idle: nothing is deferred
	}
	close(w.out)
}

// next returns the next batch: deferred messages that are due, then new ones. It
// blocks until there are some. It returns nil if the queue is closed and all
// messages are stored.
func (w *writer) next() []*Append {
	for {
		w.takeJobBack()
		var batch []*Append
		select {
		case batch = <-w.free:
		default:
		}
		batch = w.takeDue(batch)
		retried := len(batch)
		batch, closed := w.c.queue.take(w.shard, batch, w.c.config.MaxBatch, w.c.config.MaxBatchBytes)
		for _, a := range batch[retried:] {
			a.attemptedSeq, a.lookUp = 0, false
		}
		if batch = w.deferFollowers(batch, retried); len(batch) > 0 {
			return batch
		}
		w.recycle(batch)
		if closed && len(w.deferred.convs) == 0 {
			return nil
		}
		if w.c.queue.length(w.shard) == 0 {
			w.sleep()
		}
	}
}

// sleep blocks until something changes or deferred messages are due.
func (w *writer) sleep() {
	wake := w.c.queue.shards[w.shard].wake
	due, ok := w.deferred.due()
	if !ok {
		<-wake
		return
	}
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-wake:
	case <-timer.C:
	}
}

// failQueued fails the messages that were queued while the database was away:
// otherwise each of their batches would wait for the timeout. It defers messages
// that follow deferred ones, as the sink must get those first.
func (w *writer) failQueued(err error) {
	for n := w.c.queue.length(w.shard); n > 0; {
		batch, _ := w.c.queue.take(w.shard, nil, min(n, w.c.config.MaxBatch), w.c.config.MaxBatchBytes)
		if len(batch) == 0 {
			return
		}
		n -= len(batch)
		if batch = w.deferFollowers(batch, 0); len(batch) > 0 {
			w.exec.fail(batch, err)
			w.out <- batch
		}
	}
}

// callSink is the goroutine that calls the sink.
func (w *writer) callSink() {
	ctx := context.Background()
	for batch := range w.out {
		if w.c.config.Sink != nil {
			w.c.config.Sink(ctx, batch)
		}
		clear(batch)
		w.recycle(batch)
	}
}

// recycle keeps the memory of a batch for a later call of next.
func (w *writer) recycle(batch []*Append) {
	if cap(batch) == 0 {
		return
	}
	select {
	case w.free <- batch[:0]:
	default:
	}
}
