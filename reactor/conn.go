package reactor

import (
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"

	"chatd/limit"
)

// Conn is a connection. All but Addr and Peer needs a Turn of its loop. It
// has no buffers while nothing is under way.
type Conn struct {
	l      *loop
	id     uint64 // counts up on each loop
	peer   Peer
	joined atomic.Bool // OnOpen has run
	connOnLoop
}

// connOnLoop is what of a connection belongs to its loop.
type connOnLoop struct {
	gc   gnet.Conn // not to be touched unless open
	slot int       // in loop.all
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

	tm    timerOnLoop
	since time.Time // accepted, or logged out
	seen  time.Time // the last frame
	end   time.Time // when a graceful close is cut short

	waiter   *waiterOnLoop
	jobs     *jobsOnLoop
	throttle *throttleOnLoop // nil: not throttled, and no violation lately
	frames   limit.Bucket
	bytes    limit.Bucket
	early    limit.Bucket // frames before login
	size     int          // of the frame at hand
	badRow   int          // bad frames in a row

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

func newConn(l *loop, addr, charged netip.Addr) *Conn {
	c := &Conn{l: l, id: l.lastID.Add(1)}
	c.addr, c.charged = addr, charged
	c.peer.c = c
	c.tm.c = c
	return c
}

// Addr is the client's address: the one behind a trusted proxy, where that
// told it.
func (c *Conn) Addr(t Turn) netip.Addr { return c.addr }

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
	c.joined.Store(true)
	c.gc, c.open = gc, true
	c.since, c.seen = l.now, l.now
	l.add(t, c)
	l.wheel.add(t, &c.tm, c.due(t))
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
	c.l.lag.note(t, c)
	c.l.gone = append(c.l.gone, c)
}

// release gives back what the connection has.
func (c *Conn) release(t Turn) {
	l := c.l
	l.remove(t, c)
	l.wheel.remove(t, &c.tm)
	l.r.uncount(l, c.charged)
	c.charged = netip.Addr{}
	l.r.count.closed.Inc()
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
