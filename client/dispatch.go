package client

import (
	"context"
	"time"
)

// handledBatch is the number of messages after which the dispatcher reports
// progress, while more are queued.
const handledBatch = 16

// queueBarrier is an item of the queue that the dispatcher closes when it has
// handled all items before it.
type queueBarrier chan struct{}

// Handled waits until the handlers have been called for everything received so
// far. A handler must not call it. The error is the context's, or ErrClosed.
func (c *Client) Handled(ctx context.Context) error {
	m := make(queueBarrier)
	c.queue.put(queueItem{what: m})
	select {
	case <-m:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.dispatchDone:
		return ErrClosed
	}
}

// dispatch calls the handlers until Close, and saves the progress from time to
// time.
func (c *Client) dispatch() {
	defer close(c.dispatchDone)
	var items []queueItem
	saved := time.Now()
	save := time.NewTimer(time.Hour)
	defer save.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.queue.wake:
		case <-save.C:
		}
		items = c.queue.take(items)
		for from := 0; from < len(items); from += handledBatch {
			some := items[from:min(from+handledBatch, len(items))]
			for i := range some {
				if c.stopping.Load() {
					c.markHandled(some[:i])
					return
				}
				c.callHandler(&some[i])
			}
			c.markHandled(some)
		}
		if c.cfg.State == nil {
			continue
		}
		if wait := saveEvery - time.Since(saved); wait > 0 {
			save.Reset(wait)
			continue
		}
		saved = time.Now()
		if !c.saveOrLog() {
			save.Reset(saveEvery)
		}
	}
}

// callHandler calls the handler for one item.
func (c *Client) callHandler(it *queueItem) {
	h := &c.cfg.Handlers
	if it.conversation != nil {
		c.stats.received.Add(1)
		if h.Message != nil {
			h.Message(it.msg)
		}
		return
	}
	switch v := it.what.(type) {
	case queueBarrier:
		close(v)
	case StateChange:
		if h.State != nil {
			h.State(v)
		}
	case Event:
		if h.Event != nil {
			h.Event(v)
		}
	case Read:
		if h.Read != nil {
			h.Read(v)
		}
	case Presence:
		if h.Presence != nil {
			h.Presence(v)
		}
	case Change:
		if h.Change != nil {
			h.Change(v)
		}
	}
}

// markHandled records that the handlers have returned from these items, so that
// receipts can report them.
func (c *Client) markHandled(items []queueItem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range items {
		if t := items[i].conversation; t != nil {
			t.messageHandled(items[i].msg.Seq)
			if c.conversations[t.conv] == t {
				c.queueReceipt(t)
			}
		}
	}
}
