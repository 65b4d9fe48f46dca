package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"chatd/proto"
)

// session is one connection. Its fields belong to Client.mu where not said
// otherwise.
type session struct {
	conn      net.Conn
	addr      string
	wake      chan struct{} // 1: the writer has something to do
	gone      chan struct{} // closed by the reader as its last deed
	since     time.Time
	byItself  bool        // reconnect logs in on it, and reports its end
	finishing atomic.Bool // hangUp was called

	out      []byte // frames that wait for the writer
	calls    map[int64]*call
	loggedIn bool
	kick     *KickError
	// turnedAway is why the server didn't want the connection at all.
	turnedAway error
	err        error // why it has ended
	pingAt     time.Time

	in       inbox // the reader's own
	overflow bool  // the reader's own: messages are left to SYNC until the queue is half empty
}

// call is a request that waits for its answer. Where ch is nil it is a SYNC
// of the client itself, for t.
type call struct {
	req *proto.Request
	ch  chan result // 1
	t   *track
}

type result struct {
	r   *proto.Response
	err error
}

func (cl *call) answer(r *proto.Response, err error) {
	if cl.ch != nil {
		cl.ch <- result{r, err}
	}
}

// dial tries the addresses in turn, from the one after the last that was
// tried, and starts a session on the first that answers.
func (c *Client) dial(ctx context.Context, byItself bool) (*session, error) {
	var errs []error
	for range c.cfg.Addrs {
		addr := c.cfg.Addrs[int(c.dials.Add(1)-1)%len(c.cfg.Addrs)]
		conn, err := c.dialOne(ctx, addr)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		return c.start(conn, addr, byItself)
	}
	return nil, fmt.Errorf("%w: %w", ErrNotConnected, errors.Join(errs...))
}

func (c *Client) dialOne(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	// Close ends a dial that is under way.
	defer context.AfterFunc(c.ctx, cancel)()
	conn, err := c.cfg.Dial(ctx, "tcp", addr)
	if err != nil || c.cfg.TLS == nil {
		return conn, err
	}
	cfg := c.cfg.TLS
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		cfg.ServerName, _, _ = net.SplitHostPort(addr) // what was dialed has a port
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

func (c *Client) start(conn net.Conn, addr string, byItself bool) (*session, error) {
	s := &session{
		conn: conn, addr: addr, byItself: byItself, since: time.Now(),
		wake: make(chan struct{}, 1), gone: make(chan struct{}),
		calls: make(map[int64]*call), pingAt: time.Now().Add(c.cfg.PingEvery),
	}
	c.mu.Lock()
	if c.stopping.Load() {
		c.mu.Unlock()
		conn.Close()
		return nil, ErrClosed
	}
	c.session = s
	c.wg.Add(2)
	c.say(StateChange{State: Connected, Addr: addr})
	c.mu.Unlock()
	go c.read(s)
	go c.write(s)
	return s, nil
}

// request queues a frame. The caller holds Client.mu.
func (s *session) request(r *proto.Request) {
	s.out = appendFrame(s.out, r)
	signal(s.wake)
}

func appendFrame(dst []byte, r *proto.Request) []byte {
	n := len(dst)
	dst = proto.AppendRequest(append(dst, 0, 0, 0, 0), r)
	binary.BigEndian.PutUint32(dst[n:], uint32(len(dst)-n-proto.HeaderSize))
	return dst
}

// hangUp ends the session once what is queued has been written. The caller
// holds Client.mu.
func (s *session) hangUp() {
	s.finishing.Store(true)
	deadline := time.Now().Add(closeTimeout)
	s.conn.SetDeadline(deadline)
	signal(s.wake)
}

// read reads until the connection ends, and settles what was left.
func (c *Client) read(s *session) {
	defer c.wg.Done()
	defer close(s.gone)
	r := bufio.NewReaderSize(&idleReader{s: s, limit: c.cfg.PingEvery * 3 / 2}, 16<<10)
	var (
		dec proto.Decoder
		buf []byte
		err error
	)
	for {
		var body []byte
		if body, err = proto.ReadFrame(r, buf); err != nil {
			break
		}
		if cap(body) <= maxSpare {
			buf = body
		}
		resp, derr := dec.DecodeResponse(body)
		if derr != nil {
			// One message lost is a hole, which SYNC fills.
			c.stats.undecodable.Add(1)
			c.cfg.Logger.Warn("a frame of the server is not readable", "addr", s.addr, "error", derr)
			continue
		}
		c.receive(s, resp)
	}
	s.conn.Close()
	c.ended(s, err)
}

// idleReader gives up where the server is silent, PONGs included.
type idleReader struct {
	s     *session
	limit time.Duration
	set   time.Time
}

func (r *idleReader) Read(b []byte) (int, error) {
	// Setting a deadline costs as much as a small read; one of a tenth too
	// early does no harm.
	if now := time.Now(); now.Sub(r.set) > r.limit/10 && !r.s.finishing.Load() {
		r.set = now
		r.s.conn.SetReadDeadline(now.Add(r.limit + r.limit/10))
		if r.s.finishing.Load() {
			r.s.conn.SetReadDeadline(now.Add(closeTimeout))
		}
	}
	return r.s.conn.Read(b)
}

// write sends what is queued, all that is there in one write, and does what
// is due: pings, receipts, SYNCs, repeats.
func (c *Client) write(s *session) {
	defer c.wg.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var spare []byte
	for {
		now := time.Now()
		c.mu.Lock()
		next := c.chores(s, now)
		buf := s.out
		s.out = spare[:0]
		if c.session == s {
			c.due = next
		}
		c.mu.Unlock()

		if len(buf) > 0 {
			if !s.finishing.Load() {
				s.conn.SetWriteDeadline(now.Add(writeTimeout))
			}
			if _, err := s.conn.Write(buf); err != nil {
				s.conn.Close() // the reader tells
				return
			}
			if spare = buf; cap(spare) > maxSpare {
				spare = nil
			}
			continue
		}
		spare = buf
		if s.finishing.Load() {
			// Half closed, or what the server has sent meanwhile would turn
			// the end into a reset, which can overtake our last frames.
			if half, ok := s.conn.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
				s.conn.Close()
			}
			return
		}
		timer.Reset(time.Until(next))
		select {
		case <-s.wake:
		case <-timer.C:
		case <-s.gone:
			return
		}
	}
}

