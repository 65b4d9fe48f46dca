package reactor

import (
	"io"
	"net/netip"
	"time"

	"github.com/panjf2000/gnet/v2"

	"chatd/limit"
	"chatd/proto"
)

// framing is what a connection speaks; its first byte decides.
type framing uint8

const (
	framingUnknown   framing = iota
	framingProxy             // a PROXY header that isn't complete; what follows decides
	framingTCP               // length and body
	framingHandshake         // an HTTP request that isn't complete
	framingWebSocket
)

// Conn is a connection. All but Addr and Peer needs a Turn of its loop. It
// has no buffers while nothing is under way.
type Conn struct {
	l    *loop
	gc   gnet.Conn // not to be touched unless open
	peer Peer
	id   uint64
	slot int // in loop.all
	data any

	addr    netip.Addr // the client's
	charged netip.Addr // what the limits count it for; not valid: none

	in      *buffer // the beginning of a frame
	message *buffer // the fragments of a WebSocket message so far
	held    *buffer // frames for later, each after its length
	taken   int     // bytes of held that were taken up
	out     *buffer // frames to write at the end of the turn

	queued   uint64 // bytes that were ever to be written
	buffered int    // of these, what gnet had left after the last write
	dropped  int    // frames that were written too late, a byte for each
	lags     int    // what loop.lag counts for it

	tm    timer
	since time.Time // accepted, or logged out
	seen  time.Time // the last frame
	end   time.Time // when a graceful close is cut short

	waiter *waiter
	jobs   *jobs
	told   *told // to wait; nil: it isn't, and hasn't ignored it lately
	frames limit.Bucket
	bytes  limit.Bucket
	early  limit.Bucket // frames before login
	size   int          // of the frame at hand
	badRow int          // bad frames in a row

	discarded int // bytes that came after the end
	framing   framing

	open      bool // OnOpen has run, OnClose hasn't
	loggedIn  bool
	holding   bool // frames are held until Resume
	taking    bool // within Request
	wantsMore bool // Resume was called there
	resuming  bool // stands in loop.resumed
	dirty     bool // stands in loop.dirty
	polled    bool // stands in loop.waiting
	lagging   bool // stands in loop.lag
	finishing bool // takes and gives nothing any more
	shut      bool // the writing side is shut down
	proxied   bool // a PROXY header came
	abusive   bool // was kicked for abuse
}

func newConn(l *loop, addr netip.Addr) *Conn {
	c := &Conn{l: l, addr: addr}
	c.peer.c = c
	c.tm.c = c
	return c
}

// Addr is the client's address: the one behind a trusted proxy, where that
// told it.
func (c *Conn) Addr() netip.Addr { return c.addr }

// Source is whom limits per address count the connection for: Addr or, with
// IPv6, its /64. It isn't valid where nobody is known: behind a trusted proxy
// that hasn't told, and once the connection has closed.
func (c *Conn) Source(t Turn) netip.Addr { return who(c.charged) }

// Peer is the handle to this connection for other loops and goroutines.
func (c *Conn) Peer() *Peer { return &c.peer }

// Open says whether the connection still is: false from the moment it has
// ended, which may be before Closed is called. One that is finishing still is.
func (c *Conn) Open(t Turn) bool { return c.open }

// Data is what SetData left, nil at first. It stays after Closed.
func (c *Conn) Data(t Turn) any { return c.data }

// SetData keeps something with the connection.
func (c *Conn) SetData(t Turn, v any) { c.data = v }

// begin is the connection's first turn.
func (c *Conn) begin(t Turn, gc gnet.Conn) {
	l := c.l
	l.lastID++
	c.id, c.gc, c.open = l.lastID, gc, true
	c.since, c.seen = l.now, l.now
	l.add(c)
	l.wheel.add(&c.tm, c.due())
	l.call(t, c, "Open", func(t Turn) { l.r.h.Open(t, c) })
}

// ended notes that the connection is gone. Whatever goes on in this turn sees
// that it isn't open; the handler is told at the turn's end.
func (c *Conn) ended(t Turn, gc gnet.Conn, err error) {
	if err != io.EOF {
		// With a plain io.EOF gnet has thrown away what it had left, so that
		// only what was known before is certain.
		c.buffered = gc.OutboundBuffered()
	}
	c.open, c.holding = false, false
	c.peer.closed.Store(true)
	if c.out != nil {
		// These bytes never reached gnet.
		c.buffered += len(c.out.b)
	}
	c.gc = nil
	c.l.lag.note(c)
	c.l.gone = append(c.l.gone, c)
}

// release gives back what the connection has.
func (c *Conn) release() {
	l := c.l
	l.remove(c)
	l.wheel.remove(&c.tm)
	l.r.leaveConn(c)
	if c.held != nil {
		l.r.held.Add(-int64(len(c.held.b) - c.taken))
	}
	b := &l.r.buffers
	b.put(c.in)
	b.put(c.message)
	b.put(c.held)
	b.put(c.out)
	c.in, c.message, c.held, c.out, c.waiter = nil, nil, nil, nil, nil
}

