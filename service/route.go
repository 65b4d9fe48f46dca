package service

import (
	"context"
	"errors"
	"math/bits"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
)

// Committed takes what the log has stored, in the order in which it did, and
// brings it to everyone: first other nodes, then the sessions of this one,
// and the senders their ACKs. The log calls it, one batch at a time for each
// of its writers; it blocks no longer than publishTimeout.
func (s *Service) Committed(ctx context.Context, batch []*model.Append) {
	todo := make([][]*delivery, len(s.loops))
	ds := make([]delivery, len(batch))
	size := 0
	for _, a := range batch {
		size += len(a.Body) + chatOverhead
	}
	bodies := make([]byte, 0, size) // what grows out of it stays valid where it was
	var out outbox
	for i, a := range batch {
		sn := a.Owner.(*sending)
		d := &ds[i]
		d.from = sn
		loops := uint64(1) << sn.session.loop
		if a.Err == nil {
			s.describe(d, a)
			if a.Stored {
				n := len(bodies)
				bodies = appendPushed(bodies, sn)
				d.body = bodies[n:len(bodies):len(bodies)]
			}
			loops |= s.route(d, &out)
		}
		for ; loops != 0; loops &= loops - 1 {
			l := bits.TrailingZeros64(loops)
			todo[l] = append(todo[l], d)
		}
	}
	if len(out.messages) > 0 {
		ctx, cancel := context.WithTimeout(ctx, publishTimeout)
		if err := s.bus.Publish(ctx, out.messages); err != nil {
			s.m.dropped.Add(len(out.messages)) // repair finds what they told
		}
		cancel()
	}
	for i, list := range todo {
		if len(list) > 0 {
			_ = s.r.Post(i, func(t Turn) { s.loops[i].committed(t, list) }) // stopped: nobody is left to tell
		}
	}
}

// chatOverhead is about what a pushed message has around its text.
const chatOverhead = 192

func (s *Service) describe(d *delivery, a *model.Append) {
	d.conv, d.group, d.version, d.seq = a.Conv, a.Group, a.Version, a.Seq
	if a.Group == 0 {
		d.lo, d.hi = min(a.Sender, a.Peer), max(a.Sender, a.Peer)
	}
	if !a.Stored { // a repeat: the others are told again how far the conversation is
		d.seq = a.Last
	}
}

// appendPushed encodes a message as it is pushed.
func appendPushed(dst []byte, sn *sending) []byte {
	r := proto.Response{Op: sn.op, ID: sn.Sender, Name: sn.session.name, ToID: sn.Peer, GroupID: sn.Group,
		Msg: sn.Body, Time: sn.Time, Seq: sn.Seq, CID: sn.CID}
	return proto.AppendResponse(dst, &r)
}

// route says which loops have sessions in the message's conversation, and
// adds it to what other nodes are told where any may have some.
func (s *Service) route(d *delivery, out *outbox) (loops uint64) {
	if d.group != 0 {
		if c := bus.Group(d.group); s.bus.Reaches(c) {
			out.add(c, d)
		}
		return s.registry.watchers(d.group)
	}
	users := [2]int64{d.lo, d.hi}
	for _, u := range users[:1+min(1, d.hi-d.lo)] {
		loops |= s.registry.loopsOf(u)
		// The sender's other sessions are mostly here; where not, it is known.
		if c := bus.User(u); (u != d.from.Sender || s.registry.knownElsewhere(u)) && s.bus.Reaches(c) {
			out.add(c, d)
		}
	}
	return loops
}

// outbox is what one batch has to tell other nodes: a channel's messages of
// one conversation are one payload.
type outbox struct {
	messages []bus.Message
	open     map[outKey]*bus.Grown
}

type outKey struct {
	channel bus.Channel
	conv    int64
}

func (o *outbox) add(c bus.Channel, d *delivery) {
	k := outKey{c, d.conv}
	g := o.open[k]
	if g != nil && g.Version == d.version && d.body != nil && len(g.Bodies) > 0 && g.First+int64(len(g.Bodies)) == d.seq {
		g.Bodies = append(g.Bodies, d.body)
		return
	}
	g = &bus.Grown{Conv: d.conv, Group: d.group, Lo: d.lo, Hi: d.hi, Version: d.version, First: d.seq}
	if d.body != nil {
		g.Bodies = [][]byte{d.body}
	} else {
		g.First++ // nothing but the word that all before it is there
	}
	if o.open == nil {
		o.open = make(map[outKey]*bus.Grown)
	}
	o.open[k] = g
	o.messages = append(o.messages, bus.Message{Channel: c, Payload: bus.Payload{Grown: g}})
}

// committed delivers a batch on its loop and answers those of its senders
// that are on this loop. What is stored is delivered and answered even where
// doing so for a message before it panics, which the reactor recovers.
func (l *loop) committed(t Turn, list []*delivery) {
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

// conclude delivers a message and answers its sender, if it is on this loop:
// also where delivering it panics.
func (l *loop) conclude(t Turn, d *delivery) {
	if d.from.session.loop == l.index {
		defer l.ack(t, d.from)
	}
	if d.from.Err == nil {
		l.deliver(t, d)
	}
}

// Receive takes what other nodes have published. The bus calls it, in the
// order of each publisher; it doesn't block.
func (s *Service) Receive(ms []bus.Message) {
	for i := range ms {
		p := ms[i].Payload
		switch {
		case p.Grown != nil:
			s.grown(p.Grown)
		case p.Notice != nil && ms[i].Channel.Group:
			s.groupNotice(ms[i].Channel.ID, p.Notice.Body)
		case p.Notice != nil:
			s.tellLocal(ms[i].Channel.ID, p.Notice.Body, nil)
		case p.Presence != nil:
			s.presence.hear(ms[i].Channel.ID, p.Presence)
		case p.Login != nil:
			s.heard(p.Login)
		case p.Members != nil:
			// On the group's channel it comes again. But who has just joined may be
			// on a loop that doesn't know the group, while this node's subscription
			// to it isn't in force yet.
			if ms[i].Channel.Group || p.Members.Joined || s.registry.watchers(p.Members.Group) == 0 {
				s.members(p.Members)
			}
		case p.Blocked != nil:
			s.forgetBlock(p.Blocked)
		}
	}
}

// grown hands other nodes' messages to the loops that have sessions for them.
func (s *Service) grown(g *bus.Grown) {
	loops := s.registry.watchers(g.Group)
	if g.Group == 0 {
		loops = s.registry.loopsOf(g.Lo) | s.registry.loopsOf(g.Hi)
	}
	list := make([]delivery, 0, max(1, len(g.Bodies)))
	d := delivery{conv: g.Conv, group: g.Group, lo: g.Lo, hi: g.Hi, version: g.Version}
	for i, b := range g.Bodies {
		d.seq, d.body = g.First+int64(i), b
		list = append(list, d)
	}
	if len(list) == 0 {
		d.seq = g.First - 1
		list = append(list, d)
	}
	size := 0
	for _, b := range g.Bodies {
		size += len(b)
	}
	for ; loops != 0; loops &= loops - 1 {
		i := bits.TrailingZeros64(loops)
		err := s.r.PostSized(i, size, func(t Turn) {
			for j := range list {
				s.loops[i].deliver(t, &list[j])
			}
		})
		if errors.Is(err, reactor.ErrBusy) {
			s.m.hintsDropped.Inc() // the log has it: the next hint, or the sweep, has it read there
		} // stopped: nobody is left to tell
	}
}
