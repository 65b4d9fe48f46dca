package client

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"time"
	"unicode/utf8"

	"chatd/internal/names"
	"chatd/proto"
)

// Receipt is the server's confirmation that a message is stored.
type Receipt struct {
	Seq  int64     // the message's number in the conversation
	Time time.Time // when it was stored, to the millisecond
}

// outgoing is a chat message that hasn't been acknowledged yet.
type outgoing struct {
	rid     int64 // increases in the order of Send calls
	conv    Conv
	text    []byte
	cid     [22]byte
	retry   bool // it may already be stored
	wasSent bool // it was sent at least once
	tries   int  // refusals after which it was retried
	done    func(Receipt, error)
}

// outbox holds the messages that wait to be sent and those in flight. Client.mu
// guards it.
type outbox struct {
	capacity, configuredWindow int // most messages in total; Config.Window
	window                     int // most messages in flight, as the server allows
	waiting                    []*outgoing
	inFlight                   map[int64]*outgoing
	retryAt                    map[Conv]time.Time // earliest time of the next send to a conversation
	blockedBy                  map[Conv]int64     // for each conversation with a refused message: the rid of its last message in flight. Until that one is answered, nothing is sent to the conversation
	flushWaiters               []chan struct{}    // channels of Flush calls, closed when the outbox is empty
	scratch                    proto.Request      // reused by sendWaiting
}

func newOutbox(cfg Config) outbox {
	return outbox{capacity: cfg.Outbox, configuredWindow: cfg.Window, window: cfg.Window,
		inFlight: make(map[int64]*outgoing), retryAt: make(map[Conv]time.Time), blockedBy: make(map[Conv]int64)}
}

func (o *outbox) size() int { return len(o.waiting) + len(o.inFlight) }

// Send sends a message of 1 byte to 32 KiB and waits until it is stored. If the
// connection is lost, the message is resent after the reconnect, and stored once.
// A *proto.Error is a refusal that isn't retried. ErrOutboxFull and ErrNotLoggedIn
// mean that nothing was sent. After another error, such as ErrClosed or
// ErrLoggedOut, the message may be stored or not. If ctx ends first, a message that
// was never sent is canceled; one that was sent may be stored, and is still retried.
func (c *Client) Send(ctx context.Context, conv Conv, text string) (Receipt, error) {
	type answer struct {
		r   Receipt
		err error
	}
	ch := make(chan answer, 1)
	m, err := c.send(conv, text, func(r Receipt, err error) { ch <- answer{r, err} })
	if err != nil {
		return Receipt{}, err
	}
	select {
	case a := <-ch:
		return a.r, a.err
	case <-ctx.Done():
		c.mu.Lock()
		c.outbox.cancel(m)
		c.mu.Unlock()
		return Receipt{}, ctx.Err()
	}
}

// SendAsync queues a message and returns. done, which may be nil, is called once,
// with the results of Send, on another goroutine or in Login, Logout or Close. It
// must not block: it may call SendAsync, but no method with a context, and none of
// these three. If SendAsync returns an error
// (ErrOutboxFull, ErrNotLoggedIn, ErrClosed, or a *proto.Error about the
// arguments), nothing was queued and done isn't called.
func (c *Client) SendAsync(conv Conv, text string, done func(Receipt, error)) error {
	_, err := c.send(conv, text, done)
	return err
}

// Flush waits until every message is acknowledged or has failed. The error is
// the context's.
func (c *Client) Flush(ctx context.Context) error {
	c.mu.Lock()
	if c.outbox.size() == 0 {
		c.mu.Unlock()
		return nil
	}
	ch := make(chan struct{})
	c.outbox.flushWaiters = append(c.outbox.flushWaiters, ch)
	c.mu.Unlock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cidEncoding is a base64 encoding that keeps the order of the bytes.
var cidEncoding = base64.NewEncoding("-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz").WithPadding(base64.NoPadding)

// newCID returns a new cid: 48 bits of time in ms, then 80 random bits. With the
// time first, the server's index of cids grows at its end, which halves the cost
// of storing a message. The global generator of math/rand/v2 is seeded randomly,
// so others can't guess cids.
func newCID(now time.Time) (cid [22]byte) {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], uint64(now.UnixMilli())<<16|rand.Uint64()>>48)
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	cidEncoding.Encode(cid[:], id[:])
	return cid
}

// send queues a message and sends it if the window has room.
func (c *Client) send(conv Conv, text string, done func(Receipt, error)) (*outgoing, error) {
	m := &outgoing{conv: conv, text: []byte(text), done: done}
	if err := m.check(); err != nil {
		return nil, err
	}
	m.cid = newCID(c.cfg.Now())

	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopping.Load():
		return nil, ErrClosed
	case !c.stayLoggedIn:
		return nil, ErrNotLoggedIn
	case c.outbox.size() >= c.outbox.capacity:
		c.stats.outboxFull.Add(1)
		return nil, ErrOutboxFull
	}
	c.rid++
	m.rid = c.rid
	c.outbox.waiting = append(c.outbox.waiting, m)
	c.sendWaiting(time.Time{})
	return m, nil
}

