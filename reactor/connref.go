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

// Send sends body, as one frame, to the connection. It keeps the order with the
// same goroutine's other calls of ConnRef.Send and Reactor.Post for that loop. It
// never blocks and doesn't keep body. It returns ErrClosed if the connection is
// known to be closed; nil doesn't mean that the client receives the frame.
//
// On a loop, Turn.Send is cheaper. The order between the two isn't defined.
func (p *ConnRef) Send(body []byte) error {
	if p.closed.Load() {
		return ErrClosed
	}
	if p.c.l.sendFromOutside(p.c, body) != nil {
		return ErrClosed
	}
	return nil
}
