package load

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

// userBufferSize is the size of a user's read buffer. It grows for larger
// frames.
const userBufferSize = 2 << 10

// user is one user of a population. Unless said otherwise, only the goroutine
// that runs it uses it.
type user struct {
	population *Population
	number     int
	account    Account
	window     int64
	inboxes    [2]*inbox // of the friend, of the group
	rng        *rand.Rand

	readBuf readBuffer
	loginAt int64    // time of the last LOGIN_ACK
	events  sequence // numbers of the friend's events

	// For what the user sends. Only the population's schedule uses these.
	nonce   uint64
	lastCID int64
	text    []byte
	out     []byte

	mu           sync.Mutex
	c            *Conn // nil: never connected
	online       bool
	unacked      int64    // messages without an answer
	pendingPings int      // PINGs without an answer
	sentCounts   [3]int64 // events, messages to the friend, messages to the group
}

func newUser(p *Population, number int) *user {
	return &user{population: p, number: number, nonce: Nonce(), rng: rand.New(rand.NewPCG(3, uint64(number)))}
}

func (u *user) friend(pair *conversation) *user {
	if pair.members[0] == u {
		return pair.members[1]
	}
	return pair.members[0]
}

// recorder returns the recorder of m that u uses.
func (u *user) recorder(m *Metric) *Recorder { return m.Recorders[u.number%len(m.Recorders)] }

// do performs an action, unless the user can't now. Only the population's
// schedule may call it.
func (u *user) do(a Action, at int64) (did bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.online {
		return false, nil
	}
	switch a {
	case ActionLeave:
		if u.unacked > 0 { // it would have to resend them after it reconnects
			return false, nil
		}
		u.online = false
		u.c.Abort()
		return true, nil
	case ActionPing:
		u.pendingPings++
		return true, u.c.ping()
	case ActionChat, ActionGroup:
		if u.unacked >= u.window {
			return false, nil
		}
		u.unacked++
		u.population.unacked.Add(1)
	}
	i := int(a - ActionTyping)
	u.sentCounts[i]++
	u.out = proto.AppendFrame(u.out[:0], proto.AppendRequest(nil, u.population.request(u, a, u.sentCounts[i], at)))
	if _, err := u.c.nc.Write(u.out); err != nil {
		return false, fmt.Errorf("user %d: send: %w", u.number, err)
	}
	return true, nil
}

// wake wakes u's reader. Any goroutine may call it.
func (u *user) wake() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.online {
		u.population.generator.wakeReader(u.c)
	}
}

// connect connects, logs in and reads what was missed.
func (u *user) connect(ctx context.Context) error {
	g := u.population.generator
	began := g.Clock.Now()
	c, err := dial(ctx, g.Server.AddrOf(u.number))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, c.Close)()
	if u.readBuf.buf == nil {
		u.readBuf.buf = make([]byte, userBufferSize)
	}
	u.readBuf.start, u.readBuf.end = 0, 0
	c.readBuffer = &u.readBuf
	a, err := c.Call(ctx, &proto.Request{Op: proto.LOGIN, Token: u.account.token, Ack: true})
	if err == nil && a.ID != u.account.ID {
		err = fmt.Errorf("LOGIN: the token of user %d logged in user %d", u.account.ID, a.ID)
	}
	if err != nil {
		c.Abort()
		return err
	}
	u.loginAt = g.Clock.Now()
	u.recorder(u.population.logins).Add([]int64{u.loginAt - began})
	u.resetConnection()
	for i := range a.Offline {
		m := &a.Offline[i]
		u.handleMessage(m.Op, m.ID, m.ToID, m.GroupID, m.Seq, []byte(m.Msg), u.loginAt)
	}
	u.mu.Lock()
	u.c, u.online, u.pendingPings = c, true, 0
	u.mu.Unlock()
	g.wakeReaderAt(c, time.Time{}) // unless all is abandoned
	return nil
}

