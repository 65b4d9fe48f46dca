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

// Committed takes what the log has stored, in the order in which it did. It
// publishes it to other nodes, then hands it to the loops, which push it and
// answer the senders. The log calls it, one batch at a time for each of its
// writers. It blocks for at most bus.PublishTimeout.
func (d *Delivery) Committed(ctx context.Context, batch []*model.Append) {
	perLoop := make([][]*delivery, len(d.topics))
	ds := make([]delivery, len(batch))
	size := 0
	for _, a := range batch {
		size += len(a.Body) + chatOverhead
	}
	bodies := make([]byte, 0, size) // slices of it stay valid if it grows
	var out outbox
	for i, a := range batch {
		m := a.Owner.(*session.Message)
		dl := &ds[i]
		dl.from = m
		loops := uint64(1) << m.Session.Loop
		if a.Err == nil {
			dl.describe(a)
			if a.Stored {
				n := len(bodies)
				bodies = appendPushed(bodies, m)
				dl.body = bodies[n:len(bodies):len(bodies)]
			}
			loops |= d.route(dl, &out)
		}
		for ; loops != 0; loops &= loops - 1 {
			l := bits.TrailingZeros64(loops)
			perLoop[l] = append(perLoop[l], dl)
		}
	}
	if len(out.messages) > 0 {
		d.courier.PublishNow(ctx, out.messages) // if it fails, repair finds the messages
	}
	for i, list := range perLoop {
		if len(list) > 0 {
			_ = d.r.Post(i, func(t Turn) { d.topics[i].committed(t, list) }) // stopped: nobody is left to tell
		}
	}
}

func (dl *delivery) describe(a *model.Append) {
	dl.conv, dl.group, dl.version, dl.seq = a.Conv, a.Group, a.Version, a.Seq
	if a.Group == 0 {
		dl.pair = pairOf(a.Sender, a.Peer)
	}
	if !a.Stored { // a repeat: the others are told again how far the conversation is
		dl.seq = a.Last
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
func (d *Delivery) route(dl *delivery, out *outbox) (loops uint64) {
	if dl.group != 0 {
		if c := bus.Group(dl.group); d.bus.MayHaveSubscribers(c) {
			out.add(c, dl)
		}
		return d.sessions.Watchers(dl.group)
	}
	users := [2]int64{dl.pair.lo, dl.pair.hi}
	for _, u := range users[:1+min(1, dl.pair.hi-dl.pair.lo)] {
		loops |= d.sessions.LoopsOf(u)
		// The sender's other sessions are mostly here; if not, that is known.
		if c := bus.User(u); (u != dl.from.Sender || d.sessions.Elsewhere(u)) && d.bus.MayHaveSubscribers(c) {
			out.add(c, dl)
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

func (o *outbox) add(c bus.Channel, dl *delivery) {
	k := outKey{c, dl.conv}
	g := o.open[k]
	if g != nil && g.Version == dl.version && dl.body != nil && len(g.Bodies) > 0 && g.First+int64(len(g.Bodies)) == dl.seq {
		g.Bodies = append(g.Bodies, dl.body)
		return
	}
	g = &bus.NewMessages{Conv: dl.conv, Group: dl.group, Lo: dl.pair.lo, Hi: dl.pair.hi, Version: dl.version, First: dl.seq}
	if dl.body != nil {
		g.Bodies = [][]byte{dl.body}
	} else {
		g.First++ // it only says that everything before is there
	}
	if o.open == nil {
		o.open = make(map[outKey]*bus.NewMessages)
	}
	o.open[k] = g
	o.messages = append(o.messages, bus.Message{Channel: c, Payload: bus.Payload{NewMessages: g}})
}

// committed delivers a batch on its loop and answers its senders on this loop.
// A message is delivered and answered even if doing so for one before it
// panics, which the reactor recovers.
func (l *TopicsOnLoop) committed(t Turn, list []*delivery) {
	defer func() {
		if len(list) > 0 {
			l.committed(t, list)
		}
	}()
	for len(list) > 0 {
		d := list[0]
		list = list[1:]
		l.conclude(t, d)
	}
}

// conclude delivers a message and answers its sender if it is on this loop, even
// if delivering it panics.
func (l *TopicsOnLoop) conclude(t Turn, d *delivery) {
	if d.from.Session.Loop == l.index {
		defer d.from.Ack(t)
	}
	if d.from.Err == nil {
		l.deliver(t, d)
	}
}

// Grown hands another node's messages to the loops that have sessions for them.
func (d *Delivery) Grown(g *bus.NewMessages) {
	p := pair{g.Lo, g.Hi}
	list := make([]delivery, 0, max(1, len(g.Bodies)))
	dl := delivery{conv: g.Conv, group: g.Group, pair: p, version: g.Version}
	size := 0
	for i, b := range g.Bodies {
		dl.seq, dl.body = g.First+int64(i), b
		list = append(list, dl)
		size += len(b)
	}
	if len(list) == 0 {
		dl.seq = g.First - 1
		list = append(list, dl)
	}
	for loops := d.loopsOf(g.Group, p); loops != 0; loops &= loops - 1 {
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

func (l *TopicsOnLoop) deliverAll(t Turn, list []delivery) {
	for i := range list {
		l.deliver(t, &list[i])
	}
}
