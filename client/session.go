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

// session is one connection. Client.mu guards its fields, unless noted
// otherwise.
type session struct {
	conn      net.Conn
	addr      string
	wake      chan struct{} // capacity 1: the writer has something to do
	ended     chan struct{} // closed when the reader has ended
	startedAt time.Time
	automatic bool        // reconnect logs in on it and reports its end
	closing   atomic.Bool // closeAfterWrite was called

	outBuf   []byte // frames to be written
	calls    map[int64]*call
	loggedIn bool
	kick     *KickError
	// rejection is why the server refused the connection before a login.
	rejection error
	err       error // why the session has ended
	pingAt    time.Time

	effects   effects // used only by the reader
	queueFull bool    // used only by the reader: messages are dropped and left to SYNC until the queue is half empty
}

// call is a pending request. If ch is nil, it is a SYNC that the client sent by
// itself for the conversation.
type call struct {
	req          *proto.Request
	ch           chan callResult // capacity 1
	conversation *conversation
}

type callResult struct {
	r   *proto.Response
	err error
}

// complete passes the result to the caller, if one waits.
func (cl *call) complete(r *proto.Response, err error) {
	if cl.ch != nil {
		cl.ch <- callResult{r, err}
	}
}

// dial tries the addresses in turn, starting after the last one tried, and
// starts a session on the first that accepts a connection.
func (c *Client) dial(ctx context.Context, automatic bool) (*session, error) {
	var errs []error
	for range c.cfg.Addrs {
		addr := c.cfg.Addrs[int(c.nextAddr.Add(1)-1)%len(c.cfg.Addrs)]
		conn, err := c.dialOne(ctx, addr)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		return c.startSession(conn, addr, automatic)
	}
	return nil, fmt.Errorf("%w: %w", ErrNotConnected, errors.Join(errs...))
}

// dialOne connects to one address, with TLS if configured.
func (c *Client) dialOne(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	// Close cancels a dial in progress.
	defer context.AfterFunc(c.ctx, cancel)()
	conn, err := c.cfg.Dial(ctx, "tcp", addr)
	if err != nil || c.cfg.TLS == nil {
		return conn, err
	}
	cfg := c.cfg.TLS
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		cfg.ServerName, _, _ = net.SplitHostPort(addr) // addr was dialed, so it has a port
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

// startSession makes conn the client's session and starts its goroutines.
func (c *Client) startSession(conn net.Conn, addr string, automatic bool) (*session, error) {
	s := &session{
		conn: conn, addr: addr, automatic: automatic, startedAt: time.Now(),
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

// request queues a frame for the writer. The caller holds Client.mu.
func (s *session) request(r *proto.Request) {
	s.outBuf = appendFrame(s.outBuf, r)
	signal(s.wake)
}

// appendFrame appends r as a frame.
func appendFrame(dst []byte, r *proto.Request) []byte {
	n := len(dst)
	dst = proto.AppendRequest(append(dst, 0, 0, 0, 0), r)
	binary.BigEndian.PutUint32(dst[n:], uint32(len(dst)-n-proto.HeaderSize))
	return dst
}

// closeAfterWrite ends the session after the queued frames are written. The
// caller holds Client.mu.
func (s *session) closeAfterWrite() {
	s.closing.Store(true)
	deadline := time.Now().Add(closeTimeout)
	s.conn.SetDeadline(deadline)
	signal(s.wake)
}

// readLoop processes frames until the connection ends, then cleans up.
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
			// Skip the frame. If it was a message, SYNC fills the gap.
			c.stats.undecodable.Add(1)
			c.cfg.Logger.Warn("failed to decode frame from server", "addr", s.addr, "error", derr)
			continue
		}
		c.receive(s, resp)
	}
	s.conn.Close()
	c.sessionEnded(s, err)
}

// idleReader fails when the server sends nothing, not even PONGs, for limit.
type idleReader struct {
	s     *session
	limit time.Duration
	set   time.Time
}

func (r *idleReader) Read(b []byte) (int, error) {
	// Setting a deadline costs as much as a small read, so set it only when a tenth
	// of the limit has passed.
	if now := time.Now(); now.Sub(r.set) > r.limit/10 && !r.s.closing.Load() {
		r.set = now
		r.s.conn.SetReadDeadline(now.Add(r.limit + r.limit/10))
		if r.s.closing.Load() {
			r.s.conn.SetReadDeadline(now.Add(closeTimeout))
		}
	}
	return r.s.conn.Read(b)
}

// writeLoop writes the queued frames, as many as there are in one write, and
// runs the timers.
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
				s.conn.Close() // the reader notices and reports the error
				return
			}
			if spare = buf; cap(spare) > maxKeptBuffer {
				spare = nil
			}
			continue
		}
		spare = buf
		if s.closing.Load() {
			// Close only the sending side. If we closed both while the server's data is
			// unread, TCP would send a reset, which could discard our last frames.
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

// sessionEnded cleans up after a session: it fails its calls, requeues its
// messages, and starts a reconnect if needed.
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
	c.readReceiptsLost()
	c.throttledUntil = time.Time{}
	for _, cl := range calls { // conversations whose gap was filled in the meantime aren't in c.gaps
		if cl.conversation != nil {
			cl.conversation.syncing = false
		}
	}
	wasIn := s.loggedIn
	s.loggedIn = false
	again := wasIn && c.stayLoggedIn && !c.stopping.Load() && (s.kick == nil || !c.isFinal(s.kick))
	generation := c.loginGeneration
	if time.Since(s.startedAt) > c.cfg.BackoffMax {
		c.reconnectAttempt = 0 // the connection was stable
	}
	// Queue the state change before unlocking. Otherwise that of the next session
	// could be queued first.
	var failed []*outgoing
	var wait time.Duration
	switch {
	case again:
		wait = c.scheduleReconnect(err)
	case c.stopping.Load(): // no handler will be called
	case !wasIn && c.stayLoggedIn:
		if !s.automatic { // made by Register while a reconnect waits
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
		c.wg.Go(func() { c.reconnect(generation, wait) })
	}
}

// stopReconnecting makes the client stay disconnected. It returns the messages
// that won't be sent; the caller passes them to failAll. The caller holds
// Client.mu.
func (c *Client) stopReconnecting(cause error) []*outgoing {
	if c.stayLoggedIn && c.session == nil { // the application expects another attempt
		c.queueStateChange(StateChange{State: Disconnected, Err: cause, Final: true})
	}
	c.stayLoggedIn = false
	return c.outbox.takeAll()
}
