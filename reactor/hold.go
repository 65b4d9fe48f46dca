package reactor

import (
	"encoding/binary"

	"chatd/proto"
)

// hold keeps a frame for later; only PING is for now.
func (c *Conn) hold(t Turn, body []byte) {
	r, err := c.l.dec.Decode(body)
	c.size = len(body)
	switch {
	case err == nil && r.Op == proto.PING:
		c.ping(t, r)
	case err == nil && r.Op == proto.PONG:
		c.Charge(t)
	case c.l.r.draining.Load():
	default:
		c.keep(t, body)
	}
}

func (c *Conn) keep(t Turn, body []byte) {
	have := 0
	if c.held != nil {
		have = len(c.held.b) - c.taken
	}
	if why, ok := c.mayHold(t, have, proto.HeaderSize+len(body)); !ok {
		c.kick(t, why)
		return
	}
	c.l.r.held.Add(int64(proto.HeaderSize + len(body)))
	if c.taken > have {
		// More room is wasted than used.
		copy(c.held.b, c.held.b[c.taken:])
		c.held.b, c.taken = c.held.b[:have], 0
	}
	c.held = c.l.r.buffers.grow(c.held, proto.HeaderSize+len(body))
	c.held.b = proto.AppendFrame(c.held.b, body)
}

// takeUp goes on with the held frames, until one isn't taken.
func (c *Conn) takeUp(t Turn) {
	c.resuming = false
	if !c.reading(t) || !c.holding {
		return
	}
	c.holding = false
	for c.held != nil && c.reading(t) {
		left := c.held.b[c.taken:]
		if len(left) == 0 {
			c.l.r.buffers.put(c.held)
			c.held, c.taken = nil, 0
			return
		}
		n := proto.HeaderSize + int(binary.BigEndian.Uint32(left))
		if !c.take(t, left[proto.HeaderSize:n]) {
			return
		}
		c.taken += n
		c.l.r.held.Add(-int64(n))
	}
}

// Resume has the reactor take up the held frames before this turn ends, or
// once Request has returned. It ends where Request returns false again.
func (c *Conn) Resume(t Turn) {
	if !c.open {
		return
	}
	if c.taking {
		c.wantsMore = true
	} else if c.holding && !c.resuming {
		c.resuming = true
		c.l.resumed = append(c.l.resumed, c)
	}
}

// minHeldShare is what each connection may have held however many there are:
// the largest frame.
const minHeldShare = proto.HeaderSize + proto.MaxRequest

// mayHold says whether a connection that has so many bytes held may have n
// more: up to its own bound always where there is room, and where all
// connections together have too many, up to its share of the room.
func (c *Conn) mayHold(t Turn, have, n int) (kickReason, bool) {
	r := c.l.r
	switch {
	case have+n > r.cfg.MaxHeld:
		return heldTooMuch, false
	case r.held.Load()+int64(n) <= int64(r.cfg.MaxHeldAll):
		return 0, true
	}
	share := max(int64(r.cfg.MaxHeldAll)/max(r.open.Load(), 1), minHeldShare)
	return heldByAll, int64(have+n) <= share
}