// resetConnection marks the moment from which messages that u has may be
// delivered again.
func (u *user) resetConnection() {
	for _, box := range u.inboxes {
		box.pushes, box.atReconnect = sequence{}, box.highest()
	}
}

// run reads until the connection is lost, stays offline for a while, and
// reconnects. It returns when the run is over and all messages have arrived.
func (u *user) run() error {
	defer u.goOffline()
	g := u.population.generator
	for {
		err := u.readLoop()
		u.mu.Lock()
		there := u.online
		u.mu.Unlock()
		if err == nil || there {
			return u.wrapError(err)
		}
		away := time.Duration((0.5 + u.rng.Float64()) * float64(u.population.MeanAway))
		for end := time.Now().Add(away); time.Now().Before(end) && !g.stopped.Load(); {
			if err := Sleep(g.Running, min(time.Until(end), awayPoll)); err != nil {
				return nil // another user has failed
			}
		}
		if err := u.connect(g.Running); err != nil {
			return fmt.Errorf("user %d: reconnect: %w", u.number, err)
		}
	}
}

// awayPoll is how often an offline user checks whether the run is over.
const awayPoll = 50 * time.Millisecond

// goOffline marks u as offline for good: it will not get any more answers.
func (u *user) goOffline() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.online = false
	u.population.unacked.Add(-int(u.unacked))
	u.unacked = 0
}

// readLoop reads until the connection is lost, or the run is over and all
// messages have arrived.
func (u *user) readLoop() error {
	g := u.population.generator
	for ending := false; ; {
		// Decode before reading: frames that came with LOGIN_ACK are buffered
		// already, and may be the last ones.
		now := g.Clock.Now()
		for {
			m, err := u.c.next()
			if err != nil {
				return err
			}
			if m == nil {
				break
			}
			switch m.Op {
			case proto.ONE_CHAT, proto.GROUP_CHAT:
				u.handleMessage(m.Op, m.ID, m.ToID, m.GroupID, m.Seq, m.Msg, now)
			case proto.ONE_CHAT_ACK, proto.GROUP_CHAT_ACK:
				if err := u.handleAck(m, now); err != nil {
					return err
				}
			case proto.EVENT:
				u.handleEvent(m, now)
			case proto.PRESENCE:
			case proto.PONG:
				u.mu.Lock()
				u.pendingPings--
				last := u.pendingPings == 0
				u.mu.Unlock()
				if ending && last {
					u.checkExcess()
					return u.sendReceipts()
				}
			default:
				return unexpectedFrame(m)
			}
		}
		if err := u.sendReceipts(); err != nil {
			return err
		}
		if !ending && u.population.allAcked.Load() && u.missingCount() == 0 {
			ending = true
			if _, err := u.do(ActionPing, 0); err != nil {
				return err
			}
		}
		if _, err := g.read(u.c); err != nil {
			return err
		}
	}
}

// missingCount returns how many messages are still to come.
func (u *user) missingCount() (n int64) {
	for _, box := range u.inboxes {
		n += max(box.highestAcked.Load()-box.contiguous, 0)
	}
	return n
}

// checkExcess checks that u has no message that nobody sent.
func (u *user) checkExcess() {
	for _, box := range u.inboxes {
		if top := box.highestAcked.Load(); box.highest() > top {
			u.population.addFault(u, box.conversation, "seq %d arrived, but the last acknowledged seq is %d", box.highest(), top)
		}
	}
}

// sendReceipts sends RECEIPT for what has arrived.
func (u *user) sendReceipts() error {
	var out []byte
	for i, box := range u.inboxes {
		if box.contiguous <= box.receipted {
			continue
		}
		box.receipted = box.contiguous
		req := proto.Request{Op: proto.RECEIPT, GroupID: box.id, Seq: box.contiguous}
		if i == 0 {
			req.Peer = u.friend(box.conversation).account.ID
		}
		out = proto.AppendFrame(out, proto.AppendRequest(nil, &req))
	}
	if len(out) == 0 {
		return nil
	}
	_, err := u.c.nc.Write(out)
	return err
}

