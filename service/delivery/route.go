package delivery

import (
	"context"
	"errors"
	"math/bits"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/session"
)

// chatOverhead is about what a pushed message has around its text, in bytes.
const chatOverhead = 192

// This file has code of three goroutines: Committed and what it calls run on the
// log's, pushBatch and conclude on an event loop, NewMessages on the bus's.

// Committed takes messages that the log has decided about: stored, in the order
// in which it stored them, or failed (Err). It publishes the stored ones to other
// nodes, then hands all to the loops, which push them and answer the senders. The
// log calls it, one batch at a time for each of its writers. It blocks for at
// most bus.PublishTimeout.
func (d *Delivery) Committed(ctx context.Context, batch []*model.Append) {
	perLoop := make([][]*update, len(d.topics))
	updates := make([]update, len(batch))
	size := 0
	for _, a := range batch {
		size += len(a.Body) + chatOverhead
	}
	bodies := make([]byte, 0, size) // slices of it stay valid if it grows
	var out outbox
	for i, a := range batch {
		m := a.Owner.(*session.Message)
		up := &updates[i]
		up.from = m
		loops := uint64(1) << m.Session.Loop
		if a.Err == nil {
			up.describe(a)
			if a.Stored {
				n := len(bodies)
				bodies = appendPushed(bodies, m)
				up.body = bodies[n:len(bodies):len(bodies)]
			}
			loops |= d.route(up, &out)
		}
		for ; loops != 0; loops &= loops - 1 {
			l := bits.TrailingZeros64(loops)
			perLoop[l] = append(perLoop[l], up)
		}
	}
	if len(out.messages) > 0 {
		d.courier.PublishNow(ctx, out.messages) // if it fails, repair finds the messages
	}
	for i, list := range perLoop {
		if len(list) > 0 {
			_ = d.r.Post(i, func(t Turn) { d.topics[i].pushBatch(t, list) }) // stopped: nobody is left to tell
		}
	}
}

func (up *update) describe(a *model.Append) {
	up.conv, up.group, up.version, up.seq = a.Conv, a.Group, a.Version, a.Seq
	if a.Group == 0 {
		up.pair = pairOf(a.Sender, a.Peer)
	}
	if !a.Stored { // a repeat: the others are told again how far the conversation is
		up.seq = a.Last
	}
}

// appendPushed encodes a message as it is pushed.
func appendPushed(dst []byte, m *session.Message) []byte {
	r := proto.Response{Op: m.Op, ID: m.Sender, Name: m.Session.Name, ToID: m.Peer, GroupID: m.Group,
		Msg: m.Body, Time: m.Time, Seq: m.Seq, CID: m.CID}
	return proto.AppendResponse(dst, &r)
}

// route returns the loops with sessions in the message's conversation, and adds
// the message to the outbox if other nodes may have some.
func (d *Delivery) route(up *update, out *outbox) (loops uint64) {
	if up.group != 0 {
		if c := bus.Group(up.group); d.bus.MayHaveSubscribers(c) {
			out.add(c, up)
		}
		return d.sessions.Watchers(up.group)
	}
	users := [2]int64{up.pair.lo, up.pair.hi}
	for _, u := range users[:1+min(1, up.pair.hi-up.pair.lo)] {
		loops |= d.sessions.LoopsOf(u)
		// The sender's other sessions are mostly here; if not, that is known.
		if c := bus.User(u); (u != up.from.Sender || d.sessions.Elsewhere(u)) && d.bus.MayHaveSubscribers(c) {
			out.add(c, up)
		}
	}
	return loops
}

// outbox is what one batch publishes. A channel's messages of one conversation
// are one payload.
type outbox struct {
	messages []bus.Message
	open     map[outKey]*bus.NewMessages
}

type outKey struct {
	channel bus.Channel
	conv    int64
}

func (o *outbox) add(c bus.Channel, up *update) {
	k := outKey{c, up.conv}
	n := o.open[k]
	if n != nil && n.Version == up.version && up.body != nil && len(n.Bodies) > 0 && n.First+int64(len(n.Bodies)) == up.seq {
		n.Bodies = append(n.Bodies, up.body)
		return
	}
	n = &bus.NewMessages{Conv: up.conv, Group: up.group, Lo: up.pair.lo, Hi: up.pair.hi, Version: up.version, First: up.seq}
	if up.body != nil {
		n.Bodies = [][]byte{up.body}
	} else {
		n.First++ // it only says that everything before is there
	}
	if o.open == nil {
		o.open = make(map[outKey]*bus.NewMessages)
	}
	o.open[k] = n
	o.messages = append(o.messages, bus.Message{Channel: c, Payload: bus.Payload{NewMessages: n}})
}

// pushBatch delivers a batch on its loop and answers its senders there.
// A message is delivered and answered even if doing so for one before it
// panics, which the reactor recovers.
func (l *TopicsOnLoop) pushBatch(t Turn, list []*update) {
	defer func() {
		if len(list) > 0 {
			l.pushBatch(t, list)
		}
	}()
	for len(list) > 0 {
		up := list[0]
		list = list[1:]
		l.conclude(t, up)
	}
}

// conclude delivers a message and answers its sender if it is on this loop, even
// if delivering it panics.
func (l *TopicsOnLoop) conclude(t Turn, up *update) {
	if up.from.Session.Loop == l.index {
		defer up.from.Ack(t)
	}
	if up.from.Err == nil {
		l.deliver(t, up)
	}
}

// NewMessages hands another node's messages to the loops that have sessions for them.
func (d *Delivery) NewMessages(n *bus.NewMessages) {
	p := pair{n.Lo, n.Hi}
	list := make([]update, 0, max(1, len(n.Bodies)))
	up := update{conv: n.Conv, group: n.Group, pair: p, version: n.Version}
	size := 0
	for i, b := range n.Bodies {
		up.seq, up.body = n.First+int64(i), b
		list = append(list, up)
		size += len(b)
	}
	if len(list) == 0 {
		up.seq = n.First - 1
		list = append(list, up)
	}
	for loops := d.loopsOf(n.Group, p); loops != 0; loops &= loops - 1 {
		i := bits.TrailingZeros64(loops)
		err := d.r.PostDroppable(i, size, func(t Turn) { d.topics[i].deliverAll(t, list) })
		if errors.Is(err, reactor.ErrBusy) {
			d.m.hintsDropped.Inc() // the log has it: the next hint, or repair, has it read there
		} // stopped: nobody is left to tell
	}
}

// loopsOf is the set of loops with sessions in a conversation.
func (d *Delivery) loopsOf(group int64, p pair) uint64 {
	if group != 0 {
		return d.sessions.Watchers(group)
	}
	return d.sessions.LoopsOf(p.lo) | d.sessions.LoopsOf(p.hi)
}

func (l *TopicsOnLoop) deliverAll(t Turn, list []update) {
	for i := range list {
		l.deliver(t, &list[i])
	}
}
