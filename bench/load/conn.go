package load

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"chatd/proto"
)

const (
	readSize    = 32 << 10         // bytes of a read buffer; it grows for larger frames
	callTimeout = 30 * time.Second // for one request outside the measured time
	dialTimeout = 10 * time.Second
	maxLocalIPs = 8 // source addresses to try when one has run out of ports
)

// Conn is a connection of a load generator. One read decodes many frames, and
// the caller batches writes. It has no goroutine of its own. Only one goroutine
// at a time may read.
type Conn struct {
	nc        net.Conn
	pingFrame []byte // frame that makes the other side send PONG; nil: PING
	*readBuffer
}

// readBuffer holds what was read. Idle connections have none, to save memory.
type readBuffer struct {
	dec        proto.Decoder
	buf        []byte
	start, end int // range of buf that isn't decoded yet
}

// errFrameLength reports a frame from the server with an impossible length.
var errFrameLength = errors.New("the server sent a frame with an invalid length")

// dial connects to addr. If the source address has no free port it tries others
// of the loopback network.
func dial(ctx context.Context, addr string) (*Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, KeepAlive: -1}
	for i := range maxLocalIPs {
		nc, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			return &Conn{nc: nc}, nil
		}
		to, parseErr := netip.ParseAddrPort(addr)
		if !errors.Is(err, syscall.EADDRNOTAVAIL) || parseErr != nil || !to.Addr().Is4() || i == maxLocalIPs-1 {
			return nil, fmt.Errorf("connect to %s: %w", addr, err)
		}
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(i+2))}
	}
	panic("unreachable")
}

// Close closes the connection.
func (c *Conn) Close() { _ = c.nc.Close() } // nothing left to lose

// Abort resets the connection, which leaves no port in TIME_WAIT.
func (c *Conn) Abort() {
	if tcp, ok := c.nc.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // on failure it is an ordinary close
	}
	_ = c.nc.Close()
}

// releaseBuffer frees the read buffer until the next read. Undecoded bytes are
// lost.
func (c *Conn) releaseBuffer() { c.readBuffer = nil }

// fill reads once. It blocks until something arrives.
func (c *Conn) fill() error {
	in := c.readBuffer
	if in == nil {
		in = &readBuffer{buf: make([]byte, readSize)}
		c.readBuffer = in
	}
	switch {
	case in.start == in.end:
		in.start, in.end = 0, 0
	case in.start > 0:
		in.end = copy(in.buf, in.buf[in.start:in.end])
		in.start = 0
	case in.end == len(in.buf):
		in.buf = append(in.buf, make([]byte, len(in.buf))...)
	}
	n, err := c.nc.Read(in.buf[in.end:])
	in.end += n
	if n > 0 {
		return nil // an error is returned by the next read, too
	}
	return err
}

// next decodes the next frame that was read. It returns nil if there is no
// complete one. The result is valid until the next call.
func (c *Conn) next() (*proto.Response, error) {
	body, err := c.frame()
	if body == nil || err != nil {
		return nil, err
	}
	return c.decode(body)
}

// frame returns the body of the next frame that was read, or nil.
func (c *Conn) frame() ([]byte, error) {
	in := c.readBuffer
	if in == nil || in.end-in.start < proto.HeaderSize {
		return nil, nil
	}
	size := binary.BigEndian.Uint32(in.buf[in.start:])
	if size == 0 || size > proto.MaxResponse {
		return nil, errFrameLength
	}
	body := in.start + proto.HeaderSize
	if in.end-body < int(size) {
		return nil, nil
	}
	in.start = body + int(size)
	return in.buf[body:in.start], nil
}

// decode decodes a body that frame returned. The result is valid until the next
// call.
func (c *Conn) decode(body []byte) (*proto.Response, error) { return c.dec.DecodeResponse(body) }

// await reads until a frame with op arrives, and drops all others. ERROR and KICK
// are returned as errors.
func (c *Conn) await(op proto.Op) (*proto.Response, error) {
	for {
		r, err := c.next()
		switch {
		case err != nil:
			return nil, err
		case r == nil:
			if err := c.fill(); err != nil {
				return nil, err
			}
		case r.Op == op:
			return r, nil
		case r.Op == proto.ERROR || r.Op == proto.KICK:
			return nil, unexpectedFrame(r)
		}
	}
}

// send sends a request without waiting for an answer. Any goroutine may call
// it.
func (c *Conn) send(req *proto.Request) error {
	_, err := c.nc.Write(proto.AppendFrame(nil, proto.AppendRequest(nil, req)))
	return err
}

// ping asks the server for a PONG.
func (c *Conn) ping() error {
	if c.pingFrame != nil {
		_, err := c.nc.Write(c.pingFrame)
		return err
	}
	return c.send(&proto.Request{Op: proto.PING})
}

// unexpectedFrame returns the error for a frame that nothing asked for.
func unexpectedFrame(r *proto.Response) error {
	if r.Op == proto.KICK {
		return fmt.Errorf("the server closed the connection: KICK %q: %s", r.Reason, r.ErrMsg)
	}
	return fmt.Errorf("the server sent %s, errno %d: %s", r.Op, r.Errno, r.ErrMsg)
}

// errRefused reports a request that would be refused again.
var errRefused = errors.New("refused")

// Call sends a request and returns its answer. It waits and retries while the
// server is too busy. Nothing else may be in flight on the connection.
func (c *Conn) Call(ctx context.Context, req *proto.Request) (*proto.Response, error) {
	deadline := time.Now().Add(callTimeout)
	if err := c.nc.SetDeadline(deadline); err != nil {
		return nil, err
	}
	frame := proto.AppendFrame(nil, proto.AppendRequest(nil, req))
	for {
		if _, err := c.nc.Write(frame); err != nil {
			return nil, fmt.Errorf("%s: %w", req.Op, err)
		}
		a, err := c.await(req.Op.Ack())
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", req.Op, err)
		case a.Errno == proto.Done:
			return a, c.nc.SetDeadline(time.Time{})
		case a.Errno != proto.TooFast || time.Now().Add(retryDelay(a)).After(deadline):
			return nil, fmt.Errorf("%s: %w: errno %d: %s", req.Op, errRefused, a.Errno, a.ErrMsg)
		}
		if err := Sleep(ctx, retryDelay(a)); err != nil {
			return nil, err
		}
	}
}

// retryDelay returns how long to wait before a refused request may be repeated.
func retryDelay(a *proto.Response) time.Duration {
	const least, most = time.Millisecond, 5 * time.Second
	return min(max(time.Duration(a.RetryAfter)*time.Millisecond, least), most)
}

// Sleep waits for d. It returns early with ctx's error when ctx ends.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Nonce returns a random number.
func Nonce() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}
