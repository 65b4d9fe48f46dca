package client

import (
	"math/rand/v2"
	"time"

	"chatd/proto"
)

// inbox collects what one frame sets off, to be done after the lock is let
// go. Its slices are used again and again.
type effects struct {
	scratch      []Message // scratch of arrived
	items        []queueItem
	acks         []ackResult
	flushWaiters []chan struct{}
	answers      []answeredCall
}

type ackResult struct {
	m   *outgoing
	r   Receipt
	err error
}

type answeredCall struct {
	call *call
	r    *proto.Response
	err  error
}

// receive takes in one message of the server. Only the session's reader
// calls it. r and its bytes are the decoder's.
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

	// First, so that whoever gets an answer finds queued what came before it.
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

// awaitRoom reports whether the queue takes messages. Handlers that are a
// little slow slow down reading, and by that the server; those that stand
// still (perhaps waiting for an answer that has yet to be read) don't.
func (c *Client) awaitRoom(s *session) bool {
	if s.queueFull && !c.queue.hasRoom(queueLen/2) {
		return false
	}
	s.queueFull = !c.queue.awaitRoom(queueRoomTimeout, c.ctx.Done())
	return !s.queueFull
}

// handle is receive under Client.mu.
func (c *Client) handle(s *session, fx *effects, r *proto.Response, room bool) {
	switch r.Op {
	case proto.ONE_CHAT, proto.GROUP_CHAT:
		m := c.messageOfPush(r)
		c.receiveMessage(fx, &m, room)
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

// answer takes in what answers a request of this client.
func (c *Client) handleAnswer(s *session, fx *effects, r *proto.Response) {
	if m := c.outbox.inFlight[r.RID]; m != nil && r.Op == proto.ERROR {
		c.handleAck(fx, m, r)
		return
	}
	cl := s.calls[r.RID]
	if cl == nil { // whoever asked has gone, or didn't wait
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

// complaint takes in an ERROR that names no request: of an event or a PING, or
// of the connection as such.
func (c *Client) handleError(s *session, r *proto.Response) {
	switch {
	case r.Errno != proto.TooFast:
	case s.loggedIn:
		c.throttle(r)
	default:
		s.rejection = responseError(r)
	}
}

// slowDown keeps all from being sent for as long as the server has asked, and
// a little longer: not everyone comes back at the same moment, and what the
// server refuses next because it was under way says no more than this.
func (c *Client) throttle(r *proto.Response) {
	wait := retryDuration(r.RetryAfter)
	if until := time.Now().Add(wait); until.After(c.throttledUntil) {
		c.throttledUntil = until.Add(rand.N(wait/4 + unavailableBackoffMin/4))
		c.wakeAt(c.throttledUntil)
	}
}

// waits says whether a request may wait until the server takes it: not so
// passwords, which somebody has just typed.
func retriesWhenThrottled(q *proto.Request) bool { return q == nil || q.Op != proto.PASSWORD }

// tell queues for the handlers what may be lost: the lists are up to date
// without it, and no server repeats the rest.
func (c *Client) queueDroppable(fx *effects, what any) {
	if c.queue.hasRoom(queueLen) {
		fx.items = append(fx.items, queueItem{what: what})
	} else {
		c.stats.dropped.Add(1)
	}
}

// pushed makes a Message of a push, with one allocation.
func (c *Client) messageOfPush(r *proto.Response) Message {
	text := make([]byte, 0, 128)
	both := string(append(append(text, r.Msg...), r.CID...))
	return Message{
		Conv: c.convOf(r.ID, r.ToID, r.GroupID), Seq: r.Seq, From: r.ID, Name: r.Name,
		Text: both[:len(r.Msg)], CID: both[len(r.Msg):], Time: time.UnixMilli(r.Time),
	}
}

func (c *Client) messageOfChat(m *proto.Chat) Message {
	return Message{
		Conv: c.convOf(m.ID, m.ToID, m.GroupID), Seq: m.Seq, From: m.ID, Name: m.Name,
		Text: m.Msg, CID: m.CID, Time: time.UnixMilli(m.Time),
	}
}

func (c *Client) convOf(from, to, group int64) Conv {
	switch {
	case group != 0:
		return Group(group)
	case from == c.userID:
		return User(to)
	}
	return User(from)
}

func (c *Client) conversation(conv Conv) *conversation {
	t := c.conversations[conv]
	if t == nil {
		t = newConversation(conv)
		c.conversations[conv] = t
	}
	return t
}

// arrived takes in a message, however it came.
func (c *Client) receiveMessage(fx *effects, m *Message, room bool) {
	t := c.conversation(m.Conv)
	if m.From == c.userID && c.outbox.size() > 0 {
		if own := c.outbox.takeByCID(m.Conv, m.CID); own != nil {
			// Our own, whose ACK was lost: that it is here says as much.
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

// add puts a seq into its track and queues what can be shown.
func (c *Client) addSeq(fx *effects, t *conversation, seq int64, m *Message) {
	before := t.last
	shown, fresh := t.add(seq, m, fx.scratch[:0])
	c.queueMessages(fx, t, shown)
	if !fresh && m != nil {
		// The server doesn't know that we have it.
		c.stats.duplicates.Add(1)
		t.receiptSent = min(t.receiptSent, seq-1)
	}
	c.queueReceipt(t)
	c.updateGap(t, t.last > before)
}

func (c *Client) queueMessages(fx *effects, t *conversation, shown []Message) {
	for i := range shown {
		fx.items = append(fx.items, queueItem{conversation: t, msg: shown[i]})
	}
	clear(shown)
	fx.scratch = shown[:0]
}

// acked takes in the answer to a chat message on the wire.
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

func (c *Client) retryLater(m *outgoing, wait time.Duration) {
	until := time.Now().Add(wait)
	c.outbox.requeue(m, until)
	c.wakeAt(until)
}

// confirmed settles a message that is stored. The sending device is not
// pushed its own message: the ACK puts it into the set.
func (c *Client) messageStored(fx *effects, m *outgoing, r Receipt) {
	c.stats.acked.Add(1)
	fx.acks = append(fx.acks, ackResult{m: m, r: r})
	c.addSeq(fx, c.conversation(m.conv), r.Seq, nil)
}

// synced takes in the answer to a SYNC for a hole.
func (c *Client) handleSync(fx *effects, t *conversation, r *proto.Response, err error) {
	t.syncing = false
	if c.conversations[t.conv] != t {
		return // left meanwhile
	}
	switch r.Errno {
	case proto.Done:
	case proto.NotFound, proto.NotAllowed:
		// Nothing more is to be had here: show what came, and forget.
		for t.lowestBuffered() > 0 {
			c.queueMessages(fx, t, t.startAt(t.lowestBuffered()-1, fx.scratch[:0]))
		}
		c.forgetConversation(t.conv)
		return
	default:
		c.cfg.Logger.Info("a hole could not be filled", "conversation", t.conv, "error", err)
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

// watch keeps the list of holes in step with t. A hole that shrinks is
// being filled: it gets its time anew.
func (c *Client) updateGap(t *conversation, progress bool) {
	switch {
	case !t.hasGap():
		if !t.syncAt.IsZero() {
			t.syncAt = time.Time{}
			delete(c.gaps, t)
		}
	case t.syncAt.IsZero() || progress && !t.syncing:
		grace := gapDelay
		if !t.started {
			grace = unknownStartDelay
		}
		c.scheduleSync(t, grace)
	}
}

func (c *Client) scheduleSync(t *conversation, wait time.Duration) {
	if !t.hasGap() {
		return
	}
	t.syncAt = time.Now().Add(wait)
	c.gaps[t] = struct{}{}
	c.wakeAt(t.syncAt)
}

// forget drops what is known of a conversation that is no longer ours.
func (c *Client) forgetConversation(conv Conv) {
	if t := c.conversations[conv]; t != nil {
		delete(c.conversations, conv)
		delete(c.gaps, t)
		c.unsaved = true
	}
	delete(c.historyEnd, conv)
}

func retryDuration(n int64) time.Duration {
	return time.Duration(min(max(n, 0), int64(maxRetryAfter/time.Millisecond))) * time.Millisecond
}
