package client

import (
	"slices"
	"time"

	"chatd/proto"
)

// chores does what is due on a session and returns when to look again. Only
// its writer calls it, holding Client.mu.
func (c *Client) chores(s *session, now time.Time) (next time.Time) {
	if !now.Before(s.pingAt) {
		// A PING may wait for a server that wants silence, but not so long that
		// the connection seems dead.
		if wait := c.quiet.Sub(now); wait > 0 && wait < c.cfg.PingEvery/4 {
			s.pingAt = c.quiet
		} else {
			s.request(&proto.Request{Op: proto.PING})
			s.pingAt = now.Add(c.cfg.PingEvery)
		}
	}
	next = s.pingAt
	if !s.loggedIn {
		return next
	}
	if !c.quiet.IsZero() {
		if now.Before(c.quiet) {
			return earlier(next, c.quiet)
		}
		c.quiet = time.Time{}
		c.pump(now)
	}
	if len(c.dirty) > 0 {
		if at := c.dirtyAt.Add(receiptWait); c.dirtyN < receiptMax && now.Before(at) {
			next = earlier(next, at)
		} else {
			c.appendReceipts(s)
		}
	}
	for t := range c.holes {
		if t.syncing {
			continue
		}
		if !now.Before(t.due) {
			c.fill(s, t)
		}
		if t.hole() && !t.syncing {
			next = earlier(next, t.due)
		}
	}
	if len(c.outbox.holds) > 0 {
		c.pump(now)
		for conv, until := range c.outbox.holds {
			if !now.Before(until) {
				delete(c.outbox.holds, conv) // nothing waits there any more, or the window is full
				continue
			}
			next = earlier(next, until)
		}
	}
	return next
}

// fill asks the server for what is missing in t.
func (c *Client) fill(s *session, t *track) {
	switch {
	case !t.started:
		// An ACK of our own in a conversation we knew nothing of, and no push
		// from before it: the server holds that we have all that.
		t.assume(t.lowest()-1, nil)
		c.touch(t)
		c.watch(t, false)
	case len(s.calls) >= maxCalls || !c.queue.hasRoom(queueLen/2):
		t.due = time.Now().Add(queueWait)
	default:
		t.syncing = true
		c.rid++
		s.calls[c.rid] = &call{t: t}
		c.stats.syncs.Add(1)
		s.request(&proto.Request{Op: proto.SYNC, RID: c.rid, Peer: t.conv.Peer, GroupID: t.conv.Group,
			Fields: 1 << proto.FAfter, After: t.last, Limit: proto.MaxSyncMessages})
	}
}

// touch notes that t may have a receipt to send. The caller holds Client.mu.
func (c *Client) touch(t *track) {
	if t.handled <= t.receipted && t.readable() <= t.readSent {
		return
	}
	c.unsaved = true
	if !t.dirty {
		t.dirty = true
		c.dirty = append(c.dirty, t)
	}
	if c.dirtyN++; c.dirtyN == 1 {
		c.dirtyAt = time.Now()
		c.wakeAt(c.dirtyAt.Add(receiptWait))
	} else if c.dirtyN == receiptMax {
		c.wakeAt(c.dirtyAt)
	}
}

// appendReceipts queues receipts that are due, of so many conversations as may
// be sent in one go; the others' turn comes receiptWait later. The caller holds
// Client.mu.
func (c *Client) appendReceipts(s *session) {
	n := min(len(c.dirty), receiptsOut)
	for _, t := range c.dirty[:n] {
		t.dirty = false
		if c.tracks[t.conv] != t {
			continue
		}
		if t.handled > t.receipted {
			c.receipt(s, t, t.handled, false)
			t.receipted = t.handled
		}
		if read := t.readable(); read > t.readSent {
			c.receipt(s, t, read, true)
			t.readSent = read
		}
	}
	c.dirty = slices.Delete(c.dirty, 0, n)
	if c.dirtyN = min(len(c.dirty), receiptMax-1); c.dirtyN > 0 {
		c.dirtyAt = time.Now()
	}
}

func (c *Client) receipt(s *session, t *track, seq int64, read bool) {
	c.stats.receipts.Add(1)
	c.rid++
	if read {
		t.readRID = c.rid
	} else {
		t.receiptRID = c.rid
	}
	s.request(&proto.Request{Op: proto.RECEIPT, RID: c.rid, Peer: t.conv.Peer, GroupID: t.conv.Group, Seq: seq, Read: read})
}

// receiptRefused has a receipt sent again, if it is the last one of its
// conversation: a later one says the same and more.
func (c *Client) receiptRefused(rid int64) {
	for _, t := range c.tracks {
		switch rid {
		case t.receiptRID:
			t.receipted = 0
		case t.readRID:
			t.readSent = 0
		default:
			continue
		}
		c.touch(t)
		return
	}
}

// MarkRead tells the server, and by it one's other devices and the peer,
// that the conversation has been read up to seq; never beyond what has come.
// What History returned counts as having come: another device may have had it all, and
// where its pushes are still on their way it is told once they are there. Of
// a conversation of which nothing has come it does nothing. It is sent with the
// receipts, a moment later, or after a reconnect.
func (c *Client) MarkRead(conv Conv, seq int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tracks[conv]
	most := c.paged[conv]
	if t != nil && t.started {
		most = max(most, t.last)
	}
	if seq = min(seq, most); seq <= 0 {
		return
	}
	if t == nil {
		t = c.track(conv)
	}
	t.read = max(t.read, seq)
	c.touch(t)
}

// wakeAt makes the writer look at what is due at t, or before.
func (c *Client) wakeAt(t time.Time) {
	if c.session != nil && t.Before(c.due) {
		c.due = t
		signal(c.session.wake)
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
