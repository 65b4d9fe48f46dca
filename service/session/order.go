package session

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/service/limits"
)

// This file keeps the messages of a sender in order: if a connection sends two
// messages to one conversation, the second is never stored before the first,
// even if the client has to resend the first.
//
// ACKs within a conversation are sent in the order of the messages. If a message
// is refused before it gets to the log, the refusal waits until all messages
// before it are answered.
//
// Errno 9 (too fast, or the server is busy) concerns the whole connection. Once
// the refusal is sent, the reactor refuses all frames until retry_after has
// passed. While the refusal waits to be sent, Send refuses all later messages:
// they would otherwise overtake the refused one, which the client resends. If the log
// itself refuses a message with errno 9, because of its sender's quota, it also fails
// the later messages of its run; see throttleOverQuota.
//
// Errno 10 (couldn't be stored) concerns one conversation of the connection:
//
//	open ──── a message is refused with errno 10 ─────────────▶ stopped
//	open ◀─── a refused message is resent, or after stopTime ── stopped
//
// All messages that are sent while a conversation is open have the same
// model.Run. If one of them can't be stored, its transaction fails the run, so
// that the messages of the run after it in the append queue aren't stored
// either. A stopped conversation refuses new messages. When it opens again, it
// gets a new run. Any refused message opens it when it is resent, not only the
// first one, because that one may have been stored through another connection.

// messageState is the state of a message without an answer.
type messageState uint8

const (
	inLog     messageState = iota // handed to the append queue
	refused                       // refused; waits until the messages before it are answered
	throttled                     // the same, with errno 9
)

// convState is the state of a conversation on one connection.
type convState uint8

const (
	open    convState = iota // messages go to the append queue
	stopped                  // messages are refused with errno 10
)

const (
	// stopTime is how long a conversation stays stopped if the client resends
	// none of the refused messages. By then all messages have arrived that the
	// client sent before it got the refusal.
	stopTime = 15 * time.Second
	// maxRefused is the most refused cids of a conversation that are remembered.
	// More can't be in flight if the client respects the window.
	maxRefused = proto.DefaultWindow
	// maxStopped is the most stopped conversations of a connection. If there are
	// more, the connection is closed.
	maxStopped = 1024
)

// errConvStopped is the refusal of a message to a stopped conversation.
var errConvStopped = proto.Errorf(proto.Unavailable, "an earlier message in this conversation could not be stored; resend that one first")

// Message is a chat message that hasn't been answered yet.
type Message struct {
	model.Append
	Session *Session
	Plain   proto.Fields // see proto.Request
	Conn    *Conn        // this and the fields below may only be used on its loop
	Op      proto.Op

	fields proto.Fields
	rid    int64
	state  messageState
	conv   *conversationOnLoop // nil if it wasn't handed to the append queue
	began  time.Time           // when it was accepted; zero if conv is nil
}

// target is a conversation as its sender addresses it.
type target struct{ group, peer int64 }

// conversationOnLoop is a conversation that a connection sends to. It is kept
// while it has messages in flight, while it is stopped, and while it is the one
// used last.
type conversationOnLoop struct {
	target
	state    convState
	inFlight int                 // messages handed to the append queue and not answered yet
	run      *model.Run          // of the messages since it opened
	first    model.Run           // the first run; saves an allocation
	refused  map[string]struct{} // if stopped: the cids of refused messages
	deadline time.Time           // if stopped: when it opens again
}

// orderOnLoop has the unanswered messages of one connection, and the
// conversations that they are for.
type orderOnLoop struct {
	inFlight  []*Message // in the order of sending
	throttled int        // messages in inFlight that are throttled
	stopped   int        // conversations that are stopped
	// last is the conversation of the last message; it is usually also that of
	// the next one. convs has all others that have messages in flight or are
	// stopped.
	last  *conversationOnLoop
	convs map[target]*conversationOnLoop
}

// reset removes all conversations, for a new session on the connection.
func (o *orderOnLoop) reset(t Turn) {
	o.convs, o.last, o.stopped = nil, nil, 0
}

// find returns a conversation, or nil if it isn't kept.
func (o *orderOnLoop) find(t Turn, k target) *conversationOnLoop {
	if o.last != nil && o.last.target == k {
		return o.last
	}
	return o.convs[k]
}

// use returns the conversation for the next message. If it is stopped, use opens
// it.
func (o *orderOnLoop) use(t Turn, k target) *conversationOnLoop {
	cv := o.find(t, k)
	switch {
	case cv == nil && o.last.idle(t): // reuse it
		cv = o.last
		cv.target = k
	case cv == nil:
		cv = &conversationOnLoop{target: k}
		cv.run = &cv.first
		o.keepLast(t)
	case cv != o.last:
		delete(o.convs, k)
		o.keepLast(t)
	}
	o.last = cv
	if cv.state == stopped {
		cv.state, cv.run, cv.refused = open, new(model.Run), nil
		o.stopped--
	}
	return cv
}

