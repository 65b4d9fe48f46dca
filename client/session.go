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
	ended     chan struct{} // closed by the reader as its last deed
	startedAt time.Time
	automatic bool        // reconnect logs in on it, and reports its end
	closing   atomic.Bool // hangUp was called

	outBuf   []byte // frames that wait for the writer
	calls    map[int64]*call
	loggedIn bool
	kick     *KickError
	// turnedAway is why the server didn't want the connection at all.
	rejection error
	err       error // why it has ended
	pingAt    time.Time

	effects   effects // the reader's own
	queueFull bool    // the reader's own: messages are left to SYNC until the queue is half empty
}

// call is a request that waits for its answer. Where ch is nil it is a SYNC
// of the client itself, for t.
type call struct {
	req          *proto.Request
	ch           chan callResult // 1
	conversation *conversation
}

type callResult struct {
	r   *proto.Response
	err error
}

func (cl *call) complete(r *proto.Response, err error) {
	if cl.ch != nil {
		cl.ch <- callResult{r, err}
	}
}

// dial tries the addresses in turn, from the one after the last that was
// tried, and starts a session on the first that answers.
func (c *Client) dial(ctx context.Context, byItself bool) (*session, error) {
	var errs []error
	for range c.cfg.Addrs {
		addr := c.cfg.Addrs[int(c.nextAddr.Add(1)-1)%len(c.cfg.Addrs)]
		conn, err := c.dialOne(ctx, addr)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		return c.startSession(conn, addr, byItself)
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

func (c *Client) startSession(conn net.Conn, addr string, byItself bool) (*session, error) {
	s := &session{
		conn: conn, addr: addr, automatic: byItself, startedAt: time.Now(),
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
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
	c.queueStateChange(StateChange{State: Connected, Addr: addr})
	c.mu.Unlock()
	go c.readLoop(s)
	go c.writeLoop(s)
	return s, nil
}

// request queues a frame. The caller holds Client.mu.
func (s *session) request(r *proto.Request) {
	s.outBuf = appendFrame(s.outBuf, r)
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
func (s *session) closeAfterWrite() {
	s.closing.Store(true)
	deadline := time.Now().Add(closeTimeout)
	s.conn.SetDeadline(deadline)
	signal(s.wake)
}

// read reads until the connection ends, and settles what was left.
func (c *Client) readLoop(s *session) {
	defer c.wg.Done()
	defer close(s.ended)
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
		if cap(body) <= maxKeptBuffer {
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
	c.sessionEnded(s, err)
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
	if now := time.Now(); now.Sub(r.set) > r.limit/10 && !r.s.closing.Load() {
		r.set = now
		r.s.conn.SetReadDeadline(now.Add(r.limit + r.limit/10))
		if r.s.closing.Load() {
			r.s.conn.SetReadDeadline(now.Add(closeTimeout))
		}
	}
	return r.s.conn.Read(b)
}

// write sends what is queued, all that is there in one write, and does what
// is due: pings, receipts, SYNCs, repeats.
func (c *Client) writeLoop(s *session) {
	defer c.wg.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var spare []byte
	for {
		now := time.Now()
		c.mu.Lock()
		next := c.runTimers(s, now)
		buf := s.outBuf
		s.outBuf = spare[:0]
		if c.session == s {
			c.wakeTime = next
		}
		c.mu.Unlock()

		if len(buf) > 0 {
			if !s.closing.Load() {
				s.conn.SetWriteDeadline(now.Add(writeTimeout))
			}
			if _, err := s.conn.Write(buf); err != nil {
				s.conn.Close() // the reader tells
				return
			}
			if spare = buf; cap(spare) > maxKeptBuffer {
				spare = nil
			}
			continue
		}
		spare = buf
		if s.closing.Load() {
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
		case <-s.ended:
			return
		}
	}
}

// ended settles what a session leaves behind and decides what comes next.
func (c *Client) sessionEnded(s *session, err error) {
	c.mu.Lock()
	switch {
	case s.kick != nil:
		err = s.kick
	case s.rejection != nil:
		err = fmt.Errorf("%w: %w", ErrNotConnected, s.rejection)
	default:
		err = fmt.Errorf("%w: %w", ErrNotConnected, err)
	}
	calls := s.calls
	s.calls, s.err = nil, err
	if c.session == s {
		c.session = nil
	}
	c.outbox.requeueInFlight()
	c.throttledUntil = time.Time{}
	for _, cl := range calls { // a hole that has been filled meanwhile isn't among c.holes
		if cl.conversation != nil {
			cl.conversation.syncing = false
		}
	}
	wasIn := s.loggedIn
	s.loggedIn = false
	again := wasIn && c.stayLoggedIn && !c.stopping.Load() && (s.kick == nil || !s.kick.isFinal())
	logins := c.loginGeneration
	if time.Since(s.startedAt) > c.cfg.BackoffMax {
		c.reconnectAttempt = 0 // it was no flapping
	}
	// Said before the lock is let go, or the session that follows could be told
	// of before the end of this one.
	var failed []*outgoing
	var wait time.Duration
	switch {
	case again:
		wait = c.scheduleReconnect(err)
	case c.stopping.Load(): // no handler is called any more
	case !wasIn && c.stayLoggedIn:
		if !s.automatic { // made by Register while reconnect waits
			c.queueStateChange(StateChange{State: Disconnected, Addr: s.addr, Err: err, Retry: max(0, time.Until(c.retryAt))})
		}
	default:
		c.queueStateChange(StateChange{State: Disconnected, Addr: s.addr, Err: err, Final: true})
		if wasIn {
			c.stayLoggedIn = false
			failed = c.outbox.takeAll()
		}
	}
	c.mu.Unlock()

	for _, cl := range calls {
		cl.complete(nil, err)
	}
	failAll(failed, err)
	c.cfg.Logger.Debug("connection ended", "addr", s.addr, "error", err)
	if again {
		c.wg.Go(func() { c.reconnect(logins, wait) })
	}
}

// giveUp makes the client stay away. It returns the messages that will not
// be sent, to be settled. The caller holds Client.mu.
func (c *Client) stopReconnecting(cause error) []*outgoing {
	if c.stayLoggedIn && c.session == nil { // it was said that there would be another attempt
		c.queueStateChange(StateChange{State: Disconnected, Err: cause, Final: true})
	}
	c.stayLoggedIn = false
	return c.outbox.takeAll()
}
