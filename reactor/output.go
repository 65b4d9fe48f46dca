package reactor

import (
	"encoding/binary"

	"github.com/gobwas/ws"

	"chatd/proto"
)

// flushAt is how much one connection may gather in a turn before it is
// written all the same: memory is bounded, and the kernel has work.
const flushAt = 256 << 10

// Write frames body and has it written at the end of the turn, together with
// all else the connection gets in it. Nothing happens once the connection has
// closed or is finishing. body isn't kept. It doesn't block: what the kernel
// doesn't take waits, up to Config.MaxWaiting.
func (c *Conn) Write(t Turn, body []byte) {
	if !c.writable(t) {
		c.drop(t)
		return
	}
	c.out = c.l.r.buffers.grow(c.out, ws.MaxHeaderSize+len(body))
	before := len(c.out.b)
	if c.framing == framingWebSocket {
		c.out.b = appendHeader(c.out.b, ws.OpText, len(body))
	} else {
		c.out.b = binary.BigEndian.AppendUint32(c.out.b, uint32(len(body)))
	}
	c.out.b = append(c.out.b, body...)
	c.l.n.framesOut++
	c.wrote(t, len(c.out.b)-before)
}

// WriteResponse is Write of what r encodes to; r isn't kept.
func (c *Conn) WriteResponse(t Turn, r *proto.Response) {
	if !c.writable(t) {
		c.drop(t)
		return
	}
	if c.framing == framingWebSocket {
		// The header's length depends on the body's.
		c.l.scratch = proto.AppendResponse(c.l.scratch[:0], r)
		c.Write(t, c.l.scratch)
		if cap(c.l.scratch) > proto.MaxRequest {
			c.l.scratch = nil
		}
		return
	}
	c.out = c.l.r.buffers.grow(c.out, proto.HeaderSize)
	before := len(c.out.b)
	c.out.b = proto.AppendResponse(append(c.out.b, 0, 0, 0, 0), r)
	n := len(c.out.b) - before
	binary.BigEndian.PutUint32(c.out.b[before:], uint32(n-proto.HeaderSize))
	c.l.n.framesOut++
	c.wrote(t, n)
}

// writable says whether frames can go out: not in the middle of a handshake.
func (c *Conn) writable(t Turn) bool {
	return c.open && !c.finishing && c.framing != framingHandshake && c.framing != framingProxy
}

// drop notes a frame that will never go out: as one byte that is queued and
// never taken, so that who asks for Taken can't think it was.
func (c *Conn) drop(t Turn) {
	c.queued++
	c.dropped++
}

// writeRaw is Write for what is framed already, or no frame.
func (c *Conn) writeRaw(t Turn, p []byte) {
	if !c.open || c.finishing {
		return
	}
	c.out = c.l.r.buffers.grow(c.out, len(p))
	c.out.b = append(c.out.b, p...)
	c.wrote(t, len(p))
}

func (c *Conn) wrote(t Turn, n int) {
	c.queued += uint64(n)
	c.markDirty(t)
	if len(c.out.b) >= flushAt {
		c.flush(t)
	}
}

func (c *Conn) markDirty(t Turn) {
	if !c.dirty {
		c.dirty = true
		c.l.dirty = append(c.l.dirty, c)
	}
}

// flush is the one place where a connection is written to. gnet would write
// to whoever has the file descriptor now, were it closed.
func (c *Conn) flush(t Turn) {
	if !c.open {
		return
	}
	if b := c.out; b != nil {
		// OnClose may run within; it finds what was about to go out.
		n, err := c.gc.Write(b.b)
		if err == nil {
			c.l.n.bytesOut += n
		}
		c.out = nil
		c.l.r.buffers.put(b)
		if !c.open {
			return
		}
		c.buffered = c.gc.OutboundBuffered()
	}
	c.l.lag.note(t, c)
	switch {
	case c.finishing:
		c.shutdown(t)
	case c.buffered > c.l.r.cfg.MaxWaiting:
		c.kick(t, slow)
	}
}

// Queued is how many bytes were ever to be written, this turn's and the
// framing included.
func (c *Conn) Queued(t Turn) uint64 { return c.queued }

// Taken is how many of these the kernel has taken: a frame has been once
// Taken is at least what Queued was after its Write, and one that was written
// to a closed or finishing connection never will. It stays after the
// connection has closed, and then may be too low, never too high.
func (c *Conn) Taken(t Turn) uint64 {
	return c.queued - uint64(c.Waiting(t))
}

// Waiting is Queued less Taken.
func (c *Conn) Waiting(t Turn) int {
	n := c.dropped
	if c.open {
		c.buffered = c.gc.OutboundBuffered()
		if c.out != nil {
			n += len(c.out.b)
		}
	}
	return n + c.buffered
}