// idle reports whether a conversation is open and has no message in flight.
func (cv *conversationOnLoop) idle(t Turn) bool {
	return cv != nil && cv.state == open && cv.inFlight == 0
}

// keepLast moves the last conversation to convs, unless it is idle.
func (o *orderOnLoop) keepLast(t Turn) {
	if o.last == nil || o.last.idle(t) {
		return
	}
	if o.convs == nil {
		o.convs = make(map[target]*conversationOnLoop)
	}
	o.convs[o.last.target] = o.last
}

// forget removes a conversation if it is idle and isn't the last one.
func (o *orderOnLoop) forget(t Turn, cv *conversationOnLoop) {
	if cv != o.last && cv.idle(t) && o.convs[cv.target] == cv {
		delete(o.convs, cv.target)
	}
}

// refuses reports whether a message has to be refused because its conversation
// is stopped.
func (cv *conversationOnLoop) refuses(t Turn, cid []byte) bool {
	if cv == nil || cv.state == open {
		return false
	}
	_, again := cv.refused[string(cid)]
	return !again && t.Now().Before(cv.deadline)
}

// failed handles the refusal of a message with errno 10. It stops the
// conversation or, if it is stopped already, remembers the cid. It reports
// whether too many conversations are stopped now.
func (o *orderOnLoop) failed(t Turn, m *Message) (tooMany bool) {
	cv := o.find(t, target{m.Group, m.Peer})
	switch {
	case cv == nil: // the message is of an earlier session
		return false
	case cv.state == stopped:
		if len(cv.refused) < maxRefused {
			cv.refused[string(m.CID)] = struct{}{}
		}
		return false
	case m.conv != cv || m.Run != cv.run: // refused before the conversation opened again
		return false
	}
	cv.state, cv.deadline = stopped, t.Now().Add(stopTime)
	cv.refused = map[string]struct{}{string(m.CID): {}}
	cv.run.Fail()
	o.stopped++
	return o.stopped > maxStopped
}

// Send accepts a chat message. It returns the message for the append queue, or
// refuses it and returns nil. The connection must be logged in.
func (c *Conn) Send(t Turn, r *proto.Request, a model.Append) *Message {
	if c.on.order.throttled > 0 {
		c.s.Limited.Reached(limits.BehindRefused, 1)
		c.RefuseInOrder(t, r, proto.SlowDown(limits.LeastWait))
		return nil
	}
	k := target{a.Group, a.Peer}
	if c.on.order.find(t, k).refuses(t, r.CID) {
		c.s.m.stopped.Inc()
		c.RefuseInOrder(t, r, errConvStopped)
		return nil
	}
	text := make([]byte, 0, len(r.CID)+len(r.Msg))
	text = append(append(text, r.CID...), r.Msg...)
	a.Sender, a.Retry = c.on.session.User, r.Retry
	a.CID, a.Body = text[:len(r.CID):len(r.CID)], text[len(r.CID):]
	if !c.s.pending.acquire(t, c, &a) {
		c.RefuseInOrder(t, r, c.throttle(t, model.ErrBusy)) // throttle, so that later messages don't overtake this one
		return nil
	}
	cv := c.on.order.use(t, k)
	cv.inFlight++
	a.Run = cv.run
	m := &Message{Append: a, Session: c.on.session, Plain: r.Plain, Conn: c, Op: r.Op, fields: r.Fields & (1 << proto.FRID), rid: r.RID, conv: cv, began: t.Now()}
	m.Owner = m
	c.on.order.inFlight = append(c.on.order.inFlight, m)
	return m
}

// RefuseInOrder refuses a request: a chat message after all chat messages before
// it are answered, any other request at once.
func (c *Conn) RefuseInOrder(t Turn, r *proto.Request, err error) {
	if r.Op != proto.ONE_CHAT && r.Op != proto.GROUP_CHAT || len(c.on.order.inFlight) == 0 {
		if c.Refuse(t, Answer(r), err); err == errConvStopped {
			c.on.order.failed(t, &Message{Append: model.Append{Peer: r.ToID, Group: r.GroupID, CID: r.CID}})
		}
		return
	}
	m := &Message{Append: model.Append{Peer: r.ToID, Group: r.GroupID, CID: bytes.Clone(r.CID)},
		Conn: c, Op: r.Op, fields: r.Fields & (1 << proto.FRID), rid: r.RID}
	c.on.order.inFlight = append(c.on.order.inFlight, m)
	m.MarkRefused(t, err)
}