// handleMessage handles a message, pushed or delivered with a login.
func (u *user) handleMessage(op proto.Op, from, to, group, seq int64, text []byte, now int64) {
	p := u.population
	box, m := u.inboxes[0], p.chats
	if op == proto.GROUP_CHAT {
		box, m = u.inboxes[1], p.groups
	}
	sender := box.indexOf(from)
	n, sent, ok := p.text.read(text)
	if ok = ok && sender >= 0 && group == box.id; ok && op == proto.ONE_CHAT {
		ok = to == u.friend(box.conversation).account.ID && from == u.account.ID || to == u.account.ID && from != to
	}
	if !ok {
		p.addFault(u, box.conversation, "seq %d has an altered text, or was sent to the wrong user", seq)
		return
	}
	if wrong := box.pushes.check(seq); wrong != "" {
		p.addFault(u, box.conversation, "seq %s", wrong)
	}
	if !box.add(seq) {
		if seq > box.atReconnect {
			p.addFault(u, box.conversation, "seq %d came again", seq)
		}
		p.repeated.Add(1)
		return
	}
	if wrong := box.senders[sender].check(n); wrong != "" {
		p.addFault(u, box.conversation, "messages of a sender are out of order: number %s", wrong)
	}
	if sent < u.loginAt {
		p.foundAtLogin.Add(1)
		return
	}
	u.recorder(m).Add([]int64{now - sent})
}

// handleEvent handles an event. Events for offline users are dropped.
func (u *user) handleEvent(m *proto.Response, now int64) {
	p, pair := u.population, u.inboxes[0].conversation
	n, sent, ok := p.text.read(m.Data)
	if !ok || m.ID != u.friend(pair).account.ID || m.ToID != u.account.ID || string(m.Event) != eventTyping {
		p.addFault(u, pair, "an event has an altered text, or was sent to the wrong user")
		return
	}
	if wrong := u.events.check(n); wrong != "" {
		p.addFault(u, pair, "event %s", wrong)
	}
	u.recorder(p.typing).Add([]int64{now - sent})
}

func (u *user) handleAck(a *proto.Response, now int64) error {
	p := u.population
	box, to := u.inboxes[0], u.friend(u.inboxes[0].conversation).account.ID
	if a.Op == proto.GROUP_CHAT_ACK {
		box, to = u.inboxes[1], 0
	}
	mine := make([]byte, hexSize)
	putHex(mine, u.nonce)
	if len(a.CID) != cidSize || string(a.CID[:hexSize]) != string(mine) || a.ToID != to || a.GroupID != box.id {
		p.addFault(u, box.conversation, "ACK of a message that it never sent, cid %q", a.CID)
		return nil
	}
	switch stamp, _ := hex(a.CID[hexSize:]); a.Errno {
	case proto.Done:
		if !box.add(a.Seq) {
			p.addFault(u, box.conversation, "seq %d was acknowledged, but had already arrived", a.Seq)
		}
		box.recordAck(a.Seq)
		u.recorder(p.acks).Add([]int64{now - int64(stamp)})
	case proto.TooFast:
		u.recorder(p.acks).refuse(int32(a.Errno)) // counted and not sent again
	default:
		u.recorder(p.acks).refuse(int32(a.Errno))
		return unexpectedFrame(a)
	}
	u.mu.Lock()
	u.unacked--
	u.mu.Unlock()
	p.unacked.Done()
	return nil
}

// wrapError adds the user to err. If the generator gave up waiting, it says
// what is missing.
func (u *user) wrapError(err error) error {
	g := u.population.generator
	if err == nil || g.Running.Err() != nil {
		return err
	}
	if !g.abandoned.Load() || !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("user %d: %w", u.number, err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.unacked > 0 {
		return fmt.Errorf("user %d: %s", u.number, g.missingText(u.unacked, "answers"))
	}
	if n := u.missingCount(); n > 0 {
		return fmt.Errorf("user %d: %s", u.number, g.missingText(n, "messages"))
	}
	return nil // another user reports what is missing
}
