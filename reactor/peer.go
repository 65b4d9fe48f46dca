package reactor

import "sync/atomic"

// Peer is the one handle to a connection that may leave its loop. Any
// goroutine may use it, also after the connection has closed.
type Peer struct {
	c      *Conn
	closed atomic.Bool
}

// Loop is the index of the connection's loop.
func (p *Peer) Loop() int { return p.c.l.idx }

// Send passes body to the connection, in the order of this goroutine's other
// Sends and Posts to its loop. Any goroutine may call it; on a loop Turn.Send
// is cheaper, and what is sent with either isn't in order with the other. It
// never blocks and keeps nothing of body. ErrClosed: the connection is known
// to be closed. No error doesn't mean that the bytes arrive.
func (p *Peer) Send(body []byte) error {
	if p.closed.Load() {
		return ErrClosed
	}
	if p.c.l.send(p.c, body) != nil {
		return ErrClosed
	}
	return nil
}
