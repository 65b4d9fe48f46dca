package reactor

import (
	"errors"
	"time"

	"chatd/proto"
)

// Errors that the reactor returns. Compare them with errors.Is.
var (
	ErrStopped = errors.New("reactor: not running")
	ErrClosed  = errors.New("reactor: connection closed")
	ErrBusy    = errors.New("reactor: job queue or mailbox full")
)

// BusyError is an ErrBusy that says when to retry.
type BusyError struct{ Wait time.Duration }

func (e *BusyError) Error() string { return "reactor: too many slow jobs are waiting" }

// Is makes errors.Is(e, ErrBusy) true.
func (e *BusyError) Is(target error) bool { return target == ErrBusy }

// Handler handles the events of connections. The reactor calls its methods on the
// connection's loop, one at a time per loop. No method may block. A panic closes
// the connection that the call was for, and doesn't end the process.
type Handler interface {
	// Open is called for a new connection. It must not write, as the framing
	// isn't known until the first byte is received.
	Open(t Turn, c *Conn)
	// Request handles a decoded frame. r is valid until Request returns. If
	// Request returns false, the reactor holds this frame and later ones of the
	// connection, except PING, until Conn.Resume. For a frame that it takes,
	// Request must call Conn.Charge, and refuse the frame if that returns a wait.
	Request(t Turn, c *Conn, r *proto.Request) (taken bool)
	// TurnEnd is called at the end of a turn in which another method of the
	// handler, a job's done function or a posted function ran, before anything
	// is written. Use it to process in one batch what the turn has collected. It
	// may be called again in the same turn if writing leads to more events, such
	// as a closed connection.
	TurnEnd(t Turn)
	// KickedForAbuse is called when the reactor ends a connection with KICK
	// "abuse", before the client can receive the KICK, and before Closed.
	KickedForAbuse(t Turn, c *Conn)
	// Closed is called exactly once for each connection that was opened. After
	// it, only done functions of unfinished jobs are called for the connection.
	Closed(t Turn, c *Conn)
}
