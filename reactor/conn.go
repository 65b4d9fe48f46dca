package reactor

import (
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"

	"chatd/internal/limit"
)

// Conn is a connection. All methods except Ref need a Turn of its loop. An idle
// connection has no buffers.
type Conn struct {
	l      *loop
	id     uint64 // counts up on each loop
	peer   ConnRef
	joined atomic.Bool // OnOpen has run

	connOnLoop
}

// connOnLoop is the state of a connection that only its loop may touch.
type connOnLoop struct {
	gc   gnet.Conn // only valid while open
	slot int       // index in loop.all
	data any       // set by SetData

	addr    netip.Addr // the client's address
	charged netip.Addr // the address for which limits count the connection; invalid: none

	in       *buffer // the beginning of an incomplete frame
	message  *buffer // the fragments of a WebSocket message so far
	held     *buffer // held frames, each after its length
	heldRead int     // bytes of held that have been handled
	out      *buffer // frames to write at the end of the turn

	queued        uint64 // bytes queued for writing since the connection opened
	buffered      int    // of these, bytes in gnet's buffer after the last write
	dropped       int    // frames that were dropped; each counts as a byte in queued
	unsentCounted int    // bytes that loop.unsent counts for this connection

	timer    timerOnLoop
	since    time.Time // accepted, logged in or logged out
	lastSeen time.Time // the last frame
	end      time.Time // when a graceful close times out

	waiter       *waiterOnLoop
	jobs         *jobsOnLoop     // nil: none
	throttle     *throttleOnLoop // nil: not throttled, and no wait was ignored recently
	frames       limit.Bucket
	bytes        limit.Bucket
	beforeLogin  limit.Bucket // frames before login
	size         int          // bytes of the current frame
	badFramesRow int          // bad frames in a row

	discarded int // bytes read and discarded after the end
	framing   framing

	open       bool // OnOpen has run, OnClose hasn't
	loggedIn   bool
	holding    bool // frames are held until Resume
	inRequest  bool // Handler.Request is running
	wantsMore  bool // Resume was called within Handler.Request
	inResumed  bool // is in loop.resumed
	dirty      bool // is in loop.dirty
	inWaiters  bool // is in loop.waiters
	inUnsent   bool // is in loop.unsent
	finishing  bool // is closing gracefully: frames are neither read nor written
	shut       bool // the writing side is shut down
	proxied    bool // a PROXY header was received
	wasAbusive bool // was kicked for abuse
}

// newConn returns a connection for a loop that it hasn't joined yet. charged is
// the address for which limits count it.
func newConn(l *loop, addr, charged netip.Addr) *Conn {
	c := &Conn{l: l, id: l.lastID.Add(1)}
	c.addr, c.charged = addr, charged
	c.peer.c = c
	c.timer.c = c
	return c
}

// Addr returns the client's address, as reported by the proxy if the client is
// behind a trusted one.
func (c *Conn) Addr(t Turn) netip.Addr { return c.addr }

// Source returns the address for which limits count the connection: Addr or, for
// IPv6, its /64. It is invalid if a trusted proxy hasn't reported the client's
// address, and after the connection has closed.
func (c *Conn) Source(t Turn) netip.Addr { return limit.Source(c.charged) }

// Ref returns the handle to this connection for other loops and goroutines.
func (c *Conn) Ref() *ConnRef { return &c.peer }

// Open reports whether the connection is open. It is true while the connection is
// finishing, and false once it has closed, which may be before Handler.Closed is
// called.
func (c *Conn) Open(t Turn) bool { return c.open }

// Data returns the value that SetData has stored, or nil. It works even after
// Handler.Closed.
func (c *Conn) Data(t Turn) any { return c.data }

// SetData stores a value with the connection.
func (c *Conn) SetData(t Turn, v any) { c.data = v }

// begin starts the connection, in its first turn.
func (c *Conn) begin(t Turn, gc gnet.Conn) {
	l := c.l
	c.joined.Store(true)
	c.gc, c.open = gc, true
	c.since, c.lastSeen = l.now, l.now
	l.add(t, c)
	l.timers.add(t, &c.timer, c.deadline(t))
	l.call(t, c, "Open", func(t Turn) { l.r.h.Open(t, c) })
}

// ended marks the connection as closed. Everything else in this turn sees that
// it isn't open. Handler.Closed is called at the end of the turn.
func (c *Conn) ended(t Turn, gc gnet.Conn, err error) {
	if err != io.EOF {
		// With io.EOF, gnet has already dropped its buffer, and the last known
		// value stays.
		c.buffered = gc.OutboundBuffered()
	}
	c.open, c.holding = false, false
	c.peer.closed.Store(true)
	if c.out != nil {
		// These bytes never reached gnet.
		c.buffered += len(c.out.b)
	}
	c.gc = nil
	c.l.unsent.update(t, c)
	c.l.closed = append(c.l.closed, c)
}

// release frees the connection's resources, after Handler.Closed.
func (c *Conn) release(t Turn) {
	l := c.l
	l.remove(t, c)
	l.timers.remove(t, &c.timer)
	l.r.countOut(l, c.charged)
	c.charged = netip.Addr{}
	l.r.count.closed.Inc()
	if c.held != nil {
		l.r.held.Add(-int64(len(c.held.b) - c.heldRead))
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
			c.l.r.log.Debug("couldn't close a connection", "addr", c.addr, "err", err)
		}
	}
}
