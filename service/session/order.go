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

// This file keeps the order of a sender's messages: of two messages that a
// connection sends to one conversation, the second is never stored before the
// first, even where the first has to be sent again.
//
// Within a conversation ACKs go out in the order of sending. A message that is
// refused without the log (refused, throttled) waits in its place for the answers
// before it.
//
// Errno 9 (too fast, or the server is busy) concerns the whole connection. From
// the refusal on, the reactor refuses every frame until retry_after has passed.
// While such a refusal still waits for the answers before it, its client doesn't
// know of it, so later messages are refused here.
//
// Errno 10 (could not be stored) concerns one conversation of the connection:
//
//	open ──── a message is refused with errno 10 ────▶ stopped
//	open ◀─── a refused cid comes again, or stopTime ── stopped
//
// An open conversation has a model.Run, which all its messages carry. The
// transaction that can't store one of them fails the run, and so every later
// message of the run that is already in the log's queue. A stopped conversation
// refuses new messages; when it opens again it gets a new run. The cid that
// opens it need not be the first that was refused: that one may have been stored
// through another connection.

// messageState is where a message of a connection is.
type messageState uint8

const (
	inLog     messageState = iota // with the log, which answers it
	refused                       // refused; waits for the answers before it
	throttled                     // so, with errno 9: its client will send it again
)

// convState is the state of a conversation on one connection.
type convState uint8

const (
	open    convState = iota // messages go to the log
	stopped                  // messages are refused with errno 10
)

const (
	// stopTime is how long a conversation stays stopped for a client that sends
	// none of the refused messages again. By then everything has arrived that was
	// on its way when the client was told.
	stopTime = 15 * time.Second
	// maxRefused bounds the refused cids that are remembered. A client that
	// listens never has so many in flight.
	maxRefused = proto.DefaultWindow
	// maxStopped bounds the stopped conversations of a connection. One with more
	// is closed and starts afresh.
	maxStopped = 1024
)

// errConvStopped refuses a message to a stopped conversation.
var errConvStopped = proto.Errorf(proto.Unavailable, "an earlier message in this conversation could not be stored; resend that one first")

// Message is a chat message between its frame and its answer.
type Message struct {
	model.Append
	Session *Session
	Conn    *Conn // only its loop may use it, and the fields below
	Op      proto.Op

	fields proto.Fields
	rid    int64
	state  messageState
	conv   *conversationOnLoop // nil: it never went to the log
}

// target names a conversation as its sender does.
type target struct{ group, peer int64 }

// conversationOnLoop is a conversation that a connection sends to. It exists while
// it has messages in flight or is stopped, and until another one is used.
type conversationOnLoop struct {
	target
	state    convState
	inFlight int        // messages with the log
	run      *model.Run // of the messages since it opened
	first    model.Run
	refused  map[string]struct{} // stopped: cids
	deadline time.Time           // stopped: when it opens by itself
}

// orderOnLoop is the sender's order of one connection. Its event loop owns it.
type orderOnLoop struct {
	inFlight  []*Message // without an answer, in the order of sending
	throttled int        // of these, how many are throttled
	stopped   int        // conversations
	// last is the conversation used last, which most messages are for. convs has
	// the others that have messages in flight or are stopped.
	last  *conversationOnLoop
	convs map[target]*conversationOnLoop
}

// reset forgets the conversations: another session begins.
func (o *orderOnLoop) reset(t Turn) {
	o.convs, o.last, o.stopped = nil, nil, 0
}

// find is a conversation that has messages in flight or is stopped. It may also
// be the last one used. Else it is nil.
func (o *orderOnLoop) find(t Turn, k target) *conversationOnLoop {
	if o.last != nil && o.last.target == k {
		return o.last
	}
	return o.convs[k]
}

