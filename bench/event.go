package main

import (
	"context"
	"errors"
	"fmt"

	"chatd/proto"
)

// eventName is what the events are called on the wire.
const eventName = "bench"

// event is the scenario of events.
type event struct {
	traffic `embed:""`
	chat    bool // on the floor: the frames are those of stream
}

func (*event) name() string { return "event" }

func (e *event) Help() string {
	return `EVENT is relayed to whoever is online; it is neither stored nor acknowledged. Each
receiver gives its sender room for as many events as have arrived (within this
program, so that nothing but events is on the wire): --window of them are on the way.

Measured are events delivered per second and "end to end", from the write of an event
to the receiver's read. Checked is that every event arrives, once, in order and
unaltered: the protocol lets a server drop events, but under this load none must.`
}

func (e *event) validate() error { return e.validateFor(proto.MaxData) }

// validateFor is validate for texts of at most maxSize bytes.
func (e *event) validateFor(maxSize int) error {
	err := e.traffic.validate(maxSize, maxStreamWindow)
	if err == nil && e.Window*(e.Size+eventOverhead) > maxEventBytes {
		err = fmt.Errorf("--window %d of --size %d: at most %d KiB may be on the way to one receiver", e.Window, e.Size, maxEventBytes>>10)
	}
	return err
}

func (e *event) run(ctx context.Context, r *rig) error {
	l := &load{rig: r, traffic: e.traffic}
	delivered := newGauge("delivered", "end to end")
	l.gauges = []*gauge{delivered}
	defer l.closeAll()

	pairs := make([]*eventPair, e.Pairs)
	rs := newRecruits(r.server)
	err := each(ctx, e.Pairs, setupAtATime, r.progress, "users", func(ctx context.Context, i int) error {
		p, err := e.newPair(ctx, l, rs, i)
		pairs[i] = p
		return err
	})
	for _, p := range pairs {
		if p != nil {
			l.conns = append(l.conns, p.from, p.to)
		}
	}
	if err != nil {
		return err
	}
	for _, p := range pairs {
		p.events = delivered.meter()
		l.workers = append(l.workers, p.relay, p.watch)
	}
	return l.measure(ctx)
}

// eventPair is one sender and one receiver. The receiver's goroutine writes
// for the sender: each read of events is followed by one write of as many.
type eventPair struct {
	l        *load
	from, to *conn
	me, peer int64
	op       proto.Op
	template *template
	left     int64 // events still to be sent; below 0: no end
	number   int64 // of the last one sent
	got      *view
	events   *meter
}

// newPair makes two users and their connections; beside an error none.
func (e *event) newPair(ctx context.Context, l *load, rs *recruits, i int) (*eventPair, error) {
	from, me, _, err := rs.enter(ctx, 2*i, true)
	if err != nil {
		return nil, err
	}
	to, peer, _, err := rs.enter(ctx, 2*i+1, true)
	if err != nil {
		from.close()
		return nil, err
	}
	text := textOf(l.Size)
	req := &proto.Request{Op: proto.EVENT, ToID: peer.id, Event: []byte(eventName), Data: text}
	if e.chat {
		req = newChat(peer.id, text)
	}
	return &eventPair{l: l, from: from, to: to, me: me.id, peer: peer.id, left: l.quota(i),
		op: req.Op, template: rs.template(req, me, text),
		got: newEventView(fmt.Sprintf("pair %d", i), l.faults)}, nil
}

// relay keeps the window full until the load stops, and reads what is still
// on the way. Once all have come, a PONG shows that nothing comes after them.
func (p *eventPair) relay() error {
	// The watcher reads until an answer comes.
	defer func() { _ = p.from.ping() }() // its own read tells what is wrong
	var out []byte
	var latencies []int64
	var pings int // on the way
	var spoke int64
	for ending := false; ; {
		out = p.refill(out[:0])
		if len(out) > 0 {
			if _, err := p.from.nc.Write(out); err != nil {
				return p.broken("send", err)
			}
		}
		over := p.got.numbers.last >= p.number && (p.left == 0 || p.l.stopped.Load())
		if now := p.l.clock.now(); over && !ending || now-spoke > int64(keepAlive) {
			if err := p.to.ping(); err != nil {
				return p.broken("ping", err)
			}
			ending, spoke = over, now
			pings++
		}
		if err := p.to.fill(); err != nil {
			return p.broken("receive", err)
		}
		now := p.l.clock.now()
		latencies = latencies[:0]
		for {
			m, err := p.to.next()
			if err != nil {
				return p.broken("receive", err)
			}
			if m == nil {
				break
			}
			switch m.Op {
			case p.op:
				if sent, ok := p.take(m); ok {
					latencies = append(latencies, now-sent)
				}
			case proto.PONG:
				if pings--; ending && pings == 0 {
					p.events.add(latencies)
					return nil
				}
			default:
				return fmt.Errorf("%s: %w", p.got.who, unexpected(m))
			}
		}
		p.events.add(latencies)
	}
}

// refill appends what the window has room for. A lost event makes room, once
// one after it has come: it is a fault, and the load goes on.
func (p *eventPair) refill(out []byte) []byte {
	if p.l.stopped.Load() {
		return out
	}
	now := p.l.clock.now()
	for p.number-p.got.numbers.last < int64(p.l.Window) && p.left != 0 {
		p.number++
		out = p.template.append(out, p.number, now)
		if p.left > 0 {
			p.left--
		}
	}
	return out
}

// take checks an event that was delivered.
func (p *eventPair) take(m *proto.Response) (sent int64, ok bool) {
	text, name := m.Data, eventName
	if p.op == proto.ONE_CHAT {
		text, name = m.Msg, ""
	}
	n, sent, ok := p.template.read(text)
	if !ok || m.ID != p.me || m.ToID != p.peer || string(m.Event) != name {
		p.got.faults.addf("%s: an event arrived altered, or is for somebody else", p.got.who)
		return 0, false
	}
	p.got.event(n)
	return sent, true
}

// watch reads what the server says to the sender: nothing, but for the PONG
// at the end.
func (p *eventPair) watch() error {
	if _, err := p.from.await(proto.PONG); err != nil {
		return p.broken("the sender's side", err)
	}
	return nil
}

func (p *eventPair) broken(what string, err error) error {
	if p.l.cut.Load() && gaveUp(err) {
		return errors.New(p.got.who + ": " + p.l.overdue(p.number-p.got.numbers.last, "events"))
	}
	return fmt.Errorf("%s: %s: %w", p.got.who, what, err)
}
