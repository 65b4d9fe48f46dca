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

// chatOverhead is the approximate size of a pushed message without its text, in
// bytes.
const chatOverhead = 192

// The code in this file runs on three kinds of goroutines: Committed on those
// that change the store, pushBatch and conclude on an event loop, and
// NewMessages on the one that receives from the bus.

// Committed handles a batch: messages were stored, in this order, or have failed
// (Err), and the members of groups have changed (Change). It posts the changes
// to the loops, which follow the new memberships and notify the members, except the
// session that is the Owner of the change, if any. It publishes what was stored to
// other nodes. Then it posts the messages to the loops, which push them and answer the
// senders.
//
// The Owner of a message is a *session.Message if it was sent on a connection of this
// node, or else a *session.Waiting. It doesn't matter who committed the batch: each
// writer of the log calls Committed with one batch at a time, and commands do so
// concurrently. Committed blocks for up to bus.PublishTimeout.
func (d *Delivery) Committed(ctx context.Context, batch []*model.Append) {
	perLoop := make([][]*update, len(d.topics))
	updates := make([]update, len(batch))
	size := 0
	for _, a := range batch {
		size += len(a.Body) + chatOverhead
	}
	frames := &frames{b: make([]byte, 0, size)}
	var out outbox
	var changes []*update
	var waiting []*session.Waiting
	for i, a := range batch {
		up := &updates[i]
		if a.Change != nil {
			up.members = announcement(a)
			up.except, _ = a.Owner.(*session.Session)
			d.publishMembers(up.members, &out)
			changes = append(changes, up)
			continue
		}
		var p proto.Push
		var loops uint64
		switch o := a.Owner.(type) {
		case *session.Message:
			up.from, loops = o, 1<<o.Session.Loop
			p.Sender, p.Plain = o.Session.Sender, o.Plain
		case *session.Waiting:
			waiting = append(waiting, o)
			p.Sender = proto.AppendSender(nil, a.Sender, o.By.Name)
		}
		if a.Err == nil {
			up.describe(a)
			if a.Stored {
				frames.add(up, func(dst []byte) []byte { return appendPushed(dst, a, &p) })
			}
			loops |= d.route(up, a.Sender, &out)
		}
		for ; loops != 0; loops &= loops - 1 {
			l := bits.TrailingZeros64(loops)
			perLoop[l] = append(perLoop[l], up)
		}
	}
	if len(changes) > 0 {
		// Before they are published, which may take long: meanwhile the next change
		// of a group may be committed. To all loops: a user who is concerned may be
		// logging in on any of them.
		d.each(func(t Turn, l *TopicsOnLoop) { l.pushBatch(t, changes) })
	}
	if len(out.messages) > 0 {
		_ = d.courier.PublishNow(ctx, out.messages) // if it fails, other nodes find the messages in the feed
	}
	for i, list := range perLoop {
		if len(list) > 0 {
			_ = d.r.Post(i, func(t Turn) { d.topics[i].pushBatch(t, list) }) // an error means that the reactor has stopped
		}
	}
	for _, w := range waiting {
		w.Finish()
	}
}

// describe sets the fields of up for a message that is in the store.
func (up *update) describe(a *model.Append) {
	up.conv, up.group, up.version, up.seq = a.Conv, a.Group, a.Version, a.Seq
	if a.Group == 0 {
		up.pair = pairOf(a.Sender, a.Peer)
	}
	if !a.Stored { // a retried message that was stored before; see update
		up.seq = a.Last
	}
}

// appendPushed appends the body of the push of a message to dst. p has Sender and
// Plain.
func appendPushed(dst []byte, a *model.Append, p *proto.Push) []byte {
	p.Op, p.ToID, p.GroupID = proto.ONE_CHAT, a.Peer, a.Group
	if a.Group != 0 {
		p.Op = proto.GROUP_CHAT
	}
	p.Msg, p.CID, p.Time, p.Seq = a.Body, a.CID, a.Time, a.Seq
	return proto.AppendPush(dst, p)
}

// route returns the set of loops with sessions in the message's conversation. It
// adds the message to the outbox if other nodes may have sessions in it.
func (d *Delivery) route(up *update, sender int64, out *outbox) (loops uint64) {
	if up.group != 0 {
		if c := bus.Group(up.group); d.bus.MayHaveSubscribers(c) {
			out.add(c, up)
		}
		return d.sessions.Watchers(up.group)
	}
	users := [2]int64{up.pair.lo, up.pair.hi}
	for _, u := range users[:1+min(1, up.pair.hi-up.pair.lo)] {
		loops |= d.sessions.LoopsOf(u)
		// Most senders have no sessions on other nodes, and Elsewhere knows
		// those who do.
		if c := bus.User(u); (u != sender || d.sessions.Elsewhere(u)) && d.bus.MayHaveSubscribers(c) {
			out.add(c, up)
		}
	}
	return loops
}