// ended settles what a session leaves behind and decides what comes next.
func (c *Client) ended(s *session, err error) {
	c.mu.Lock()
	switch {
	case s.kick != nil:
		err = s.kick
	case s.turnedAway != nil:
		err = fmt.Errorf("%w: %w", ErrNotConnected, s.turnedAway)
	default:
		err = fmt.Errorf("%w: %w", ErrNotConnected, err)
	}
	calls := s.calls
	s.calls, s.err = nil, err
	if c.session == s {
		c.session = nil
	}
	c.outbox.lost()
	c.quiet = time.Time{}
	for _, cl := range calls { // a hole that has been filled meanwhile isn't among c.holes
		if cl.t != nil {
			cl.t.syncing = false
		}
	}
	wasIn := s.loggedIn
	s.loggedIn = false
	again := wasIn && c.keep && !c.stopping.Load() && (s.kick == nil || !s.kick.final())
	logins := c.logins
	if time.Since(s.since) > c.cfg.BackoffMax {
		c.attempt = 0 // it was no flapping
	}
	// Said before the lock is let go, or the session that follows could be told
	// of before the end of this one.
	var failed []*outgoing
	var wait time.Duration
	switch {
	case again:
		wait = c.sayRetry(err)
	case c.stopping.Load(): // no handler is called any more
	case !wasIn && c.keep:
		if !s.byItself { // made by Register while reconnect waits
			c.say(StateChange{State: Disconnected, Addr: s.addr, Err: err, Retry: max(0, time.Until(c.retryAt))})
		}
	default:
		c.say(StateChange{State: Disconnected, Addr: s.addr, Err: err, Final: true})
		if wasIn {
			c.keep = false
			failed = c.outbox.fail()
		}
	}
	c.mu.Unlock()

	for _, cl := range calls {
		cl.answer(nil, err)
	}
	settle(failed, err)
	c.cfg.Logger.Debug("connection ended", "addr", s.addr, "error", err)
	if again {
		c.wg.Go(func() { c.reconnect(logins, wait) })
	}
}

// giveUp makes the client stay away. It returns the messages that will not
// be sent, to be settled. The caller holds Client.mu.
func (c *Client) giveUp(cause error) []*outgoing {
	if c.keep && c.session == nil { // it was said that there would be another attempt
		c.say(StateChange{State: Disconnected, Err: cause, Final: true})
	}
	c.keep = false
	return c.outbox.fail()
}