// close ends the connection at once.
func (c *Conn) close(t Turn) {
	if c.open {
		if err := c.l.el.Close(c.gc); err != nil {
			c.l.r.log.Debug("close", "addr", c.addr, "err", err)
		}
	}
}

// reading says whether what comes in still matters.
func (c *Conn) reading() bool { return c.open && !c.finishing }

// feed takes bytes as they were read, in any portions. They hold until it
// returns.
func (c *Conn) feed(t Turn, data []byte) {
	for len(data) > 0 && c.reading() {
		switch c.framing {
		case framingUnknown:
			switch {
			case data[0] == handshakeStart[0]:
				c.framing = framingHandshake
			case c.startsProxy(data[0]):
				c.framing = framingProxy
			default:
				c.framing = framingTCP
			}
		case framingProxy:
			data = c.unwrap(t, data)
		case framingHandshake:
			data = c.shake(t, data)
		default:
			data = c.cut(t, data)
		}
	}
}

// cut takes the first whole frame off data, or keeps all of it as the
// beginning of one. Frames are decoded where they lie; only one that comes in
// pieces is copied, once.
func (c *Conn) cut(t Turn, data []byte) (rest []byte) {
	if c.in == nil {
		n := c.measure(t, data)
		if n > len(data) {
			c.in = c.l.r.buffers.get(len(data))
			c.in.b = append(c.in.b, data...)
			return nil
		}
		if n == 0 {
			return nil
		}
		c.whole(t, data[:n])
		return data[n:]
	}
	need := min(c.measure(t, c.in.b)-len(c.in.b), len(data))
	c.in = c.l.r.buffers.grow(c.in, need)
	c.in.b = append(c.in.b, data[:need]...)
	if c.measure(t, c.in.b) == len(c.in.b) {
		frame := c.in
		c.in = nil
		c.whole(t, frame.b)
		c.l.r.buffers.put(frame)
	}
	return data[need:]
}

// measure says how long the frame at the start of p is, its header included:
// exactly, where that is at most len(p); else at least. 0: it is refused, and
// the connection is being closed.
func (c *Conn) measure(t Turn, p []byte) int {
	if c.framing == framingWebSocket {
		return c.measureWebSocket(t, p)
	}
	if len(p) < proto.HeaderSize {
		return proto.HeaderSize
	}
	n, err := proto.FrameLen(p)
	if err != nil {
		c.refuseLength(t, err)
		return 0
	}
	return proto.HeaderSize + n
}

// whole takes a frame of either framing.
func (c *Conn) whole(t Turn, p []byte) {
	if c.framing == framingWebSocket {
		c.wholeWebSocket(t, p)
	} else {
		c.frame(t, p[proto.HeaderSize:])
	}
}

// refuseLength ends a connection whose stream can't be trusted any more.
func (c *Conn) refuseLength(t Turn, err *proto.Error) {
	c.l.r.count.badLength.Inc()
	c.WriteResponse(t, &proto.Response{Op: proto.ERROR, Errno: err.Errno, ErrMsg: err.Message})
	c.finish(t)
}

// frame takes the body of a frame.
func (c *Conn) frame(t Turn, body []byte) {
	c.l.n.framesIn++
	c.seen = c.l.now
	if c.holding {
		c.hold(t, body)
	} else if !c.take(t, body) {
		c.keep(t, body)
	}
}

// take decodes and handles a frame; false: it is to be held.
func (c *Conn) take(t Turn, body []byte) bool {
	l := c.l
	r, err := l.dec.Decode(body)
	c.size = len(body)
	if err != nil {
		if _, wait := c.Charge(t); wait > 0 {
			c.slowDown(t, r, wait)
		} else {
			c.refuse(t, r, err)
		}
		return true
	}
	c.badRow = 0
	switch {
	case r.Op == proto.PING:
		c.ping(t, r)
	case r.Op == proto.PONG:
		c.Charge(t)
	case l.r.draining.Load():
		// Not taken, and never answered: the client sends it elsewhere.
	default:
		c.taking = true
		taken := l.request(t, c, r)
		c.taking = false
		if !taken && c.reading() {
			c.holding = true
			if c.wantsMore {
				c.wantsMore = false
				c.Resume(t)
			}
			return false
		}
		c.wantsMore = false
	}
	return true
}

// ping answers a PING. It is answered at once even where others are held, and
// so is charged here.
func (c *Conn) ping(t Turn, r *proto.Request) {
	if _, wait := c.Charge(t); wait > 0 {
		c.slowDown(t, r, wait)
		return
	}
	c.WriteResponse(t, &proto.Response{Op: proto.PONG, RID: r.RID, Fields: r.Fields & (1 << proto.FRID)})
}

// refuse answers what the decoder didn't take.
func (c *Conn) refuse(t Turn, r *proto.Request, err *proto.Error) {
	c.l.r.count.badFrames.Inc()
	c.WriteResponse(t, &proto.Response{Op: proto.ERROR, Errno: err.Errno, ErrMsg: err.Message,
		RID: r.RID, Fields: r.Fields & (1 << proto.FRID)})
	if err.Errno == proto.UnknownOp {
		return
	}
	if c.badRow++; c.badRow >= c.l.r.cfg.MaxBadFrames {
		c.kick(t, badFrames)
	}
}
