package main

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"chatd/proto"
)

// townConfig says who the users are and what they do.
type townConfig struct {
	users   int           // an even number: they are pairs of friends
	members int           // of each group, an even number
	size    int           // bytes of each text, at least stampSize
	away    time.Duration // how long a user stays away, on average
	rates   []pulse
}

// town is all users of a mix.
type town struct {
	l *load
	townConfig
	people []*person
	text   *template // of which only the filler is used

	typing, chats, groups, acks, logins *gauge

	missed atomic.Int64 // messages that came with a login
	again  atomic.Int64 // that came once more

	awaited sync.WaitGroup // messages that have no answer yet
	over    atomic.Bool    // nobody says anything any more, and all is answered
}

// acknowledged is the figure of messages that were.
const acknowledged = "acknowledged"

// meters is how many share the work of counting: each meter is some KiB, and
// a user does little.
const meters = 16

func newTown(l *load, c townConfig) *town {
	t := &town{l: l, townConfig: c, people: make([]*person, c.users), text: &template{fill: textOf(c.size)[stampSize:]}}
	t.logins = l.gauge("logins", "connect and log in")
	t.acks = l.gauge(acknowledged, "ack")
	t.typing = l.gauge("typing", "typing, end to end")
	t.groups = l.gauge("group deliveries", "group, end to end")
	t.chats = l.gauge("one-to-one deliveries", "one-to-one, end to end")
	for _, g := range l.gauges {
		for range min(meters, c.users) {
			g.meter()
		}
	}
	for i := range t.people {
		t.people[i] = newPerson(t, i)
	}
	return t
}

// conversation is what several people have said to each other.
type conversation struct {
	name    string
	id      int64 // of a group; 0: a pair's
	members []*person

	acked atomic.Int64 // messages acknowledged
	top   atomic.Int64 // the highest seq of them
}

// has takes an ACK.
func (c *conversation) has(seq int64) {
	c.acked.Add(1)
	for {
		top := c.top.Load()
		if seq <= top || c.top.CompareAndSwap(top, seq) {
			return
		}
	}
}

// indexOf is which member a user is; -1: none.
func (c *conversation) indexOf(id int64) int {
	for i, p := range c.members {
		if p.me.id == id {
			return i
		}
	}
	return -1
}

// day has people do what they do, each thing in its time, until the load
// stops; and then waits for what has no answer yet.
func (t *town) day() error {
	rates := t.rates
	var all float64
	for _, r := range rates {
		all += r.per
	}
	// The same users do the same in each run.
	rng := rand.New(rand.NewPCG(1, 2))
	next := 0
	err := t.l.pace.keep(0, &t.l.stopped, func(n int64) error {
		at := t.l.pace.due(n)
		t.l.pace.sent(t.l.clock.now(), at, at)
		x, i := rng.Float64()*all, 0
		for ; i < len(rates)-1 && x >= rates[i].per; i++ {
			x -= rates[i].per
		}
		who := rng.IntN(len(t.people))
		if rates[i].act == actPing { // for everyone in turn
			who, next = next, (next+1)%len(t.people)
			_, err := t.people[who].try(actPing, at)
			return err
		}
		for range t.people { // whoever is there
			did, err := t.people[who].try(rates[i].act, at)
			if did || err != nil {
				return err
			}
			who = (who + 1) % len(t.people)
		}
		return nil
	})
	t.awaited.Wait()
	t.over.Store(true)
	t.nudgeAll()
	return err
}

// nudgeAll wakes everyone who is there, to look at what has changed.
func (t *town) nudgeAll() {
	for _, p := range t.people {
		p.nudge()
	}
}

// check sees whether what the server has acknowledged is numbered without a
// gap: together all members have asked for every number.
func (t *town) check() {
	seen := make(map[*conversation]bool)
	for _, p := range t.people {
		for _, k := range p.talks {
			c := k.conversation
			if n, top := c.acked.Load(), c.top.Load(); !seen[c] && n != top {
				t.l.faults.addf("%s: %d messages acknowledged, and the last has seq %d", c.name, n, top)
			}
			seen[c] = true
		}
	}
}

// note adds what came late, or twice, to a report.
func (t *town) note(rep *report) {
	rep.note("%d messages were found by users who came back", t.missed.Load())
	if n := t.again.Load(); n > 0 {
		rep.note("%d messages came again after a connection was lost, as they may", n)
	}
}

// close ends all connections.
func (t *town) close() {
	for _, p := range t.people {
		p.mu.Lock()
		if p.c != nil {
			p.c.abort()
		}
		p.mu.Unlock()
	}
}

// complain adds a fault of what p sees.
func (t *town) complain(p *person, c *conversation, format string, args ...any) {
	t.l.faults.addf("user %d, %s: %s", p.number, c.name, fmt.Sprintf(format, args...))
}

// eventTyping is the event of who types.
const eventTyping = "typing"

// request is what p says, stamped.
func (t *town) request(p *person, a act, n, at int64) *proto.Request {
	text := append(p.text[:0], make([]byte, stampSize)...)
	putHex(text, uint64(n))
	putHex(text[hexSize:], uint64(at))
	text = append(text, t.text.fill...)
	p.text = text
	pair, group := p.talks[0].conversation, p.talks[1].conversation
	if a == actTyping {
		return &proto.Request{Op: proto.EVENT, ToID: p.friend(pair).me.id, Event: []byte(eventTyping), Data: text}
	}
	cid := make([]byte, cidSize)
	putHex(cid, p.nonce)
	p.lastCID = max(at, p.lastCID+1)
	putHex(cid[hexSize:], uint64(p.lastCID))
	if a == actGroup {
		return &proto.Request{Op: proto.GROUP_CHAT, GroupID: group.id, Msg: text, CID: cid}
	}
	return &proto.Request{Op: proto.ONE_CHAT, ToID: p.friend(pair).me.id, Msg: text, CID: cid}
}
