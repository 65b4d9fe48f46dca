package client

import (
	"math/rand/v2"
	"time"

	"chatd/proto"
)

// inbox collects what one frame sets off, to be done after the lock is let
// go. Its slices are used again and again.
type inbox struct {
	shown   []Message // scratch of arrived
	items   []item
	acks    []ack
	flushed []chan struct{}
	answers []answered
}

type ack struct {
	m   *outgoing
	r   Receipt
	err error
}

type answered struct {
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
	in := &s.in
	c.mu.Lock()
	c.handle(s, in, r, room)
	if s.loggedIn && len(in.acks) > 0 {
		c.pump(time.Time{})
		in.flushed = c.outbox.flushed()
	}
	c.mu.Unlock()

	// First, so that whoever gets an answer finds queued what came before it.
	c.queue.put(in.items...)
	for _, a := range in.acks {
		if a.m.done != nil {
			a.m.done(a.r, a.err)
		}
	}
	closeAll(in.flushed)
	for _, a := range in.answers {
		a.call.answer(a.r, a.err)
	}
	clear(in.acks)
	clear(in.answers)
	clear(in.items)
	in.acks, in.answers, in.items, in.flushed = in.acks[:0], in.answers[:0], in.items[:0], nil
}

// awaitRoom reports whether the queue takes messages. Handlers that are a
// little slow slow down reading, and by that the server; those that stand
// still (perhaps waiting for an answer that has yet to be read) don't.
func (c *Client) awaitRoom(s *session) bool {
	if s.overflow && !c.queue.hasRoom(queueLen/2) {
		return false
	}
	s.overflow = !c.queue.await(queueWait, c.ctx.Done())
	return !s.overflow
}

// handle is receive under Client.mu.
func (c *Client) handle(s *session, in *inbox, r *proto.Response, room bool) {
	switch r.Op {
	case proto.ONE_CHAT, proto.GROUP_CHAT:
		m := c.pushed(r)
		c.arrived(in, &m, room)
		return
	case proto.ONE_CHAT_ACK, proto.GROUP_CHAT_ACK:
		if m := c.outbox.flight[r.RID]; m != nil {
			c.acked(in, m, r)
		}
		return
	case proto.KICK:
		s.kick = &KickError{Reason: r.Reason, Message: r.ErrMsg, RetryAfter: ms(r.RetryAfter)}
		return
	case proto.PING:
		s.request(&proto.Request{Op: proto.PONG})
		return
	}
	if r.Fields.Has(proto.FRID) {
		c.answer(s, in, r)
		return
	}
	if r.Op == proto.ERROR {
		c.complaint(s, r)
		return
	}
	if push := c.told(r); push != nil {
		c.tell(in, push)
	}
}

// answer takes in what answers a request of this client.
func (c *Client) answer(s *session, in *inbox, r *proto.Response) {
	if m := c.outbox.flight[r.RID]; m != nil && r.Op == proto.ERROR {
		c.acked(in, m, r)
		return
	}
	cl := s.calls[r.RID]
	if cl == nil { // whoever asked has gone, or didn't wait
		if r.Op == proto.ERROR && r.Errno == proto.TooFast {
			c.slowDown(r)
			c.receiptRefused(r.RID)
		}
		return
	}
	delete(s.calls, r.RID)
	err := refusal(r)
	if r.Errno == proto.TooFast && s.loggedIn && waits(cl.req) {
		c.slowDown(r)
	}
	switch {
	case cl.t != nil:
		c.synced(in, cl.t, r, err)
		return
	case err != nil:
	case r.Op == proto.LOGIN_ACK:
		c.loggedIn(s, in, r)
	case r.Op == proto.LOGOUT_ACK:
		s.loggedIn = false
	default:
		c.learn(in, cl.req, r)
	}
	own := *r
	own.Msg, own.CID, own.Event, own.Data = nil, nil, nil, nil
	in.answers = append(in.answers, answered{cl, &own, err})
}

