package client

import (
	"time"

	"chatd/proto"
)

// runTimers does the work of s that is due (pings, receipts, SYNCs, retries) and
// returns when the next work is due. Only the writer calls it, holding
// Client.mu.
func (c *Client) runTimers(s *session, now time.Time) (next time.Time) {
	if !now.Before(s.pingAt) {
		// While the server throttles, delay the PING; but not so long that the
		// connection seems dead.
		if wait := c.throttledUntil.Sub(now); wait > 0 && wait < c.cfg.PingEvery/4 {
			s.pingAt = c.throttledUntil
		} else {
			s.request(&proto.Request{Op: proto.PING})
			s.pingAt = now.Add(c.cfg.PingEvery)
		}
	}
	next = s.pingAt
	if !s.loggedIn {
		return next
	}
	if !c.throttledUntil.IsZero() {
		if now.Before(c.throttledUntil) {
			return earlier(next, c.throttledUntil)
		}
		c.throttledUntil = time.Time{}
		c.sendWaiting(now)
	}
	if !c.settleAt.IsZero() {
		if now.Before(c.settleAt) {
			next = earlier(next, c.settleAt)
		} else {
			c.settle()
		}
	}
	if len(c.receiptsDue) > 0 {
		if at := c.receiptsDueSince.Add(receiptDelay); c.receiptsDueMessages < receiptBatch && now.Before(at) {
			next = earlier(next, at)
		} else {
			c.appendReceipts(s)
		}
	}
	for t := range c.gaps {
		if t.syncing {
			continue
		}
		if !now.Before(t.syncAt) {
			c.requestSync(s, t)
		}
		if t.hasGap() && !t.syncing {
			next = earlier(next, t.syncAt)
		}
	}
	if len(c.outbox.retryAt) > 0 {
		c.sendWaiting(now)
		for conv, until := range c.outbox.retryAt {
			if !now.Before(until) {
				delete(c.outbox.retryAt, conv) // nothing waits for it, or the window is full
				continue
			}
			next = earlier(next, until)
		}
	}
	return next
}

// wakeAt makes the writer run its timers at t or before. The caller holds
// Client.mu.
func (c *Client) wakeAt(t time.Time) {
	if c.session != nil && t.Before(c.wakeTime) {
		c.wakeTime = t
		signal(c.session.wake)
	}
}

// earlier returns the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
