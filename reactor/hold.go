package reactor

import (
	"encoding/binary"

	"chatd/proto"
)

// Held frames were received but not handled yet, because Handler.Request returned
// false. They are handled in order after Conn.Resume. Their bytes are limited per
// connection (Config.MaxHeld) and in total (Config.MaxHeldAll).

// minHeldShare is how many bytes of frames any connection may have held, however
// many connections there are: one frame of the maximum size.
const minHeldShare = proto.HeaderSize + proto.MaxRequest

// Resume makes the reactor handle the held frames before this turn ends. Within
// Request, it takes effect after Request returns. The reactor stops when Request
// returns false again.
func (c *Conn) Resume(t Turn) {
	if !c.open {
		return
	}
	if c.inRequest {
		c.wantsMore = true
	} else if c.holding && !c.inResumed {
		c.inResumed = true
		c.l.resumed = append(c.l.resumed, c)
	}
}

// receiveWhileHolding answers PING at once and holds all other frames.
func (c *Conn) receiveWhileHolding(t Turn, body []byte) {
	r, err := c.l.decoder.Decode(body)
	c.size = len(body)
	switch {
	case err == nil && r.Op == proto.PING:
		c.answerPing(t, r)
	case err == nil && r.Op == proto.PONG:
		c.Charge(t)
	case c.l.r.draining.Load():
	default:
		c.hold(t, body)
	}
}

// hold holds a frame, or ends the connection if that exceeds a limit.
func (c *Conn) hold(t Turn, body []byte) {
	have := 0
	if c.held != nil {
		have = len(c.held.b) - c.heldRead
	}
	if why, ok := c.mayHold(t, have, proto.HeaderSize+len(body)); !ok {
		c.kick(t, why)
		return
	}
	c.l.r.held.Add(int64(proto.HeaderSize + len(body)))
	if c.heldRead > have {
		// More than half of the buffer has been handled: move the rest down.
		copy(c.held.b, c.held.b[c.heldRead:])
		c.held.b, c.heldRead = c.held.b[:have], 0
	}
	c.held = c.l.r.buffers.grow(c.held, proto.HeaderSize+len(body))
	c.held.b = proto.AppendFrame(c.held.b, body)
}

// mayHold reports whether a connection that has have bytes held may have n more.
// The limit per connection always applies. If the total limit is exceeded, each
// connection may have an equal share of it.
func (c *Conn) mayHold(t Turn, have, n int) (kickReason, bool) {
	r := c.l.r
	most := r.cfg.MaxHeld
	if r.cfg.MaxBeforeLogin > 0 && !c.loggedIn {
		most = min(most, r.cfg.MaxBeforeLogin)
	}
	switch {
	case have+n > most:
		return kickHeld, false
	case r.held.Load()+int64(n) <= int64(r.cfg.MaxHeldAll):
		return 0, true
	}
	share := max(int64(r.cfg.MaxHeldAll)/max(r.open.Load(), 1), minHeldShare)
	return kickHeldAll, int64(have+n) <= share
}

// handleHeld handles held frames until the handler returns false for one.
func (c *Conn) handleHeld(t Turn) {
	c.inResumed = false
	if !c.reading(t) || !c.holding {
		return
	}
	c.holding = false
	for c.held != nil && c.reading(t) {
		left := c.held.b[c.heldRead:]
		if len(left) == 0 {
			c.l.r.buffers.put(c.held)
			c.held, c.heldRead = nil, 0
			return
		}
		n := proto.HeaderSize + int(binary.BigEndian.Uint32(left))
		if !c.handle(t, left[proto.HeaderSize:n]) {
			return
		}
		c.heldRead += n
		c.l.r.held.Add(-int64(n))
	}
}