// complaint takes in an ERROR that names no request: of an event or a PING, or
// of the connection as such.
func (c *Client) complaint(s *session, r *proto.Response) {
	switch {
	case r.Errno != proto.TooFast:
	case s.loggedIn:
		c.slowDown(r)
	default:
		s.turnedAway = refusal(r)
	}
}

// slowDown keeps all from being sent for as long as the server has asked, and
// a little longer: not everyone comes back at the same moment, and what the
// server refuses next because it was under way says no more than this.
func (c *Client) slowDown(r *proto.Response) {
	wait := ms(r.RetryAfter)
	if until := time.Now().Add(wait); until.After(c.quiet) {
		c.quiet = until.Add(rand.N(wait/4 + unsureWait/4))
		c.wakeAt(c.quiet)
	}
}

// waits says whether a request may wait until the server takes it: not so
// passwords, which somebody has just typed.
func waits(q *proto.Request) bool { return q == nil || q.Op != proto.PASSWORD }

// tell queues for the handlers what may be lost: the lists are up to date
// without it, and no server repeats the rest.
func (c *Client) tell(in *inbox, what any) {
	if c.queue.hasRoom(queueLen) {
		in.items = append(in.items, item{what: what})
	} else {
		c.stats.dropped.Add(1)
	}
}

// pushed makes a Message of a push, with one allocation.
func (c *Client) pushed(r *proto.Response) Message {
	text := make([]byte, 0, 128)
	both := string(append(append(text, r.Msg...), r.CID...))
	return Message{
		Conv: c.convOf(r.ID, r.ToID, r.GroupID), Seq: r.Seq, From: r.ID, Name: r.Name,
		Text: both[:len(r.Msg)], CID: both[len(r.Msg):], Time: time.UnixMilli(r.Time),
	}
}

func (c *Client) listed(m *proto.Chat) Message {
	return Message{
		Conv: c.convOf(m.ID, m.ToID, m.GroupID), Seq: m.Seq, From: m.ID, Name: m.Name,
		Text: m.Msg, CID: m.CID, Time: time.UnixMilli(m.Time),
	}
}

func (c *Client) convOf(from, to, group int64) Conv {
	switch {
	case group != 0:
		return Group(group)
	case from == c.me:
		return User(to)
	}
	return User(from)
}

func (c *Client) track(conv Conv) *track {
	t := c.tracks[conv]
	if t == nil {
		t = newTrack(conv)
		c.tracks[conv] = t
	}
	return t
}

// arrived takes in a message, however it came.
func (c *Client) arrived(in *inbox, m *Message, room bool) {
	t := c.track(m.Conv)
	if m.From == c.me && c.outbox.size() > 0 {
		if own := c.outbox.byCID(m.Conv, m.CID); own != nil {
			// Our own, whose ACK was lost: that it is here says as much.
			c.confirmed(in, own, Receipt{Seq: m.Seq, Time: m.Time})
			return
		}
	}
	if !room && (!t.started || m.Seq > t.last) {
		c.stats.queueFull.Add(1)
		if !t.started {
			c.show(in, t, t.startAt(m.Seq-1, in.shown[:0]))
		}
		t.exists(m.Seq)
		c.watch(t, false)
		return
	}
	c.add(in, t, m.Seq, m)
}

// add puts a seq into its track and queues what can be shown.
func (c *Client) add(in *inbox, t *track, seq int64, m *Message) {
	before := t.last
	shown, fresh := t.add(seq, m, in.shown[:0])
	c.show(in, t, shown)
	if !fresh && m != nil {
		// The server doesn't know that we have it.
		c.stats.duplicates.Add(1)
		t.receipted = min(t.receipted, seq-1)
	}
	c.touch(t)
	c.watch(t, t.last > before)
}

func (c *Client) show(in *inbox, t *track, shown []Message) {
	for i := range shown {
		in.items = append(in.items, item{track: t, msg: shown[i]})
	}
	clear(shown)
	in.shown = shown[:0]
}

