package client

import (
	"slices"
	"time"

	"chatd/proto"
)

// MarkRead reports that the user has read the conversation up to seq. The server
// notifies the user's other devices and the peer. A seq above that of the last
// message received, or returned by History, is reduced to that seq. If pushes of
// messages up to seq are still on their way, the receipt is sent after they have
// arrived. MarkRead does nothing if no message of the conversation has come. It
// doesn't block: the receipt is sent within about 100 ms, or after a reconnect.
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

// readTo returns the seq of t that may be reported as read. As long as missed messages
// arrive, the first ones of t may be among them. The caller holds Client.mu.
func (c *Client) readTo(t *conversation) int64 {
	if !t.started && !c.settleAt.IsZero() {
		return 0
	}
	return t.readTo()
}

// settle ends the wait for the missed messages of a login. The caller holds Client.mu.
func (c *Client) settle() {
	c.settleAt = time.Time{}
	for _, t := range c.conversations {
		c.queueReceipt(t)
	}
}

// readReceiptsLost makes the client report again what was read shortly before the
// connection was lost: a read receipt has no answer, and may not have arrived. The
// caller holds Client.mu.
func (c *Client) readReceiptsLost() {
	for _, t := range c.conversations {
		if t.readSent > 0 && time.Since(t.readSentAt) < readSure {
			t.readSent = 0
		}
	}
}

// queueReceipt schedules a receipt for t if there is something to report. The
// caller holds Client.mu.
func (c *Client) queueReceipt(t *conversation) {
	if t.handled <= t.receiptSent && c.readTo(t) <= t.readSent {
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

// appendReceipts writes the receipts that are due to s, for at most
// receiptsPerWrite conversations. The others follow receiptDelay later. The
// caller holds Client.mu.
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
		if read := c.readTo(t); read > t.readSent {
			c.sendReceipt(s, t, read, true)
			t.readSent, t.readSentAt = read, time.Now()
		}
	}
	c.receiptsDue = slices.Delete(c.receiptsDue, 0, n)
	if c.receiptsDueMessages = min(len(c.receiptsDue), receiptBatch-1); c.receiptsDueMessages > 0 {
		c.receiptsDueSince = time.Now()
	}
}

// sendReceipt writes one receipt to s. The caller holds Client.mu.
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

// retryReceipt schedules a refused receipt again, if it is the latest of its
// conversation. An older one is obsolete: the later one covers it.
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
