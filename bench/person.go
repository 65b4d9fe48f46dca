package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"chatd/proto"
)

// personBuffer is what a user reads into; it grows for a long list.
const personBuffer = 2 << 10

// person is one user of a town. What has no word about it is for the goroutine
// that lives this life alone.
type person struct {
	town   *town
	number int
	me     account
	window int64
	talks  [2]*talking // with the friend, in the group
	rng    *rand.Rand

	intake intake
	since  int64    // when it was last told what it had missed
	typed  sequence // of the friend

	// What the town's day has people say.
	nonce   uint64
	lastCID int64
	text    []byte
	out     []byte

	mu          sync.Mutex
	c           *conn // nil: it was never there
	there       bool
	outstanding int64    // messages without an answer
	pings       int      // on the way
	said        [3]int64 // events, messages to the friend, to the group
}

func newPerson(t *town, number int) *person {
	return &person{town: t, number: number, nonce: nonce(), rng: rand.New(rand.NewPCG(3, uint64(number)))}
}

// friend is the other one of a pair.
func (p *person) friend(pair *conversation) *person {
	if pair.members[0] == p {
		return pair.members[1]
	}
	return pair.members[0]
}

// meter is p's of a gauge.
func (p *person) meter(g *gauge) *meter { return g.meters[p.number%len(g.meters)] }

// try has p do something, unless it can't just now. For the town's day alone.
func (p *person) try(a act, at int64) (did bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.there {
		return false, nil
	}
	switch a {
	case actLeave:
		if p.outstanding > 0 { // it would have to ask for their fate
			return false, nil
		}
		p.there = false
		p.c.abort()
		return true, nil
	case actPing:
		p.pings++
		return true, p.c.ping()
	case actChat, actGroup:
		if p.outstanding >= p.window {
			return false, nil
		}
		p.outstanding++
		p.town.awaited.Add(1)
	}
	i := int(a - actTyping)
	p.said[i]++
	p.out = proto.AppendFrame(p.out[:0], proto.AppendRequest(nil, p.town.request(p, a, p.said[i], at)))
	if _, err := p.c.nc.Write(p.out); err != nil {
		return false, fmt.Errorf("user %d: send: %w", p.number, err)
	}
	return true, nil
}

// nudge wakes p, who may be waiting for something to read.
func (p *person) nudge() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.there {
		p.town.l.nudge(p.c)
	}
}

// arrive connects and logs in, and takes what was missed.
func (p *person) arrive(ctx context.Context) error {
	l := p.town.l
	began := l.clock.now()
	c, err := dial(ctx, l.server.addrOf(p.number))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, c.close)()
	if p.intake.buf == nil {
		p.intake.buf = make([]byte, personBuffer)
	}
	p.intake.start, p.intake.end = 0, 0
	c.intake = &p.intake
	a, err := c.call(ctx, &proto.Request{Op: proto.LOGIN, Token: p.me.token, Ack: true})
	if err == nil && a.ID != p.me.id {
		err = fmt.Errorf("LOGIN: the token of user %d logged user %d in", p.me.id, a.ID)
	}
	if err != nil {
		c.abort()
		return err
	}
	p.since = l.clock.now()
	p.meter(p.town.logins).add([]int64{p.since - began})
	p.reconnected()
	for i := range a.Offline {
		m := &a.Offline[i]
		p.hear(m.Op, m.ID, m.ToID, m.GroupID, m.Seq, []byte(m.Msg), p.since)
	}
	p.mu.Lock()
	p.c, p.there, p.pings = c, true, 0
	p.mu.Unlock()
	l.wakeAt(c, time.Time{}) // unless all is given up
	return nil
}

// reconnected is the moment from which on what p has may come once more.
func (p *person) reconnected() {
	for _, k := range p.talks {
		k.pushed, k.before = sequence{}, k.highest()
	}
}

// live is p's day: it reads while it is there, and comes back when it has been
// away. It ends when the day has, with everything that was said.
func (p *person) live() error {
	defer p.forget()
	l := p.town.l
	for {
		err := p.listen()
		p.mu.Lock()
		there := p.there
		p.mu.Unlock()
		if err == nil || there {
			return p.broken(err)
		}
		away := time.Duration((0.5 + p.rng.Float64()) * float64(p.town.away))
		for end := time.Now().Add(away); time.Now().Before(end) && !l.stopped.Load(); {
			if err := sleep(l.running, min(time.Until(end), lookUp)); err != nil {
				return nil // another one has failed
			}
		}
		if err := p.arrive(l.running); err != nil {
			return fmt.Errorf("user %d comes back: %w", p.number, err)
		}
	}
}

// lookUp is how often who is away sees whether the day is over.
const lookUp = 50 * time.Millisecond

// forget is for one who will not have any more answers.
func (p *person) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.there = false
	p.town.awaited.Add(-int(p.outstanding))
	p.outstanding = 0
}

// listen reads until the connection is lost, which is an error, or the day is
// over and everything is there.
func (p *person) listen() error {
	l := p.town.l
	for ending := false; ; {
		// What came with LOGIN_ACK is here already, and may be all that will come.
		now := l.clock.now()
		for {
			m, err := p.c.next()
			if err != nil {
				return err
			}
			if m == nil {
				break
			}
			switch m.Op {
			case proto.ONE_CHAT, proto.GROUP_CHAT:
				p.hear(m.Op, m.ID, m.ToID, m.GroupID, m.Seq, m.Msg, now)
			case proto.ONE_CHAT_ACK, proto.GROUP_CHAT_ACK:
				if err := p.answer(m, now); err != nil {
					return err
				}
			case proto.EVENT:
				p.event(m, now)
			case proto.PRESENCE:
			case proto.PONG:
				p.mu.Lock()
				p.pings--
				last := p.pings == 0
				p.mu.Unlock()
				if ending && last {
					p.excess()
					return p.receipt()
				}
			default:
				return unexpected(m)
			}
		}
		if err := p.receipt(); err != nil {
			return err
		}
		if !ending && p.town.over.Load() && p.missing() == 0 {
			ending = true
			if _, err := p.try(actPing, 0); err != nil {
				return err
			}
		}
		if _, err := l.fill(p.c); err != nil {
			return err
		}
	}
}

