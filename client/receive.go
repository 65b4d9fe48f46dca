package client

import (
	"math/rand/v2"
	"time"

	"chatd/proto"
)

// effects collects what processing a frame causes, to be done after Client.mu is
// unlocked. Its slices are reused.
type effects struct {
	scratch      []Message // reused for messages that became deliverable
	items        []queueItem
	acks         []ackResult
	flushWaiters []chan struct{}
	answers      []answeredCall
}

// ackResult is the outcome of an outgoing message.
type ackResult struct {
	m   *outgoing
	r   Receipt
	err error
}

// answeredCall is a call with its answer.
type answeredCall struct {
	call *call
	r    *proto.Response
	err  error
}

// receive processes one frame from the server. Only the session's reader calls
// it. r is valid until the decoder's next call.
func (c *Client) receive(s *session, r *proto.Response) {
	room := true
	switch r.Op {
	case proto.ONE_CHAT, proto.GROUP_CHAT, proto.SYNC_ACK:
		room = c.awaitRoom(s)
	}
	fx := &s.effects
	c.mu.Lock()
	c.handle(s, fx, r, room)
	if s.loggedIn && len(fx.acks) > 0 {
		c.sendWaiting(time.Time{})
		fx.flushWaiters = c.outbox.takeFlushWaiters()
	}
	c.mu.Unlock()

	// Queue events before completing calls: a caller that gets an answer can rely on
	// the events before it being queued.
	c.queue.put(fx.items...)
	for _, a := range fx.acks {
		if a.m.done != nil {
			a.m.done(a.r, a.err)
		}
	}
	closeAll(fx.flushWaiters)
	for _, a := range fx.answers {
		a.call.complete(a.r, a.err)
	}
	clear(fx.acks)
	clear(fx.answers)
	clear(fx.items)
	fx.acks, fx.answers, fx.items, fx.flushWaiters = fx.acks[:0], fx.answers[:0], fx.items[:0], nil
}

// awaitRoom reports whether the queue has room for messages. It waits for slow
// handlers for a moment, which slows down the server. It doesn't wait for
// blocked handlers, because they may wait for an answer that the reader has yet
// to read.
func (c *Client) awaitRoom(s *session) bool {
	if s.queueFull && !c.queue.hasRoom(queueLen/2) {
		return false
	}
	s.queueFull = !c.queue.awaitRoom(queueRoomTimeout, c.ctx.Done())
	return !s.queueFull
}

// handle is the part of receive that holds Client.mu.
func (c *Client) handle(s *session, fx *effects, r *proto.Response, room bool) {
	switch r.Op {
	case proto.ONE_CHAT, proto.GROUP_CHAT:
		m := c.messageOfPush(r)
		c.conversation(m.Conv).pushed(m.Seq)
		c.receiveMessage(fx, &m, room)
		if !c.settleAt.IsZero() {
			c.settleAt = time.Now().Add(unknownStartDelay)
		}
		return
	case proto.ONE_CHAT_ACK, proto.GROUP_CHAT_ACK:
		if m := c.outbox.inFlight[r.RID]; m != nil {
			c.handleAck(fx, m, r)
		}
		return
	case proto.KICK:
		s.kick = &KickError{Reason: r.Reason, Message: r.ErrMsg, RetryAfter: retryDuration(r.RetryAfter)}
		return
	case proto.PING:
		s.request(&proto.Request{Op: proto.PONG})
		return
	}
	if r.Fields.Has(proto.FRID) {
		c.handleAnswer(s, fx, r)
		return
	}
	if r.Op == proto.ERROR {
		c.handleError(s, r)
		return
	}
	if push := c.applyPush(r); push != nil {
		c.queueDroppable(fx, push)
	}
}