// acked takes in the answer to a chat message on the wire.
func (c *Client) acked(in *inbox, m *outgoing, r *proto.Response) {
	delete(c.outbox.flight, m.rid)
	switch r.Errno {
	case proto.Done:
		c.confirmed(in, m, Receipt{Seq: r.Seq, Time: time.UnixMilli(r.Time)})
		return
	case proto.TooFast:
		c.outbox.again(m, time.Time{})
		c.slowDown(r)
		return
	case proto.Unavailable, proto.NotLoggedIn:
		m.retry = true
		wait := unsureWaitMax
		if m.tries < 10 {
			wait = min(wait, unsureWait<<m.tries)
		}
		c.again(m, max(wait/2+rand.N(wait/2), min(ms(r.RetryAfter), maxRetryAfter)))
		return
	}
	c.stats.refused.Add(1)
	in.acks = append(in.acks, ack{m: m, err: refusal(r)})
}

func (c *Client) again(m *outgoing, wait time.Duration) {
	until := time.Now().Add(wait)
	c.outbox.again(m, until)
	c.wakeAt(until)
}

// confirmed settles a message that is stored. The sending device is not
// pushed its own message: the ACK puts it into the set.
func (c *Client) confirmed(in *inbox, m *outgoing, r Receipt) {
	c.stats.acked.Add(1)
	in.acks = append(in.acks, ack{m: m, r: r})
	c.add(in, c.track(m.conv), r.Seq, nil)
}

// synced takes in the answer to a SYNC for a hole.
func (c *Client) synced(in *inbox, t *track, r *proto.Response, err error) {
	t.syncing = false
	if c.tracks[t.conv] != t {
		return // left meanwhile
	}
	switch r.Errno {
	case proto.Done:
	case proto.NotFound, proto.NotAllowed:
		// Nothing more is to be had here: show what came, and forget.
		for t.lowest() > 0 {
			c.show(in, t, t.startAt(t.lowest()-1, in.shown[:0]))
		}
		c.forget(t.conv)
		return
	default:
		c.cfg.Logger.Info("a hole could not be filled", "conversation", t.conv, "error", err)
		c.later(t, max(syncRetry, retryAfter(err)))
		return
	}
	if !c.queue.hasRoom(queueLen) {
		c.later(t, queueWait)
		return
	}
	before := t.last
	if r.First > t.last+1 {
		c.show(in, t, t.startAt(r.First-1, in.shown[:0]))
	}
	for i := range r.Messages {
		m := c.listed(&r.Messages[i])
		if m.Conv == t.conv {
			c.arrived(in, &m, true)
		}
	}
	c.touch(t)
	c.watch(t, false)
	switch {
	case !t.hole():
		t.syncWait = 0
	case t.last == before:
		t.syncWait = min(max(syncRetry, 2*t.syncWait), syncRetryMax)
		c.later(t, t.syncWait)
	case r.More:
		c.later(t, 0)
	}
}

// watch keeps the list of holes in step with t. A hole that shrinks is
// being filled: it gets its time anew.
func (c *Client) watch(t *track, progress bool) {
	switch {
	case !t.hole():
		if !t.due.IsZero() {
			t.due = time.Time{}
			delete(c.holes, t)
		}
	case t.due.IsZero() || progress && !t.syncing:
		grace := holeGrace
		if !t.started {
			grace = startGrace
		}
		c.later(t, grace)
	}
}

func (c *Client) later(t *track, wait time.Duration) {
	if !t.hole() {
		return
	}
	t.due = time.Now().Add(wait)
	c.holes[t] = struct{}{}
	c.wakeAt(t.due)
}

// forget drops what is known of a conversation that is no longer ours.
func (c *Client) forget(conv Conv) {
	if t := c.tracks[conv]; t != nil {
		delete(c.tracks, conv)
		delete(c.holes, t)
		c.unsaved = true
	}
	delete(c.paged, conv)
}

func ms(n int64) time.Duration {
	return time.Duration(min(max(n, 0), int64(maxRetryAfter/time.Millisecond))) * time.Millisecond
}