// check returns an error if the server's decoder would refuse the message.
func (m *outgoing) check() error {
	if err := m.conv.check(); err != nil {
		return err
	}
	switch n := len(m.text); {
	case n == 0 || n > proto.MaxMsg:
		return proto.Errorf(proto.BadRequest, "a message must have 1 to %d bytes, got %d", proto.MaxMsg, n)
	case !utf8.Valid(m.text):
		return proto.Errorf(proto.BadRequest, "a message must be valid UTF-8")
	case names.Blank(m.text):
		return proto.Errorf(proto.BadRequest, "a message must have a character that people can see")
	case n > proto.MaxRequest/8 && len(appendFrame(nil, m.request(new(proto.Request)))) > proto.MaxRequest:
		// A control character takes six bytes in JSON.
		return proto.Errorf(proto.BadRequest, "a message must fit in a frame of %d bytes, with control characters escaped", proto.MaxRequest)
	}
	return nil
}

// request fills r with the message and returns it.
func (m *outgoing) request(r *proto.Request) *proto.Request {
	*r = proto.Request{Op: proto.ONE_CHAT, RID: m.rid, ToID: m.conv.Peer, GroupID: m.conv.Group,
		Msg: m.text, CID: m.cid[:], Retry: m.retry}
	if m.conv.Group != 0 {
		r.Op = proto.GROUP_CHAT
	}
	return r
}

// sendWaiting sends waiting messages until the window is full. If now is zero,
// retry times count as not yet reached. The caller holds Client.mu.
func (c *Client) sendWaiting(now time.Time) {
	s, o := c.session, &c.outbox
	if s == nil || !s.loggedIn || len(o.waiting) == 0 || !c.throttledUntil.IsZero() {
		return
	}
	kept, i := 0, 0
	for ; i < len(o.waiting) && len(o.inFlight) < o.window; i++ {
		m := o.waiting[i]
		if o.blocked(m.conv, now) {
			o.waiting[kept] = m
			kept++
			continue
		}
		o.inFlight[m.rid] = m
		if c.stats.sent.Add(1); m.wasSent {
			c.stats.repeated.Add(1)
		}
		m.wasSent = true
		s.request(m.request(&o.scratch))
	}
	if kept == 0 { // nothing was skipped: no need to move the rest
		clear(o.waiting[:i])
		o.waiting = o.waiting[i:]
	} else {
		o.waiting = slices.Delete(o.waiting, kept, i)
	}
}

// blocked reports whether messages to conv must wait.
func (o *outbox) blocked(conv Conv, now time.Time) bool {
	if len(o.blockedBy) > 0 {
		if o.inFlight[o.blockedBy[conv]] != nil {
			return true
		}
		delete(o.blockedBy, conv)
	}
	if len(o.retryAt) > 0 {
		if until, held := o.retryAt[conv]; held && now.Before(until) {
			return true
		}
		delete(o.retryAt, conv)
	}
	return false
}

// requeueInFlight moves the messages in flight back to waiting, after the
// connection was lost. They may be stored.
func (o *outbox) requeueInFlight() {
	for rid, m := range o.inFlight {
		m.retry = true
		o.waiting = append(o.waiting, m)
		delete(o.inFlight, rid)
	}
	slices.SortFunc(o.waiting, compareRID)
	clear(o.retryAt)
	clear(o.blockedBy)
}

// compareRID orders messages by the order in which they were sent.
func compareRID(a, b *outgoing) int { return cmp.Compare(a.rid, b.rid) }

// requeue puts a refused message back, to be sent after the given time. To keep
// the order, later messages of the conversation wait for it. The message itself
// waits until the messages in flight after it are answered: the server refuses
// these as well, and if the queue moved on without them, they would be stored
// after newer messages.
func (o *outbox) requeue(m *outgoing, until time.Time) {
	m.tries++
	last := m.rid
	for rid, other := range o.inFlight {
		if other.conv == m.conv {
			last = max(last, rid)
		}
	}
	if last > m.rid {
		o.blockedBy[m.conv] = last
	}
	i, _ := slices.BinarySearchFunc(o.waiting, m, compareRID)
	o.waiting = slices.Insert(o.waiting, i, m)
	if o.retryAt[m.conv].Before(until) {
		o.retryAt[m.conv] = until
	}
}

// cancel removes m if it was never sent.
func (o *outbox) cancel(m *outgoing) {
	if i := slices.Index(o.waiting, m); i >= 0 && !m.wasSent {
		o.waiting = slices.Delete(o.waiting, i, i+1)
		closeAll(o.takeFlushWaiters())
	}
}

// takeByCID removes and returns the message to conv with this cid, nil if there
// is none.
func (o *outbox) takeByCID(conv Conv, cid string) *outgoing {
	for rid, m := range o.inFlight {
		if m.conv == conv && string(m.cid[:]) == cid {
			delete(o.inFlight, rid)
			return m
		}
	}
	for i, m := range o.waiting {
		if m.conv == conv && string(m.cid[:]) == cid {
			o.waiting = slices.Delete(o.waiting, i, i+1)
			return m
		}
	}
	return nil
}

// takeAll removes and returns all messages. The caller passes them to failAll.
func (o *outbox) takeAll() []*outgoing {
	o.requeueInFlight()
	all := o.waiting
	o.waiting = nil
	closeAll(o.takeFlushWaiters())
	return all
}

// takeFlushWaiters returns the channels of Flush calls if the outbox is empty.
func (o *outbox) takeFlushWaiters() []chan struct{} {
	if len(o.flushWaiters) == 0 || o.size() > 0 {
		return nil
	}
	waiting := o.flushWaiters
	o.flushWaiters = nil
	return waiting
}

func closeAll(chs []chan struct{}) {
	for _, ch := range chs {
		close(ch)
	}
}

// failAll calls the messages' callbacks with err. The caller holds no lock.
func failAll(failed []*outgoing, err error) {
	for _, m := range failed {
		if m.done != nil {
			m.done(Receipt{}, err)
		}
	}
}