// handleAnswer processes the answer to a request of this client.
func (c *Client) handleAnswer(s *session, fx *effects, r *proto.Response) {
	if m := c.outbox.inFlight[r.RID]; m != nil && r.Op == proto.ERROR {
		c.handleAck(fx, m, r)
		return
	}
	cl := s.calls[r.RID]
	if cl == nil { // the caller has given up, or never waited
		if r.Op == proto.ERROR && r.Errno == proto.TooFast {
			c.throttle(r)
			c.retryReceipt(r.RID)
		}
		return
	}
	delete(s.calls, r.RID)
	err := responseError(r)
	if r.Errno == proto.TooFast && s.loggedIn && retriesWhenThrottled(cl.req) {
		c.throttle(r)
	}
	switch {
	case cl.conversation != nil:
		c.handleSync(fx, cl.conversation, r, err)
		return
	case err != nil:
	case r.Op == proto.LOGIN_ACK:
		c.applyLogin(s, fx, r)
	case r.Op == proto.LOGOUT_ACK:
		s.loggedIn = false
	default:
		c.applyAnswer(fx, cl.req, r)
	}
	own := *r
	own.Msg, own.CID, own.Event, own.Data = nil, nil, nil, nil
	fx.answers = append(fx.answers, answeredCall{cl, &own, err})
}

// handleError processes an ERROR without a rid: about an event, a PING, or the
// connection itself.
func (c *Client) handleError(s *session, r *proto.Response) {
	switch {
	case r.Errno != proto.TooFast:
	case s.loggedIn:
		c.throttle(r)
	default:
		s.rejection = responseError(r)
	}
}

// throttle stops sending for as long as the server asks. It adds a random delay,
// so that clients don't all return at once. Further refusals of frames already
// in flight don't extend it.
func (c *Client) throttle(r *proto.Response) {
	wait := retryDuration(r.RetryAfter)
	if until := time.Now().Add(wait); until.After(c.throttledUntil) {
		c.throttledUntil = until.Add(rand.N(wait/4 + unavailableBackoffMin/4))
		c.wakeAt(c.throttledUntil)
	}
}

// retriesWhenThrottled reports whether a throttled request is retried. A
// password change isn't: the user is waiting for its result.
func retriesWhenThrottled(q *proto.Request) bool { return q == nil || q.Op != proto.PASSWORD }

// queueDroppable queues a value for the handlers, or drops it if the queue is
// full. Only for values that may be lost.
func (c *Client) queueDroppable(fx *effects, what any) {
	if c.queue.hasRoom(queueLen) {
		fx.items = append(fx.items, queueItem{what: what})
	} else {
		c.stats.dropped.Add(1)
	}
}

// messageOfPush returns the Message of a push, with one allocation.
func (c *Client) messageOfPush(r *proto.Response) Message {
	text := make([]byte, 0, 128)
	both := string(append(append(text, r.Msg...), r.CID...))
	return Message{
		Conv: c.convOf(r.ID, r.ToID, r.GroupID), Seq: r.Seq, From: r.ID, Name: r.Name,
		Text: both[:len(r.Msg)], CID: both[len(r.Msg):], Time: time.UnixMilli(r.Time),
	}
}

// messageOfChat returns the Message of an element of a list.
func (c *Client) messageOfChat(m *proto.Chat) Message {
	return Message{
		Conv: c.convOf(m.ID, m.ToID, m.GroupID), Seq: m.Seq, From: m.ID, Name: m.Name, Gone: m.Gone,
		Text: m.Msg, CID: m.CID, Time: time.UnixMilli(m.Time),
	}
}

// convOf returns the conversation of a message, by its sender and receiver.
func (c *Client) convOf(from, to, group int64) Conv {
	switch {
	case group != 0:
		return Group(group)
	case from == c.userID:
		return User(to)
	}
	return User(from)
}

// conversation returns the state of conv; it creates it if needed.
func (c *Client) conversation(conv Conv) *conversation {
	t := c.conversations[conv]
	if t == nil {
		t = newConversation(conv)
		c.conversations[conv] = t
	}
	return t
}

