package client

import (
	"time"

	"chatd/proto"
)

// updateGap adds t to Client.gaps, or removes it, when its gap opens or closes.
// Progress restarts the delay before a SYNC, because pushes are filling the gap.
func (c *Client) updateGap(t *conversation, progress bool) {
	switch {
	case !t.hasGap():
		if !t.syncAt.IsZero() {
			t.syncAt = time.Time{}
			delete(c.gaps, t)
		}
	case t.syncAt.IsZero() || progress && !t.syncing:
		delay := gapDelay
		if !t.started {
			delay = unknownStartDelay
		}
		c.scheduleSync(t, delay)
	}
}

// scheduleSync schedules a SYNC for t, if it has a gap.
func (c *Client) scheduleSync(t *conversation, wait time.Duration) {
	if !t.hasGap() {
		return
	}
	t.syncAt = time.Now().Add(wait)
	c.gaps[t] = struct{}{}
	c.wakeAt(t.syncAt)
}

// requestSync sends a SYNC for the missing messages of t.
func (c *Client) requestSync(s *session, t *conversation) {
	switch {
	case !t.started && !c.settleAt.IsZero():
		t.syncAt = c.settleAt // missed messages are arriving, and may be from before the ACKs
	case !t.started:
		// Only ACKs of our own messages came, and no push from before them: the server
		// believes that we have all messages before them.
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

// handleSync processes the answer to a SYNC for missing messages.
func (c *Client) handleSync(fx *effects, t *conversation, r *proto.Response, err error) {
	t.syncing = false
	if c.conversations[t.conv] != t {
		return // left in the meantime
	}
	switch r.Errno {
	case proto.Done:
	case proto.NotFound, proto.NotAllowed:
		// The group is gone or the user isn't a member any more: deliver what has come,
		// then drop the conversation.
		for t.lowestBuffered() > 0 {
			c.queueMessages(fx, t, t.startAt(t.lowestBuffered()-1, fx.scratch[:0]))
		}
		c.forgetConversation(t.conv)
		return
	default:
		c.cfg.Logger.Info("sync failed", "conversation", t.conv, "error", err)
		c.scheduleSync(t, max(syncBackoffMin, retryAfter(err)))
		return
	}
	if !c.queue.hasRoom(queueLen) {
		c.scheduleSync(t, queueRoomTimeout)
		return
	}
	before := t.last
	if r.First > t.last+1 {
		c.queueMessages(fx, t, t.startAt(r.First-1, fx.scratch[:0]))
	}
	for i := range r.Messages {
		m := c.messageOfChat(&r.Messages[i])
		if m.Conv == t.conv {
			c.receiveMessage(fx, &m, true)
		}
	}
	c.queueReceipt(t)
	c.updateGap(t, false)
	switch {
	case !t.hasGap():
		t.syncBackoff = 0
	case t.last == before:
		t.syncBackoff = min(max(syncBackoffMin, 2*t.syncBackoff), syncBackoffMax)
		c.scheduleSync(t, t.syncBackoff)
	case r.More:
		c.scheduleSync(t, 0)
	}
}
