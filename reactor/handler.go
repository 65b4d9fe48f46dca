package reactor

import (
	"errors"

	"chatd/proto"
)

// Errors that the reactor returns. Compare them with errors.Is.
var (
	ErrStopped = errors.New("reactor: not running")
	ErrClosed  = errors.New("reactor: connection closed")
	ErrBusy    = errors.New("reactor: job queue or mailbox full")
)

// Handler receives the events of connections. The reactor calls its methods on
// the connection's loop, one call at a time per loop and never one within
// another. No method may block. A panic ends the connection that the call was
// about, not the process.
type Handler interface {
	// Open is called for a new connection. Its framing isn't known before its
	// first byte, so Open must not write.
	Open(t Turn, c *Conn)
	// Request handles a decoded frame. r is valid until Request returns. If it
	// returns false, the reactor holds the frame and all frames that follow on
	// the connection, except PING, until Conn.Resume. If it takes the frame, it
	// must call Conn.Charge and refuse the frame if that returns a wait.
	Request(t Turn, c *Conn, r *proto.Request) (taken bool)
	// TurnEnd is called at the end of a gnet callback in which another method of
	// the handler, a job's done or a posted function ran, before anything is
	// written. Use it to hand on in one batch what the turn collected. It is
	// called again in the same callback if writing led to more events, such as
	// a broken connection.
	TurnEnd(t Turn)
	// KickedForAbuse is called when the reactor ends a connection with KICK "abuse":
	// before the client can receive the KICK, and before Closed.
	KickedForAbuse(t Turn, c *Conn)
	// Closed is called exactly once per Open. After it, only the done functions
	// of jobs that were still running are called for the connection.
	Closed(t Turn, c *Conn)
}
