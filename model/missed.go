package model

import (
	"errors"
	"sync/atomic"
	"time"
)

// errLocked is what becomes of messages that wait for too long.
var errLocked = errors.New("another node has held the conversation for too long")

// missed is what a writer has put aside: messages of conversations that other
// nodes had locked, in their order. Only the writer's goroutine uses it.
//
// A conversation is first tried again with the next batches. If that fails
// too, or it must be made, the waiter gets it, who may block. What even that
// can't get hold of, because a node froze with it, is tried now and then until
// its time is over. Whatever comes for it meanwhile lines up behind.
type missed struct {
	convs map[convKey]*missedConv
	order []*missedConv // as they were missed
	size  atomic.Int64
}

type missedConv struct {
	key         convKey
	batch       []*Append
	since, next time.Time // of the first miss; to be tried again
	misses      int
	unmade      bool // it has no row yet: only the waiter makes it
	trying      bool // in the batch at hand
	waiting     bool // with the waiter
	stuck       bool // the waiter had no luck
}

// queued says that only the waiter has something to do for it, now or in its
// turn: nobody holds what has no row.
func (c *missedConv) queued() bool { return c.waiting || c.unmade }

// next is when to try again, if there is a time for it.
func (m *missed) next() (at time.Time, ok bool) {
	for _, c := range m.order {
		if !c.queued() && (!ok || c.next.Before(at)) {
			at, ok = c.next, true
		}
	}
	return at, ok
}

func (m *missed) drop(c *missedConv) {
	delete(m.convs, c.key)
	for i, o := range m.order {
		if o == c {
			m.order = append(m.order[:i], m.order[i+1:]...)
			break
		}
	}
	m.size.Store(int64(len(m.order)))
}

// tryAgain adds what was missed and is due to a batch.
func (w *writer) tryAgain(batch []*Append) []*Append {
	if len(w.missed.order) == 0 {
		return batch
	}
	now := time.Now()
	for _, c := range w.missed.order {
		if room := w.db.o.MaxBatch - len(batch); !c.queued() && !c.next.After(now) && room > 0 {
			n := min(room, len(c.batch))
			c.trying = true
			w.db.queue.aside(c.batch[:n], -1)
			batch = append(batch, c.batch[:n]...)
			c.batch = c.batch[n:]
		}
	}
	return batch
}

// lineUp takes those out of the new part of a batch that must wait behind
// others of their conversation.
func (w *writer) lineUp(batch []*Append, old int) []*Append {
	if len(w.missed.order) == 0 {
		return batch
	}
	kept := batch[:old]
	for i, a := range batch[old:] {
		if c := w.missed.convs[convOf(a)]; c != nil && (!c.trying || len(c.batch) > 0) {
			c.batch = append(c.batch, a)
			w.db.queue.aside(batch[old+i:old+i+1], +1)
			continue
		}
		kept = append(kept, a)
	}
	clear(batch[len(kept):])
	return kept
}

// sortOut puts aside what was skipped, and gives back what has its outcome.
func (w *writer) sortOut(batch []*Append) []*Append {
	settled := batch[:0]
	var skipped []*Append
	for _, a := range batch {
		if a.skipped {
			skipped = append(skipped, a)
		} else {
			settled = append(settled, a)
		}
	}
	clear(batch[len(settled):])
	if len(skipped) == 0 && len(w.missed.order) == 0 {
		return settled
	}
	now := time.Now()
	for _, part := range byConversation(skipped) {
		w.db.m.missed.Inc()
		k := convOf(part[0])
		c := w.missed.convs[k]
		if c == nil {
			c = &missedConv{key: k, since: now}
			w.missed.convs[k] = c
			w.missed.order = append(w.missed.order, c)
			w.missed.size.Store(int64(len(w.missed.order)))
		}
		settled = append(settled, w.putBack(c, part, now)...)
	}
	for i := len(w.missed.order) - 1; i >= 0; i-- {
		if c := w.missed.order[i]; c.trying { // and not skipped
			w.caughtUp(c, now)
		}
	}
	w.engage()
	return settled
}

// putBack puts messages aside again, before those that came later. It gives
// back those whose time is over.
func (w *writer) putBack(c *missedConv, part []*Append, now time.Time) (failed []*Append) {
	w.db.queue.aside(part, +1)
	c.batch = append(part, c.batch...)
	c.trying, c.waiting = false, false
	c.unmade = part[0].unmade
	c.misses++
	if !c.queued() && now.Sub(c.since) > missedFor {
		failed = c.batch
		w.db.queue.aside(failed, -1)
		w.missed.drop(c)
		w.t.fail(failed, errLocked)
		return failed
	}
	c.next = now
	if c.misses >= maxMisses {
		c.next = now.Add(retryMissed)
	}
	return nil
}

// caughtUp is for a conversation of which nothing was skipped.
func (w *writer) caughtUp(c *missedConv, now time.Time) {
	if len(c.batch) == 0 {
		w.missed.drop(c)
		return
	}
	c.trying, c.waiting, c.stuck, c.unmade, c.misses = false, false, false, false, 0
	c.since, c.next = now, now
}