// use is the open conversation for the next message. A stopped one opens.
func (o *orderOnLoop) use(t Turn, k target) *conversationOnLoop {
	cv := o.find(t, k)
	switch {
	case cv == nil && o.last.idle(t): // nothing refers to it any more
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

// keepLast puts the last conversation among the others, unless it is idle.
func (o *orderOnLoop) keepLast(t Turn) {
	if o.last == nil || o.last.idle(t) {
		return
	}
	if o.convs == nil {
		o.convs = make(map[target]*conversationOnLoop)
	}
	o.convs[o.last.target] = o.last
}

// forget drops a conversation that has become idle, unless it was used last.
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

// failed stops the conversation of a message that is being refused with errno
// 10, or adds the message to those refused by a stopped one. It reports whether
// too many conversations are stopped now.
func (o *orderOnLoop) failed(t Turn, m *Message) (tooMany bool) {
	cv := o.find(t, target{m.Group, m.Peer})
	switch {
	case cv == nil: // of an earlier session
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

// Send takes a chat message that its session may send. It returns the message
// for the log, or refuses it and returns nil.
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
		c.RefuseInOrder(t, r, c.throttle(t, model.ErrBusy)) // later messages would overtake it
		return nil
	}
	cv := c.on.order.use(t, k)
	cv.inFlight++
	a.Run = cv.run
	m := &Message{Append: a, Session: c.on.session, Conn: c, Op: r.Op, fields: r.Fields & (1 << proto.FRID), rid: r.RID, conv: cv}
	m.Owner = m
	c.on.order.inFlight = append(c.on.order.inFlight, m)
	return m
}

// RefuseInOrder refuses a request: a chat message once everything before it is
// answered, any other at once.
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

// MarkRefused refuses a message that the log doesn't have. Conn.AnswerRefused sends
// the refusal once everything before it is answered.
func (m *Message) MarkRefused(t Turn, err error) {
	m.Err, m.state = err, refused
	if sentAgain(err) {
		m.state = throttled
		m.Conn.on.order.throttled++
		m.Conn.RefusalPending(t)
	}
}

// sentAgain reports whether a client sends a message again that is refused so,
// after a while.
func sentAgain(err error) bool {
	var e *proto.Error
	return errors.Is(err, model.ErrBusy) || errors.As(err, &e) && e.Errno == proto.TooFast
}

// throttle has the reactor refuse what the connection sends from now on, for as
// long as err says, and returns the refusal with that time.
func (c *Conn) throttle(t Turn, err error) error {
	e := *c.s.Errno(&proto.Response{Op: proto.ERROR}, err)
	e.RetryAfter = proto.SlowDown(c.Throttle(t, e.RetryAfter)).RetryAfter
	return &e
}

// Ack answers a message that the log has decided about, and refused messages
// that come next.
func (m *Message) Ack(t Turn) {
	c := m.Conn
	o := &c.on.order
	if o.inFlight[0] == m { // as a rule
		o.inFlight = o.inFlight[1:]
	} else {
		i := slices.Index(o.inFlight, m)
		o.inFlight = slices.Delete(o.inFlight, i, i+1)
	}
	m.answer(t)
	c.AnswerRefused(t)
}

// AnswerRefused sends the refusals that have no unanswered message before them.
func (c *Conn) AnswerRefused(t Turn) {
	o := &c.on.order
	for len(o.inFlight) > 0 && o.inFlight[0].state != inLog {
		m := o.inFlight[0]
		o.inFlight = o.inFlight[1:]
		if m.state == throttled {
			// retry_after starts now: what the client sends before it hears of this
			// would overtake the message.
			o.throttled--
			m.Err = c.throttle(t, m.Err)
		}
		m.answer(t)
	}
	c.Resume(t)
}

// answer writes the ACK or the refusal of a message.
func (m *Message) answer(t Turn) {
	c := m.Conn
	if m.conv != nil {
		c.s.pending.release(t, c, &m.Append)
		m.conv.inFlight--
	}
	a := proto.Response{Op: m.Op.Ack(), Fields: m.fields, RID: m.rid, CID: m.CID, ToID: m.Peer, GroupID: m.Group,
		Seq: m.Seq, Time: m.Time}
	if m.Err == nil {
		c.s.m.acks.Inc()
		c.Reply(t, &a)
	} else if errno := c.Refuse(t, a, m.Err); errno == proto.Unavailable && c.on.order.failed(t, m) {
		c.s.Kick(m.Session, proto.Slow, "messages could not be stored in too many conversations; reconnect")
	}
	if m.conv != nil {
		c.on.order.forget(t, m.conv)
	}
}

// Awaits reports whether a stored message of a conversation is one that this
// connection sent and that isn't acknowledged yet: a page of the log may arrive
// before the outcome of the commit. A pair is named by the sum of its two ids.
func (c *Conn) Awaits(t Turn, group, pairSum int64, stored *model.Message) bool {
	return slices.ContainsFunc(c.on.order.inFlight, func(m *Message) bool {
		return m.state == inLog && m.Sender == stored.Sender && m.in(group, pairSum) && bytes.Equal(m.CID, stored.CID)
	})
}

// Sending reports whether a message of this connection has no answer yet.
func (c *Conn) Sending(t Turn, group, pairSum, sender int64, cid []byte) bool {
	return slices.ContainsFunc(c.on.order.inFlight, func(m *Message) bool {
		return m.Sender == sender && m.in(group, pairSum) && bytes.Equal(m.CID, cid)
	})
}

func (m *Message) in(group, pairSum int64) bool {
	return m.Group == group && (group != 0 || m.Sender+m.Peer == pairSum)
}
