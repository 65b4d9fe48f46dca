package client

import (
	"slices"
	"time"

	"chatd/proto"
)

// chores does what is due on a session and returns when to look again. Only
// its writer calls it, holding Client.mu.
func (c *Client) runTimers(s *session, now time.Time) (next time.Time) {
	if !now.Before(s.pingAt) {
		// A PING may wait for a server that wants silence, but not so long that
		// the connection seems dead.
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
				delete(c.outbox.retryAt, conv) // nothing waits there any more, or the window is full
				continue
			}
			next = earlier(next, until)
		}
	}
	return next
}

// fill asks the server for what is missing in t.
func (c *Client) requestSync(s *session, t *conversation) {
	switch {
	case !t.started:
		// An ACK of our own in a conversation we knew nothing of, and no push
		// from before it: the server holds that we have all that.
		t.startAssumed(t.lowestBuffered()-1, nil)
		c.queueReceipt(t)
		c.updateGap(t, false)
	case len(s.calls) >= maxCalls || !c.queue.hasRoom(queueLen/2):
		t.syncAt = time.Now().Add(queueRoomTimeout)
	default:
		t.syncing = true
		c.rid++
		s.calls[c.rid] = &call{conversation: t}
		c.stats.syncs.Add(1)
		s.request(&proto.Request{Op: proto.SYNC, RID: c.rid, Peer: t.conv.Peer, GroupID: t.conv.Group,
			Fields: 1 << proto.FAfter, After: t.last, Limit: proto.MaxSyncMessages})
	}
}

// touch notes that t may have a receipt to send. The caller holds Client.mu.
func (c *Client) queueReceipt(t *conversation) {
	if t.handled <= t.receiptSent && t.readTo() <= t.readSent {
		return
	}
	c.unsaved = true
	if !t.receiptDue {
		t.receiptDue = true
		c.receiptsDue = append(c.receiptsDue, t)
	}
	if c.receiptsDueMessages++; c.receiptsDueMessages == 1 {
		c.receiptsDueSince = time.Now()
		c.wakeAt(c.receiptsDueSince.Add(receiptDelay))
	} else if c.receiptsDueMessages == receiptBatch {
		c.wakeAt(c.receiptsDueSince)
	}
}

// appendReceipts queues receipts that are due, of so many conversations as may
// be sent in one go; the others' turn comes receiptWait later. The caller holds
// Client.mu.
func (c *Client) appendReceipts(s *session) {
	n := min(len(c.receiptsDue), receiptsPerWrite)
	for _, t := range c.receiptsDue[:n] {
		t.receiptDue = false
		if c.conversations[t.conv] != t {
			continue
		}
		if t.handled > t.receiptSent {
			c.sendReceipt(s, t, t.handled, false)
			t.receiptSent = t.handled
		}
		if read := t.readTo(); read > t.readSent {
			c.sendReceipt(s, t, read, true)
			t.readSent = read
		}
	}
	c.receiptsDue = slices.Delete(c.receiptsDue, 0, n)
	if c.receiptsDueMessages = min(len(c.receiptsDue), receiptBatch-1); c.receiptsDueMessages > 0 {
		c.receiptsDueSince = time.Now()
	}
}

func (c *Client) sendReceipt(s *session, t *conversation, seq int64, read bool) {
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
func (c *Client) retryReceipt(rid int64) {
	for _, t := range c.conversations {
		switch rid {
		case t.receiptRID:
			t.receiptSent = 0
		case t.readRID:
			t.readSent = 0
		default:
			continue
		}
		c.queueReceipt(t)
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
	t := c.conversations[conv]
	most := c.historyEnd[conv]
	if t != nil && t.started {
		most = max(most, t.last)
	}
	if seq = min(seq, most); seq <= 0 {
		return
	}
	if t == nil {
		t = c.conversation(conv)
	}
	t.read = max(t.read, seq)
	c.queueReceipt(t)
}

// wakeAt makes the writer look at what is due at t, or before.
func (c *Client) wakeAt(t time.Time) {
	if c.session != nil && t.Before(c.wakeTime) {
		c.wakeTime = t
		signal(c.session.wake)
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
