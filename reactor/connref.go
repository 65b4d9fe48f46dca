package reactor

import "sync/atomic"

// ConnRef is the handle to a connection for other loops and goroutines. It is safe
// for concurrent use, also after the connection has closed.
type ConnRef struct {
	c      *Conn
	closed atomic.Bool
}

// Loop returns the index of the connection's loop.
func (p *ConnRef) Loop() int { return p.c.l.idx }

// Closed reports whether the connection is known to be closed. It never blocks.
func (p *ConnRef) Closed() bool { return p.closed.Load() }

// Send sends body, as one frame, to the connection. Calls of ConnRef.Send and
// Reactor.Post that one goroutine makes for the same loop take effect in order.
// Send never blocks and doesn't keep body. It returns ErrClosed if the connection
// is known to be closed; nil doesn't mean that the client receives the frame.
//
// On a loop, Turn.Send is cheaper. Calls of Turn.Send and ConnRef.Send aren't
// ordered.
func (p *ConnRef) Send(body []byte) error {
	if p.closed.Load() {
		return ErrClosed
	}
	if p.c.l.sendFromOutside(p.c, body) != nil {
		return ErrClosed
	}
	return nil
}
