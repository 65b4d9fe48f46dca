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

	"chatd/proto"
)

// Receipt is what an acknowledged message got: it is stored.
type Receipt struct {
	Seq  int64     // its number in the conversation
	Time time.Time // the server's, to the millisecond
}

// outgoing is a chat message that is not acknowledged yet.
type outgoing struct {
	rid     int64 // rises in the order of sending
	conv    Conv
	text    []byte
	cid     [22]byte
	retry   bool // it may be stored already
	wasSent bool // it was on the wire
	tries   int  // refusals to be tried again
	done    func(Receipt, error)
}

// outbox holds the messages that wait and those on the wire. It belongs to
// Client.mu.
type outbox struct {
	capacity, configuredWindow int // messages in all; on the wire, as configured
	window                     int // on the wire, as the server allows
	waiting                    []*outgoing
	inFlight                   map[int64]*outgoing
	retryAt                    map[Conv]time.Time // nothing is sent there before
	blockedBy                  map[Conv]int64     // the last that was on the wire behind one that was refused: nothing is sent there before its answer
	flushWaiters               []chan struct{}    // closed when nothing is left
	scratch                    proto.Request      // scratch
}

func newOutbox(cfg Config) outbox {
	return outbox{capacity: cfg.Outbox, configuredWindow: cfg.Window, window: cfg.Window,
		inFlight: make(map[int64]*outgoing), retryAt: make(map[Conv]time.Time), blockedBy: make(map[Conv]int64)}
}

func (o *outbox) size() int { return len(o.waiting) + len(o.inFlight) }

// Send sends a message of 1 byte to 32 KiB and waits until it is stored. It survives a lost
// connection: the message is sent again, and stored once. Where it refuses
// for good, the error is the server's *proto.Error; ErrOutboxFull,
// ErrNotLoggedIn and ErrClosed say that nothing was sent. When ctx ends
// first, the message is taken back if it was never on the wire; else it is
// still sent, and may be stored.
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

// SendAsync hands a message over and returns; done is called once, with
// what Send would return. It is called from a goroutine of the client that
// must not wait: done may call SendAsync, and nothing that takes a context.
// An error says that nothing was handed over and done will not be called:
// ErrOutboxFull, ErrNotLoggedIn, ErrClosed, or a *proto.Error about the text.
func (c *Client) SendAsync(conv Conv, text string, done func(Receipt, error)) error {
	_, err := c.send(conv, text, done)
	return err
}

// Flush waits until no message waits for its acknowledgement. The error is the
// context's.
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

// cidEncoding is base64 whose texts sort as the bytes do.
var cidEncoding = base64.NewEncoding("-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz").WithPadding(base64.NoPadding)

// newCID makes a message's cid: 48 bits of time in ms, then 80 random ones. The
// time is for the server's sake, whose index of cids grows at its end then,
// not everywhere: that halves what it costs to store a message. The top-level
// generator is seeded by the system and can't be guessed from outside.
func newCID(now time.Time) (cid [22]byte) {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], uint64(now.UnixMilli())<<16|rand.Uint64()>>48)
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	cidEncoding.Encode(cid[:], id[:])
	return cid
}

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

// check refuses what the server's decoder would.
func (m *outgoing) check() error {
	if err := m.conv.check(); err != nil {
		return err
	}
	switch n := len(m.text); {
	case n == 0 || n > proto.MaxMsg:
		return proto.Errorf(proto.BadRequest, "a message must have 1 to %d bytes", proto.MaxMsg)
	case !utf8.Valid(m.text):
		return proto.Errorf(proto.BadRequest, "a message must be UTF-8")
	case n > proto.MaxRequest/8 && len(appendFrame(nil, m.request(new(proto.Request)))) > proto.MaxRequest:
		// A control character takes six bytes on the wire.
		return proto.Errorf(proto.BadRequest, "the message takes more than %d bytes on the wire", proto.MaxRequest)
	}
	return nil
}

func (m *outgoing) request(r *proto.Request) *proto.Request {
	*r = proto.Request{Op: proto.ONE_CHAT, RID: m.rid, ToID: m.conv.Peer, GroupID: m.conv.Group,
		Msg: m.text, CID: m.cid[:], Retry: m.retry}
	if m.conv.Group != 0 {
		r.Op = proto.GROUP_CHAT
	}
	return r
}

// pump puts waiting messages on the wire, as many as the window takes. now
// may be zero: then conversations that are held stay so. The caller holds
// Client.mu.
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
	if kept == 0 { // what there is behind need not move
		clear(o.waiting[:i])
		o.waiting = o.waiting[i:]
	} else {
		o.waiting = slices.Delete(o.waiting, kept, i)
	}
}

// held reports whether a conversation has to wait.
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

// lost takes back what was on the wire: it may be stored or not.
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

func compareRID(a, b *outgoing) int { return cmp.Compare(a.rid, b.rid) }

// again takes m back, to be tried again, not before until. What comes after it
// in its conversation waits with it, and it waits for the answers to what is on
// the wire behind it: the server refuses that too, or it would be overtaken
// once more by what is new.
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

// takeBack forgets m if it was never on the wire.
func (o *outbox) cancel(m *outgoing) {
	if i := slices.Index(o.waiting, m); i >= 0 && !m.wasSent {
		o.waiting = slices.Delete(o.waiting, i, i+1)
		closeAll(o.takeFlushWaiters())
	}
}

// byCID is the message with that cid to conv, taken out, nil if there is none.
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

// fail takes all out; the caller settles them.
func (o *outbox) takeAll() []*outgoing {
	o.requeueInFlight()
	all := o.waiting
	o.waiting = nil
	closeAll(o.takeFlushWaiters())
	return all
}

// flushed returns whom Flush keeps waiting, where nothing is left.
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

// settle tells messages that they won't be sent. No lock is held.
func failAll(failed []*outgoing, err error) {
	for _, m := range failed {
		if m.done != nil {
			m.done(Receipt{}, err)
		}
	}
}
