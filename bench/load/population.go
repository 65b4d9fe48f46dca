package load

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"chatd/bench/report"
	"chatd/proto"
)

// PopulationConfig says who the users are and what they do.
type PopulationConfig struct {
	UserCount int           // an even number: they are pairs of friends
	GroupSize int           // of each group, an even number
	TextSize  int           // bytes of each text, at least StampSize
	MeanAway  time.Duration // average time that a user stays offline
	Rates     []ActionRate
}

// Population is a set of users who behave like people: mostly idle, sometimes
// typing, sending, disconnecting and returning.
type Population struct {
	generator *Generator
	PopulationConfig
	users []*user
	text  *Template // only its filler is used

	typing, chats, groups, acks, logins *Metric

	foundAtLogin atomic.Int64 // messages delivered with a login
	repeated     atomic.Int64 // messages delivered twice, as is allowed after a reconnect

	unacked  sync.WaitGroup // messages without an answer
	allAcked atomic.Bool    // nothing more is sent, and all messages have their answers
}

// Acknowledged is the name of the figure that counts acknowledged messages.
const Acknowledged = "acknowledged"

// recordersPerMetric is how many recorders all users share. A recorder takes
// some KiB, and a user does little.
const recordersPerMetric = 16

func NewPopulation(g *Generator, c PopulationConfig) *Population {
	p := &Population{generator: g, PopulationConfig: c, users: make([]*user, c.UserCount), text: &Template{fill: NewText(c.TextSize)[StampSize:]}}
	p.logins = g.AddMetric("logins", "connect and log in")
	p.acks = g.AddMetric(Acknowledged, "ack")
	p.typing = g.AddMetric("typing", "typing, end to end")
	p.groups = g.AddMetric("group deliveries", "group, end to end")
	p.chats = g.AddMetric("one-to-one deliveries", "one-to-one, end to end")
	for _, m := range g.metrics {
		for range min(recordersPerMetric, c.UserCount) {
			m.NewRecorder()
		}
	}
	for i := range p.users {
		p.users[i] = newUser(p, i)
	}
	return p
}

// conversation is what the members of a pair or a group have sent.
type conversation struct {
	name    string
	id      int64 // of a group; 0: a pair
	members []*user

	acked        atomic.Int64 // messages
	highestAcked atomic.Int64 // their highest seq
}

// recordAck records an acknowledged message. Any goroutine may call it.
func (c *conversation) recordAck(seq int64) {
	c.acked.Add(1)
	for {
		top := c.highestAcked.Load()
		if seq <= top || c.highestAcked.CompareAndSwap(top, seq) {
			return
		}
	}
}

// indexOf returns the index of a member by user id, or -1.
func (c *conversation) indexOf(id int64) int {
	for i, u := range c.members {
		if u.account.ID == id {
			return i
		}
	}
	return -1
}

// runActions has users act on schedule until the generator stops. Then it waits
// for outstanding answers.
func (p *Population) runActions() error {
	rates := p.Rates
	var all float64
	for _, r := range rates {
		all += r.Rate
	}
	// A fixed seed: every run does the same.
	rng := rand.New(rand.NewPCG(1, 2))
	next := 0
	err := p.generator.schedule.run(0, &p.generator.stopped, func(n int64) error {
		at := p.generator.schedule.due(n)
		p.generator.schedule.recordSent(p.generator.Clock.Now(), at, at)
		x, i := rng.Float64()*all, 0
		for ; i < len(rates)-1 && x >= rates[i].Rate; i++ {
			x -= rates[i].Rate
		}
		index := rng.IntN(len(p.users))
		if rates[i].Action == ActionPing { // each user in turn
			index, next = next, (next+1)%len(p.users)
			_, err := p.users[index].do(ActionPing, at)
			return err
		}
		for range p.users { // the next one that can
			did, err := p.users[index].do(rates[i].Action, at)
			if did || err != nil {
				return err
			}
			index = (index + 1) % len(p.users)
		}
		return nil
	})
	p.unacked.Wait()
	p.allAcked.Store(true)
	p.wakeAll()
	return err
}

// wakeAll wakes the readers of all online users.
func (p *Population) wakeAll() {
	for _, u := range p.users {
		u.wake()
	}
}

// Check checks that the seqs of acknowledged messages have no gaps: together,
// the members have sent every message.
func (p *Population) Check() {
	seen := make(map[*conversation]bool)
	for _, u := range p.users {
		for _, box := range u.inboxes {
			c := box.conversation
			if n, top := c.acked.Load(), c.highestAcked.Load(); !seen[c] && n != top {
				p.generator.Faults.addf("%s: %d messages acknowledged, but the highest seq is %d", c.name, n, top)
			}
			seen[c] = true
		}
	}
}

// Note writes how many messages came late or twice into a report.
func (p *Population) Note(rep *report.Report) {
	rep.AddNote("%d messages were delivered at login to users who had been offline", p.foundAtLogin.Load())
	if n := p.repeated.Load(); n > 0 {
		rep.AddNote("%d messages were delivered again after a reconnect, which the protocol allows", n)
	}
}

// Close closes all connections.
func (p *Population) Close() {
	for _, u := range p.users {
		u.mu.Lock()
		if u.c != nil {
			u.c.Abort()
		}
		u.mu.Unlock()
	}
}

func (p *Population) addFault(u *user, c *conversation, format string, args ...any) {
	p.generator.Faults.addf("user %d, %s: %s", u.number, c.name, fmt.Sprintf(format, args...))
}

// eventTyping is the event sent while a user types.
const eventTyping = "typing"

// request returns a request of u for an action, with a number and a time in its
// text.
func (p *Population) request(u *user, a Action, n, at int64) *proto.Request {
	text := append(u.text[:0], make([]byte, StampSize)...)
	putHex(text, uint64(n))
	putHex(text[hexSize:], uint64(at))
	text = append(text, p.text.fill...)
	u.text = text
	pair, group := u.inboxes[0].conversation, u.inboxes[1].conversation
	if a == ActionTyping {
		return &proto.Request{Op: proto.EVENT, ToID: u.friend(pair).account.ID, Event: []byte(eventTyping), Data: text}
	}
	cid := make([]byte, cidSize)
	putHex(cid, u.nonce)
	u.lastCID = max(at, u.lastCID+1)
	putHex(cid[hexSize:], uint64(u.lastCID))
	if a == ActionGroup {
		return &proto.Request{Op: proto.GROUP_CHAT, GroupID: group.id, Msg: text, CID: cid}
	}
	return &proto.Request{Op: proto.ONE_CHAT, ToID: u.friend(pair).account.ID, Msg: text, CID: cid}
}
