package groupcommit

import (
	"sync/atomic"
	"time"
)

// deferredSet holds the messages that a writer couldn't store because another
// process has locked their conversation, or because the conversation must be
// created, which may block.
//
// The writer first retries a locked conversation with its next batches. After
// maxAttempts tries, or at once if the conversation must be created, it passes
// the conversation to the lock waiter. If even that times out, because the other
// process hangs, the writer retries every deferDelay until maxDeferred has
// passed; then the messages fail. New messages for a deferred conversation queue
// up after the deferred ones.
type deferredSet struct {
	convs map[convKey]*deferredConv
	order []*deferredConv // in the order they were first deferred
	size  atomic.Int64    // len(order), for the gauge
}

type deferredConv struct {
	key           convKey
	batch         []*Append
	since         time.Time // when its oldest message was first deferred
	retryAt       time.Time
	attempts      int
	needsCreation bool // only the lock waiter creates conversations
	retrying      bool // some of its messages are in the current batch
	withWaiter    bool // some of its messages are with the lock waiter
	waiterFailed  bool // the lock waiter timed out
}

// onlyWaiter reports whether the writer itself must not try the conversation:
// the lock waiter has it, or will have it.
func (c *deferredConv) onlyWaiter() bool { return c.withWaiter || c.needsCreation }

// due returns when the next conversation is to be retried, if there is one.
func (d *deferredSet) due() (at time.Time, ok bool) {
	for _, c := range d.order {
		if !c.onlyWaiter() && (!ok || c.retryAt.Before(at)) {
			at, ok = c.retryAt, true
		}
	}
	return at, ok
}

// get returns the entry of a conversation, and adds one if there is none.
func (d *deferredSet) get(k convKey, now time.Time) *deferredConv {
	c := d.convs[k]
	if c == nil {
		c = &deferredConv{key: k, since: now}
		d.convs[k] = c
		d.order = append(d.order, c)
		d.size.Store(int64(len(d.order)))
	}
	return c
}

func (d *deferredSet) remove(c *deferredConv) {
	delete(d.convs, c.key)
	for i, o := range d.order {
		if o == c {
			d.order = append(d.order[:i], d.order[i+1:]...)
			break
		}
	}
	d.size.Store(int64(len(d.order)))
}

// takeDue appends deferred messages that are due to a batch.
func (w *writer) takeDue(batch []*Append) []*Append {
	if len(w.deferred.order) == 0 {
		return batch
	}
	now := time.Now()
	for _, c := range w.deferred.order {
		if room := w.c.config.MaxBatch - len(batch); !c.onlyWaiter() && !c.retryAt.After(now) && room > 0 {
			c.retrying = true
			batch = append(batch, w.takeFrom(c, room)...)
		}
	}
	return batch
}

// takeFrom takes up to n of a conversation's deferred messages.
func (w *writer) takeFrom(c *deferredConv, n int) []*Append {
	n = min(n, len(c.batch))
	taken := c.batch[:n]
	c.batch = c.batch[n:]
	w.c.queue.removeDeferred(taken)
	return taken
}

// deferFollowers defers new messages, batch[from:], that must not overtake
// deferred messages of their conversation. It returns the rest of the batch.
func (w *writer) deferFollowers(batch []*Append, from int) []*Append {
	if len(w.deferred.order) == 0 {
		return batch
	}
	kept := batch[:from]
	for i, a := range batch[from:] {
		if c := w.deferred.convs[convOf(a)]; c != nil && (!c.retrying || len(c.batch) > 0) {
			c.batch = append(c.batch, a)
			w.c.queue.addDeferred(batch[from+i : from+i+1])
			continue
		}
		kept = append(kept, a)
	}
	clear(batch[len(kept):])
	return kept
}

// deferLocked takes the deferred messages out of a batch that was stored. It
// returns the messages that have their outcome.
func (w *writer) deferLocked(batch []*Append) []*Append {
	done, deferred := splitDeferred(batch)
	if len(deferred) == 0 && len(w.deferred.order) == 0 {
		return done
	}
	now := time.Now()
	for _, group := range byConversation(deferred) {
		w.c.m.deferred.Inc()
		c := w.deferred.get(convOf(group[0]), now)
		done = append(done, w.deferAgain(c, group, now)...)
	}
	for i := len(w.deferred.order) - 1; i >= 0; i-- {
		if c := w.deferred.order[i]; c.retrying { // still set: nothing was deferred again
			w.resume(c, now)
		}
	}
	w.startWaiter()
	return done
}

// deferAgain puts messages back in front of those that came later. If the
// conversation has been locked for too long, it fails all of them and returns
// them.
func (w *writer) deferAgain(c *deferredConv, group []*Append, now time.Time) (failed []*Append) {
	w.c.queue.addDeferred(group)
	c.batch = append(group, c.batch...)
	c.retrying, c.withWaiter = false, false
	c.needsCreation = group[0].needsCreation
	c.attempts++
	if !c.onlyWaiter() && now.Sub(c.since) > maxDeferred {
		failed = c.batch
		w.c.queue.removeDeferred(failed)
		w.deferred.remove(c)
		w.exec.fail(failed, ErrLocked)
		return failed
	}
	c.retryAt = now
	if c.attempts >= maxAttempts {
		c.retryAt = now.Add(deferDelay)
	}
	return nil
}

// resume ends the deferral of a conversation that is no longer locked. If
// messages have queued up meanwhile, they are due at once.
func (w *writer) resume(c *deferredConv, now time.Time) {
	if len(c.batch) == 0 {
		w.deferred.remove(c)
		return
	}
	*c = deferredConv{key: c.key, batch: c.batch, since: now, retryAt: now}
}
