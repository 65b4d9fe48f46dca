package reactor

import "chatd/proto"

// Handler is what the reactor calls: always on the connection's loop, one
// call at a time per loop, never one within another. None may block. A panic
// costs the connection that the call was about, not the process.
type Handler interface {
	// Open tells of a new connection. Which framing it speaks isn't known
	// before its first byte, so write nothing here.
	Open(t Turn, c *Conn)
	// Request handles a decoded frame; r holds until it returns. False means
	// "not now": the reactor holds this frame and all that follow on this
	// connection (PING is still answered at once) until c.Resume. A frame that
	// is taken has to be charged (Conn.Charge), and refused where that says so.
	Request(t Turn, c *Conn, r *proto.Request) (taken bool)
	// TurnEnd runs at the end of a loop callback in which another function of
	// the handler, a done or a posted function ran, before the writes: what
	// was gathered in the turn is handed on here in one go. It runs again in
	// the same callback where the writes had consequences (a connection that
	// broke, say).
	TurnEnd(t Turn)
	// Abused says that the reactor is ending a connection with KICK "abuse". It
	// comes before the client can have that, and before Closed.
	Abused(t Turn, c *Conn)
	// Closed comes exactly once per Open. Only done functions of jobs still
	// running come after it.
	Closed(t Turn, c *Conn)
}
