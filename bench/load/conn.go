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
	readSize    = 32 << 10         // of a connection's buffer; it grows for larger frames
	callTimeout = 30 * time.Second // for one request of those that prepare a run
	dialTimeout = 10 * time.Second
	maxLocalIPs = 8 // source addresses tried where one has no port left
)

// Conn is one connection as a load generator needs it: all frames of one read
// are decoded in one go, and writes are what the caller has gathered. It has
// no goroutine; one goroutine at a time may read.
type Conn struct {
	nc        net.Conn
	pingFrame []byte // what is answered with a PONG; nil: PING
	*readBuffer
}

// readBuffer is what reading needs. An idle connection has none.
type readBuffer struct {
	dec        proto.Decoder
	buf        []byte
	start, end int // what has been read and not yet decoded
}

// errFrameLength says that a server's frame has an impossible length.
var errFrameLength = errors.New("a frame of the server announces an impossible length")

// dial connects. Where the source address has no port left it takes another
// one of loopback's.
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

// Close ends the connection.
func (c *Conn) Close() { _ = c.nc.Close() } // nothing is left to be lost

// Abort ends the connection without leaving its port in TIME_WAIT.
func (c *Conn) Abort() {
	if tcp, ok := c.nc.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // then it is a close like any other
	}
	_ = c.nc.Close()
}

// releaseBuffer frees what reading needs, until the next read. What was read and
// not decoded is lost.
func (c *Conn) releaseBuffer() { c.readBuffer = nil }

// fill reads once; it blocks until there is something.
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
		return nil // an error comes again
	}
	return err
}

// next decodes the next frame of what was read; nil without an error where
// there is no whole one. It holds until the call after.
func (c *Conn) next() (*proto.Response, error) {
	body, err := c.frame()
	if body == nil || err != nil {
		return nil, err
	}
	return c.decode(body)
}

// frame is the body of the next frame of what was read, as next.
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

// decode decodes what frame has returned; it holds until the call after.
func (c *Conn) decode(body []byte) (*proto.Response, error) { return c.dec.DecodeResponse(body) }

// await reads until a frame of op comes, or an ERROR, which is an error here
// as KICK is. Other frames are dropped.
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

// send sends what has no answer, or one that is read elsewhere. Any goroutine
// may call it.
func (c *Conn) send(req *proto.Request) error {
	_, err := c.nc.Write(proto.AppendFrame(nil, proto.AppendRequest(nil, req)))
	return err
}

// ping asks for a PONG.
func (c *Conn) ping() error {
	if c.pingFrame != nil {
		_, err := c.nc.Write(c.pingFrame)
		return err
	}
	return c.send(&proto.Request{Op: proto.PING})
}

// unexpectedFrame is the error for a frame that has no place where it came.
func unexpectedFrame(r *proto.Response) error {
	if r.Op == proto.KICK {
		return fmt.Errorf("the server ended the connection: KICK %q: %s", r.Reason, r.ErrMsg)
	}
	return fmt.Errorf("the server sent %s, errno %d: %s", r.Op, r.Errno, r.ErrMsg)
}

// errRefused is a request refused for what it says: trying again is no use.
var errRefused = errors.New("refused")

// Call sends a request and returns its answer, once it is one of success. It
// waits and tries again where the server is too busy. Only for a connection
// on which nothing else is on the way.
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

// retryDelay is when a refused request may come again.
func retryDelay(a *proto.Response) time.Duration {
	const least, most = time.Millisecond, 5 * time.Second
	return min(max(time.Duration(a.RetryAfter)*time.Millisecond, least), most)
}

// Sleep waits for d, or for ctx, whose error it returns.
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

// Nonce is a random number that no other run has.
func Nonce() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}
