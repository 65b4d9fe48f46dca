package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"chatd/proto"
)

// receiptEvery is how many messages one RECEIPT of a receiver covers. Clients
// say what has arrived as seldom as they like; one that never does would get
// everything again at its next login.
const receiptEvery = 256

// stream is the scenario of stored messages.
type stream struct {
	traffic `embed:""`
}

func (*stream) name() string { return "stream" }

func (s *stream) Help() string {
	return `Each sender keeps --window messages unacknowledged: ONE_CHAT, which the server
stores and then answers with ONE_CHAT_ACK. Each receiver gets the pushes and sends
RECEIPT for every 256 of them.

Measured are messages acknowledged and delivered per second; "ack", from the write of
a message to the read of its ACK; and "end to end", from that write to the receiver's
read. Checked is that each conversation's seq rises by one, in ACKs and pushes, that
texts arrive unaltered and in the order of sending, and that all that was acknowledged
was delivered, once.`
}

func (s *stream) validate() error { return s.traffic.validate(proto.MaxMsg, maxStreamWindow) }

func (s *stream) run(ctx context.Context, r *rig) error {
	if r.server.floor() {
		r.report.note("the floor stores and acknowledges nothing: a sender's window has room for as many as have arrived")
		return (&event{traffic: s.traffic, chat: true}).run(ctx, r)
	}
	l := &load{rig: r, traffic: s.traffic}
	acks, pushes := newGauge("acknowledged", "ack"), newGauge("delivered", "end to end")
	l.gauges = []*gauge{acks, pushes}
	defer l.closeAll()

	pairs := make([]*streamPair, s.Pairs)
	rs := newRecruits(r.server)
	err := each(ctx, s.Pairs, setupAtATime, r.progress, "users", func(ctx context.Context, i int) error {
		p, err := newStreamPair(ctx, l, rs, i)
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
		p.acks, p.pushes = acks.meter(), pushes.meter()
		l.workers = append(l.workers, p.send, p.receive)
	}
	err = l.measure(ctx)
	for i, p := range pairs {
		if lost := p.sent.count - p.got.count; lost != 0 && err == nil {
			r.faults.addf("pair %d: %d messages acknowledged, %d delivered", i, p.sent.count, p.got.count)
		}
	}
	return err
}

// streamPair is one sender and one receiver. What only send or only receive
// uses needs no lock.
type streamPair struct {
	l        *load
	from, to *conn
	me, peer int64
	template *template
	cid      []byte // of the sender's messages, without the time

	left         int64 // messages still to be sent; below 0: no end
	number       int64 // of the last one sent
	outstanding  int
	throttled    time.Time // not before then anything is sent
	sent         *view
	acks, pushes *meter

	final    atomic.Int64 // how many messages there were, once the sender is done; before, -1
	got      *view
	receipts int64 // the last seq receipted
	spoke    int64 // when that was
}

// newStreamPair makes two users and their connections; beside an error none.
func newStreamPair(ctx context.Context, l *load, rs *recruits, i int) (*streamPair, error) {
	from, me, window, err := rs.enter(ctx, 2*i, true)
	if err != nil {
		return nil, err
	}
	to, peer, _, err := rs.enter(ctx, 2*i+1, true)
	if err != nil {
		from.close()
		return nil, err
	}
	if int64(l.Window) > window {
		from.close()
		to.close()
		return nil, fmt.Errorf("--window %d is more than the server takes, %d", l.Window, window)
	}
	text := textOf(l.Size)
	req := newChat(peer.id, text)
	p := &streamPair{l: l, from: from, to: to, me: me.id, peer: peer.id, cid: req.CID[:hexSize], left: l.quota(i),
		template: newTemplate(req, text),
		sent:     newChatView(fmt.Sprintf("pair %d, acks", i), l.faults),
		got:      newChatView(fmt.Sprintf("pair %d, pushes", i), l.faults)}
	p.final.Store(-1)
	return p, nil
}

// newChat is a message to peer before it is stamped, with a cid that no other
// connection has.
func newChat(peer int64, text []byte) *proto.Request {
	cid := make([]byte, hexSize, cidSize)
	putHex(cid, nonce())
	return &proto.Request{Op: proto.ONE_CHAT, ToID: peer, Msg: text, CID: append(cid, cidMark...)}
}

// send keeps the window full until the load stops, and then waits for the
// last answer. It tells the receiver how much there was.
func (p *streamPair) send() error {
	defer func() {
		p.final.Store(p.sent.count)
		// The receiver may be waiting for something to read.
		_ = p.to.ping() // its own reads tell what is wrong
	}()
	var out []byte
	var latencies []int64
	for {
		out = p.refill(out[:0])
		if len(out) > 0 {
			if _, err := p.from.nc.Write(out); err != nil {
				return p.broken("send", err)
			}
		}
		if p.outstanding == 0 && (p.left == 0 || p.l.stopped.Load()) {
			return nil
		}
		if err := p.from.fill(); err != nil {
			if gaveUp(err) && !p.l.cut.Load() {
				p.resume()
				continue
			}
			return p.broken("read", err)
		}
		now := p.l.clock.now()
		latencies = latencies[:0]
		for {
			a, err := p.from.next()
			if err != nil {
				return p.broken("read", err)
			}
			if a == nil {
				break
			}
			if sent, ok, err := p.answer(a); err != nil {
				return err
			} else if ok {
				latencies = append(latencies, now-sent)
			}
		}
		p.acks.add(latencies)
	}
}

// refill appends what the window has room for.
func (p *streamPair) refill(out []byte) []byte {
	if p.l.stopped.Load() || !p.throttled.IsZero() {
		return out
	}
	now := p.l.clock.now()
	for p.outstanding < p.l.Window && p.left != 0 {
		p.number++
		out = p.template.append(out, p.number, now)
		p.outstanding++
		if p.left > 0 {
			p.left--
		}
	}
	return out
}

// answer takes what the server says to the sender: ok with the time of sending
// where that is an ACK of success.
func (p *streamPair) answer(a *proto.Response) (sent int64, ok bool, err error) {
	if a.Op != proto.ONE_CHAT_ACK {
		return 0, false, fmt.Errorf("%s: %w", p.sent.who, unexpected(a))
	}
	p.outstanding--
	if len(a.CID) != cidSize || !bytes.Equal(a.CID[:hexSize], p.cid) || a.ToID != p.peer {
		p.sent.faults.addf("%s: an answer to nothing that was sent, cid %q, toid %d", p.sent.who, a.CID, a.ToID)
		return 0, false, nil
	}
	stamp, _ := hex(a.CID[hexSize:])
	switch a.Errno {
	case proto.Done:
		// Times rise as numbers do.
		p.sent.chat(a.Seq, int64(stamp))
		return int64(stamp), true, nil
	case proto.TooFast:
		p.acks.refuse(int32(a.Errno))
		p.throttled = time.Now().Add(retryAfter(a))
		return 0, false, p.from.nc.SetReadDeadline(p.throttled)
	default:
		p.acks.refuse(int32(a.Errno))
		return 0, false, fmt.Errorf("%s: %w", p.sent.who, unexpected(a))
	}
}

// resume ends a pause that the server asked for.
func (p *streamPair) resume() {
	p.throttled = time.Time{}
	_ = p.from.nc.SetReadDeadline(time.Time{}) // closed: the next read says so
}

// receive reads and receipts pushes, until it has all that were acknowledged
// and, by a PONG, nothing came after them.
func (p *streamPair) receive() error {
	var latencies []int64
	for {
		if err := p.to.fill(); err != nil {
			return p.unheard("receive", err)
		}
		now := p.l.clock.now()
		latencies = latencies[:0]
		before := p.got.count
		for {
			m, err := p.to.next()
			if err != nil {
				return p.unheard("receive", err)
			}
			if m == nil {
				break
			}
			switch m.Op {
			case proto.ONE_CHAT:
				if sent, ok := p.push(m); ok {
					latencies = append(latencies, now-sent)
				}
			case proto.PONG:
				if final := p.final.Load(); final >= 0 && p.got.count >= final {
					p.pushes.add(latencies)
					return p.receipt(1, now)
				}
			default:
				return fmt.Errorf("%s: %w", p.got.who, unexpected(m))
			}
		}
		p.pushes.add(latencies)
		least := int64(receiptEvery)
		if now-p.spoke > int64(keepAlive) {
			least = 1
		}
		if err := p.receipt(least, now); err != nil {
			return p.unheard("receipt", err)
		}
		if final := p.final.Load(); p.got.count > before && final >= 0 && p.got.count >= final {
			if err := p.to.ping(); err != nil {
				return p.unheard("ping", err)
			}
		}
	}
}

// push checks a message that was delivered.
func (p *streamPair) push(m *proto.Response) (sent int64, ok bool) {
	n, sent, ok := p.template.read(m.Msg)
	if !ok || m.ID != p.me || m.ToID != p.peer {
		p.got.count++
		p.got.faults.addf("%s: seq %d arrived altered, or is for somebody else", p.got.who, m.Seq)
		return 0, false
	}
	p.got.chat(m.Seq, n)
	return sent, true
}

// receipt says what has arrived, if it is at least so many messages more than
// the last time.
func (p *streamPair) receipt(least, now int64) error {
	if p.got.seqs.last-p.receipts < least {
		return nil
	}
	p.receipts, p.spoke = p.got.seqs.last, now
	return p.to.tell(&proto.Request{Op: proto.RECEIPT, Peer: p.me, Seq: p.receipts})
}

// broken is err in words; where the load has given up waiting, that is what
// it means.
func (p *streamPair) broken(what string, err error) error {
	if p.l.cut.Load() && gaveUp(err) {
		return errors.New(p.sent.who + ": " + p.l.overdue(int64(p.outstanding), "answers"))
	}
	return fmt.Errorf("%s: %s: %w", p.sent.who, what, err)
}

// unheard is broken for the receiver.
func (p *streamPair) unheard(what string, err error) error {
	if p.l.cut.Load() && gaveUp(err) {
		final := p.final.Load()
		if final < 0 {
			return nil // what is missing is the sender's to tell
		}
		return errors.New(p.got.who + ": " + p.l.overdue(final-p.got.count, "pushes"))
	}
	return fmt.Errorf("%s: %s: %w", p.got.who, what, err)
}