// MarkRefused refuses a message that wasn't handed to the append queue.
// Conn.AnswerRefused sends the refusal after all messages before it are
// answered.
func (m *Message) MarkRefused(t Turn, err error) {
	m.Err, m.state = err, refused
	if isRetried(err) {
		m.state = throttled
		m.Conn.on.order.throttled++
		m.Conn.RefusalPending(t)
	}
}

// isRetried reports whether a client resends a message that is refused with err:
// whether the errno is 9.
func isRetried(err error) bool {
	var e *proto.Error
	return errors.Is(err, model.ErrBusy) || errors.As(err, &e) && e.Errno == proto.TooFast
}

// throttle makes the reactor refuse all frames of the connection for the
// retry_after of err. It returns the refusal with the retry_after that applies.
func (c *Conn) throttle(t Turn, err error) error {
	e := *c.s.Errno(&proto.Response{Op: proto.ERROR}, err)
	e.RetryAfter = proto.SlowDown(c.Throttle(t, e.RetryAfter)).RetryAfter
	return &e
}

// Ack answers a message that was handed to the append queue, and the refused
// messages that follow it.
func (m *Message) Ack(t Turn) {
	c := m.Conn
	o := &c.on.order
	if o.inFlight[0] == m { // the usual case
		o.inFlight = o.inFlight[1:]
	} else {
		i := slices.Index(o.inFlight, m)
		o.inFlight = slices.Delete(o.inFlight, i, i+1)
	}
	m.answer(t)
	c.AnswerRefused(t)
}

// AnswerRefused sends all refusals that have no unanswered message before them.
func (c *Conn) AnswerRefused(t Turn) {
	o := &c.on.order
	for len(o.inFlight) > 0 && o.inFlight[0].state != inLog {
		m := o.inFlight[0]
		o.inFlight = o.inFlight[1:]
		if m.state == throttled {
			// retry_after starts now. Otherwise it might pass before the client
			// gets the refusal, and messages that it sends until then would
			// overtake this one.
			o.throttled--
			m.Err = c.throttle(t, m.Err)
		}
		m.answer(t)
	}
	c.Resume(t)
}

// answer sends the ACK or the refusal of a message.
func (m *Message) answer(t Turn) {
	c := m.Conn
	if m.conv != nil {
		c.s.pending.release(t, c, &m.Append)
		m.conv.inFlight--
		c.s.latency[t.Loop()].observe(m.Op, t.Now().Sub(m.began))
	}
	a := proto.Response{Op: m.Op.Ack(), Fields: m.fields, RID: m.rid, CID: m.CID, ToID: m.Peer, GroupID: m.Group,
		Seq: m.Seq, Time: m.Time}
	if m.Err == nil {
		c.s.m.acks.Inc()
		c.Reply(t, &a)
	} else {
		m.throttleOverQuota(t)
		if errno := c.Refuse(t, a, m.Err); errno == proto.Unavailable && c.on.order.failed(t, m) {
			c.s.Kick(m.Session, proto.Slow, "messages could not be stored in too many conversations; reconnect")
		}
	}
	if m.conv != nil {
		c.on.order.forget(t, m.conv)
	}
}

// throttleOverQuota throttles the connection if the message exceeds its sender's quota
// of a day. The log has failed the message's run: the messages of the run that follow it
// there get errno 10. Frames that arrive from now on are refused until retry_after has
// passed. So whatever the client sends to the conversation after that, it sends after it
// got the refusal, and that needs a new run.
func (m *Message) throttleOverQuota(t Turn) {
	var over *model.QuotaError
	if !errors.As(m.Err, &over) {
		return
	}
	m.Err = m.Conn.throttle(t, m.Err)
	if m.conv.run == m.Run {
		m.conv.run = new(model.Run)
	}
}

// Awaits reports whether a message from the log was sent by this connection and
// isn't acknowledged yet: a page of the log may be read before the loop hears of
// the commit. If group is 0, pairSum is the sum of the two user IDs.
func (c *Conn) Awaits(t Turn, group, pairSum int64, stored *model.Message) bool {
	return slices.ContainsFunc(c.on.order.inFlight, func(m *Message) bool {
		return m.state == inLog && m.Sender == stored.Sender && m.in(group, pairSum) && bytes.Equal(m.CID, stored.CID)
	})
}

// Sending reports whether this connection has sent the message with this cid, and
// the message isn't answered yet. If group is 0, pairSum is the sum of the two user
// IDs.
func (c *Conn) Sending(t Turn, group, pairSum, sender int64, cid []byte) bool {
	return slices.ContainsFunc(c.on.order.inFlight, func(m *Message) bool {
		return m.Sender == sender && m.in(group, pairSum) && bytes.Equal(m.CID, cid)
	})
}

func (m *Message) in(group, pairSum int64) bool {
	return m.Group == group && (group != 0 || m.Sender+m.Peer == pairSum)
}