// missing is how many messages are still to come.
func (p *person) missing() (n int64) {
	for _, k := range p.talks {
		n += max(k.top.Load()-k.last, 0)
	}
	return n
}

// excess sees whether there is more than was said.
func (p *person) excess() {
	for _, k := range p.talks {
		if top := k.top.Load(); k.highest() > top {
			p.town.complain(p, k.conversation, "%d is there, and the last that was acknowledged is %d", k.highest(), top)
		}
	}
}

// receipt says what has arrived.
func (p *person) receipt() error {
	var out []byte
	for i, k := range p.talks {
		if k.last <= k.receipted {
			continue
		}
		k.receipted = k.last
		req := proto.Request{Op: proto.RECEIPT, GroupID: k.id, Seq: k.last}
		if i == 0 {
			req.Peer = p.friend(k.conversation).me.id
		}
		out = proto.AppendFrame(out, proto.AppendRequest(nil, &req))
	}
	if len(out) == 0 {
		return nil
	}
	_, err := p.c.nc.Write(out)
	return err
}

// hear takes a message that was delivered, with a login or pushed.
func (p *person) hear(op proto.Op, from, to, group, seq int64, text []byte, now int64) {
	t := p.town
	k, g := p.talks[0], t.chats
	if op == proto.GROUP_CHAT {
		k, g = p.talks[1], t.groups
	}
	who := k.indexOf(from)
	n, sent, ok := t.text.read(text)
	if ok = ok && who >= 0 && group == k.id; ok && op == proto.ONE_CHAT {
		ok = to == p.friend(k.conversation).me.id && from == p.me.id || to == p.me.id && from != to
	}
	if !ok {
		t.complain(p, k.conversation, "seq %d arrived altered, or is for somebody else", seq)
		return
	}
	if wrong := k.pushed.see(seq); wrong != "" {
		t.complain(p, k.conversation, "seq %s", wrong)
	}
	if !k.add(seq) {
		if seq > k.before {
			t.complain(p, k.conversation, "seq %d came, which was there", seq)
		}
		t.again.Add(1)
		return
	}
	if wrong := k.numbers[who].see(n); wrong != "" {
		t.complain(p, k.conversation, "the sender's order is not kept, number %s", wrong)
	}
	if sent < p.since {
		t.missed.Add(1)
		return
	}
	p.meter(g).add([]int64{now - sent})
}

// event takes an event. Of those for one who is away nothing is ever heard.
func (p *person) event(m *proto.Response, now int64) {
	t, pair := p.town, p.talks[0].conversation
	n, sent, ok := t.text.read(m.Data)
	if !ok || m.ID != p.friend(pair).me.id || m.ToID != p.me.id || string(m.Event) != eventTyping {
		t.complain(p, pair, "an event arrived altered, or is for somebody else")
		return
	}
	if wrong := p.typed.see(n); wrong != "" {
		t.complain(p, pair, "event %s", wrong)
	}
	p.meter(t.typing).add([]int64{now - sent})
}

// answer takes the ACK of a message.
func (p *person) answer(a *proto.Response, now int64) error {
	t := p.town
	k, to := p.talks[0], p.friend(p.talks[0].conversation).me.id
	if a.Op == proto.GROUP_CHAT_ACK {
		k, to = p.talks[1], 0
	}
	mine := make([]byte, hexSize)
	putHex(mine, p.nonce)
	if len(a.CID) != cidSize || string(a.CID[:hexSize]) != string(mine) || a.ToID != to || a.GroupID != k.id {
		t.complain(p, k.conversation, "an answer to nothing that was sent, cid %q", a.CID)
		return nil
	}
	switch stamp, _ := hex(a.CID[hexSize:]); a.Errno {
	case proto.Done:
		if !k.add(a.Seq) {
			t.complain(p, k.conversation, "seq %d was acknowledged, which was there", a.Seq)
		}
		k.has(a.Seq)
		p.meter(t.acks).add([]int64{now - int64(stamp)})
	case proto.TooFast:
		p.meter(t.acks).refuse(int32(a.Errno)) // whoever is in a hurry says it again; here nobody is
	default:
		p.meter(t.acks).refuse(int32(a.Errno))
		return unexpected(a)
	}
	p.mu.Lock()
	p.outstanding--
	p.mu.Unlock()
	t.awaited.Done()
	return nil
}

// broken is err in words; where the load has given up waiting, that is what
// it means.
func (p *person) broken(err error) error {
	l := p.town.l
	if err == nil || l.running.Err() != nil {
		return err
	}
	if !l.cut.Load() || !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("user %d: %w", p.number, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.outstanding > 0 {
		return fmt.Errorf("user %d: %s", p.number, l.overdue(p.outstanding, "answers"))
	}
	if n := p.missing(); n > 0 {
		return fmt.Errorf("user %d: %s", p.number, l.overdue(n, "messages"))
	}
	return nil // another one is waited for
}