// receiveMessage processes a message, whether pushed, from a SYNC or from
// offlinemsg. If there is no room for it, it is read again later.
func (c *Client) receiveMessage(fx *effects, m *Message, room bool) {
	t := c.conversation(m.Conv)
	if m.From == c.userID && c.outbox.size() > 0 {
		if own := c.outbox.takeByCID(m.Conv, m.CID); own != nil {
			// An own message whose ACK was lost. Its arrival confirms it.
			c.messageStored(fx, own, Receipt{Seq: m.Seq, Time: m.Time})
			return
		}
	}
	if !room && (!t.started || m.Seq > t.last) {
		c.stats.queueFull.Add(1)
		if !t.started {
			c.queueMessages(fx, t, t.startAt(m.Seq-1, fx.scratch[:0]))
		}
		t.noteExists(m.Seq)
		c.updateGap(t, false)
		return
	}
	c.addSeq(fx, t, m.Seq, m)
}

// addSeq adds a seq to its conversation and queues the messages that became
// deliverable. m is nil for the ACK of an own message.
func (c *Client) addSeq(fx *effects, t *conversation, seq int64, m *Message) {
	before := t.last
	shown, fresh := t.add(seq, m, fx.scratch[:0])
	c.queueMessages(fx, t, shown)
	if !fresh && m != nil {
		// Sent again: the server doesn't know that we have it, so send the receipt
		// again.
		c.stats.duplicates.Add(1)
		t.receiptSent = min(t.receiptSent, seq-1)
	}
	c.queueReceipt(t)
	c.updateGap(t, t.last > before)
}

// queueMessages queues messages of t for the handler.
func (c *Client) queueMessages(fx *effects, t *conversation, shown []Message) {
	for i := range shown {
		fx.items = append(fx.items, queueItem{conversation: t, msg: shown[i]})
	}
	clear(shown)
	fx.scratch = shown[:0]
}

// handleAck processes the answer to a chat message in flight.
func (c *Client) handleAck(fx *effects, m *outgoing, r *proto.Response) {
	delete(c.outbox.inFlight, m.rid)
	switch r.Errno {
	case proto.Done:
		c.messageStored(fx, m, Receipt{Seq: r.Seq, Time: time.UnixMilli(r.Time)})
		return
	case proto.TooFast:
		c.outbox.requeue(m, time.Time{})
		c.throttle(r)
		return
	case proto.Unavailable, proto.NotLoggedIn:
		m.retry = true
		wait := unavailableBackoffMax
		if m.tries < 10 {
			wait = min(wait, unavailableBackoffMin<<m.tries)
		}
		c.retryLater(m, max(wait/2+rand.N(wait/2), min(retryDuration(r.RetryAfter), maxRetryAfter)))
		return
	}
	c.stats.refused.Add(1)
	fx.acks = append(fx.acks, ackResult{m: m, err: responseError(r)})
}

// retryLater requeues m, to be sent after wait.
func (c *Client) retryLater(m *outgoing, wait time.Duration) {
	until := time.Now().Add(wait)
	c.outbox.requeue(m, until)
	c.wakeAt(until)
}

// messageStored completes a stored message. The server doesn't push it to this
// device, so its seq is added to the set here.
func (c *Client) messageStored(fx *effects, m *outgoing, r Receipt) {
	c.stats.acked.Add(1)
	fx.acks = append(fx.acks, ackResult{m: m, r: r})
	c.addSeq(fx, c.conversation(m.conv), r.Seq, nil)
}

// forgetConversation drops the state of a conversation.
func (c *Client) forgetConversation(conv Conv) {
	if t := c.conversations[conv]; t != nil {
		delete(c.conversations, conv)
		delete(c.gaps, t)
		c.unsaved = true
	}
	delete(c.historyEnd, conv)
}

// retryDuration converts milliseconds of the server, limited to 0 to
// maxRetryAfter.
func retryDuration(n int64) time.Duration {
	return time.Duration(min(max(n, 0), int64(maxRetryAfter/time.Millisecond))) * time.Millisecond
}