// publishMembers adds a change of a group's members to the outbox, if other nodes
// may have sessions that it concerns.
func (d *Delivery) publishMembers(m *bus.Members, out *outbox) {
	channels := []bus.Channel{bus.Group(m.Group)}
	if m.User != 0 { // the user's nodes may not have subscribed to the group; those that have use the second message
		channels = []bus.Channel{bus.User(m.User), bus.Group(m.Group)}
	}
	for _, c := range channels {
		if d.bus.MayHaveSubscribers(c) {
			out.messages = append(out.messages, bus.Message{Channel: c, Payload: bus.Payload{Members: m}})
		}
	}
}

// outbox collects the bus messages of one batch. Consecutive messages of a
// conversation share one payload per channel.
type outbox struct {
	messages []bus.Message
	open     map[outKey]*bus.NewMessages // the last payload of each channel and conversation
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
		n.First++ // the messages up to up.seq are committed; see bus.NewMessages
	}
	if o.open == nil {
		o.open = make(map[outKey]*bus.NewMessages)
	}
	o.open[k] = n
	o.messages = append(o.messages, bus.Message{Channel: c, Payload: bus.Payload{NewMessages: n}})
}

// pushBatch delivers a batch to the sessions on this loop, and answers the
// senders on it. If a run causes a panic, which the reactor recovers, those after it
// are still delivered and answered.
func (l *TopicsOnLoop) pushBatch(t Turn, list []*update) {
	defer func() {
		if len(list) > 0 {
			l.pushBatch(t, list)
		}
	}()
	for len(list) > 0 {
		run := nextRun(list)
		list = list[len(run):]
		l.conclude(t, run)
	}
}

// conclude applies a change, or delivers a run of messages. If the sender of the
// messages is on this loop, it also sends the ACKs or the refusal, even if the delivery
// panics.
func (l *TopicsOnLoop) conclude(t Turn, run []*update) {
	up := run[0]
	if up.members != nil {
		l.applyMembers(t, up.members, up.except)
		return
	}
	if up.from != nil && up.from.Session.Loop == l.index {
		defer l.acknowledge(t, run)
	}
	if up.from == nil || up.from.Err == nil {
		l.deliver(t, run)
	}
}

// acknowledge answers the messages of a run.
func (l *TopicsOnLoop) acknowledge(t Turn, run []*update) {
	ackAll(t, run)
	// The sender has its messages once it has their ACKs.
	if tp := l.topics[run[0].conv]; tp != nil && run[0].from.Err == nil {
		if cu := tp.cursor(t, run[0].from.Session); cu != nil && cu.sent == run[len(run)-1].seq {
			cu.arrivesAt = cu.session.Conn(t).BytesQueued(t)
		}
	}
}

// ackAll answers messages. If one answer causes a panic, the others are still sent.
func ackAll(t Turn, run []*update) {
	defer func() {
		if len(run) > 0 {
			ackAll(t, run)
		}
	}()
	for len(run) > 0 {
		m := run[0].from
		run = run[1:]
		m.Ack(t)
	}
}

// NewMessages posts messages from another node to the loops with sessions in
// their conversation. If the mailbox of a loop is too full, they are dropped
// there and counted; the sessions then get them from the log.
func (d *Delivery) NewMessages(n *bus.NewMessages) {
	p := pair{n.Lo, n.Hi}
	loops := d.loopsOf(n.Group, p)
	if loops == 0 {
		return
	}
	size := 0
	for _, b := range n.Bodies {
		size += proto.HeaderSize + len(b)
	}
	updates := make([]update, max(1, len(n.Bodies)))
	list := make([]*update, len(updates))
	frames := &frames{b: make([]byte, 0, size)}
	for i := range updates {
		up := &updates[i]
		list[i] = up
		up.conv, up.group, up.pair, up.version, up.seq = n.Conv, n.Group, p, n.Version, n.First-1
		if len(n.Bodies) > 0 {
			up.seq += 1 + int64(i)
			frames.add(up, func(dst []byte) []byte { return append(dst, n.Bodies[i]...) })
		}
	}
	for ; loops != 0; loops &= loops - 1 {
		i := bits.TrailingZeros64(loops)
		err := d.r.PostDroppable(i, size, func(t Turn) { d.topics[i].deliverAll(t, list) })
		if errors.Is(err, reactor.ErrBusy) {
			d.m.hintsDropped.Inc()
		} // any other error means that the reactor has stopped
	}
}

// loopsOf returns the set of loops with sessions in a conversation.
func (d *Delivery) loopsOf(group int64, p pair) uint64 {
	if group != 0 {
		return d.sessions.Watchers(group)
	}
	return d.sessions.LoopsOf(p.lo) | d.sessions.LoopsOf(p.hi)
}

// deliverAll delivers updates. If a run causes a panic, which the reactor recovers,
// those after it are still delivered: nobody else would do it.
func (l *TopicsOnLoop) deliverAll(t Turn, list []*update) {
	defer func() {
		if len(list) > 0 {
			l.deliverAll(t, list)
		}
	}()
	for len(list) > 0 {
		run := nextRun(list)
		list = list[len(run):]
		l.deliver(t, run)
	}
}
