package reactor

import (
	"encoding/binary"

	"github.com/gobwas/ws"

	"chatd/proto"
)

// flushAt is how many bytes a connection collects in a turn before they are
// written early. It limits memory, and lets the kernel start sending.
const flushAt = 256 << 10

// Write sends body as one frame. The frame is written at the end of the turn,
// together with the connection's other frames. If the connection has closed or is
// finishing, Write drops the frame. It doesn't keep body, and doesn't block: bytes
// that the kernel doesn't accept wait in memory, up to Config.MaxWaiting.
func (c *Conn) Write(t Turn, body []byte) {
	if !c.writable(t) {
		c.dropFrame(t)
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
	c.l.counts.framesOut++
	c.wrote(t, len(c.out.b)-before)
}

// droppableShare is the part of Config.MaxWaiting that may be unsent when a droppable
// frame is written: 1/droppableShare.
const droppableShare = 4

// WriteDroppable is Write for a frame that the client doesn't need. If much output is
// unsent, it drops the frame and returns false, so that such frames never fill
// Config.MaxWaiting and end the connection. The frame isn't counted by BytesQueued then.
func (c *Conn) WriteDroppable(t Turn, body []byte) bool {
	unsent := c.buffered
	if c.out != nil {
		unsent += len(c.out.b)
	}
	if unsent+len(body) > c.l.r.cfg.MaxWaiting/droppableShare && c.BytesUnsent(t)+len(body) > c.l.r.cfg.MaxWaiting/droppableShare {
		c.l.r.count.slowDropped.Inc()
		return false
	}
	c.Write(t, body)
	return true
}

// WriteResponse encodes r and sends it like Write. It doesn't keep r.
func (c *Conn) WriteResponse(t Turn, r *proto.Response) {
	if !c.writable(t) {
		c.dropFrame(t)
		return
	}
	if c.framing == framingWebSocket {
		// The length of the header depends on the length of the body.
		c.l.scratch = proto.AppendResponse(c.l.scratch[:0], r)
		c.Write(t, c.l.scratch)
		if cap(c.l.scratch) > proto.MaxRequest {
			c.l.scratch = nil
		}
		return
	}
	c.out = c.l.r.buffers.grow(c.out, proto.HeaderSize)
	before := len(c.out.b)
	c.out.b = proto.AppendResponse(proto.BeginFrame(c.out.b), r)
	proto.EndFrame(c.out.b, before)
	c.l.counts.framesOut++
	c.wrote(t, len(c.out.b)-before)
}

// writable reports whether frames can be written. They can't while a handshake or
// a PROXY header is incomplete.
func (c *Conn) writable(t Turn) bool {
	return c.open && !c.finishing && c.framing != framingHandshake && c.framing != framingProxy
}

// dropFrame counts a frame that is never written as one byte that is queued and
// never sent. So BytesSent never reaches BytesQueued for that frame.
func (c *Conn) dropFrame(t Turn) {
	c.queued++
	c.dropped++
}

// writeRaw writes bytes without adding a header.
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

// flush writes the connection's output. Only flush may write to the socket: it
// checks that the connection is open. The file descriptor of a closed connection
// may belong to another one.
func (c *Conn) flush(t Turn) {
	if !c.open {
		return
	}
	if b := c.out; b != nil {
		// OnClose may run within Write. It counts c.out as not written.
		n, err := c.gc.Write(b.b)
		if err == nil {
			c.l.counts.bytesOut += n
		}
		c.out = nil
		c.l.r.buffers.put(b)
		if !c.open {
			return
		}
		c.buffered = c.gc.OutboundBuffered()
	}
	c.l.unsent.update(t, c)
	switch {
	case c.finishing:
		c.shutdown(t)
	case c.buffered > c.l.r.cfg.MaxWaiting:
		c.kick(t, kickSlow)
	}
}

// BytesQueued returns how many bytes were queued for writing since the connection
// opened, including framing and those of this turn.
func (c *Conn) BytesQueued(t Turn) uint64 { return c.queued }

// BytesSent returns how many of the queued bytes the kernel has accepted. A frame
// is accepted once BytesSent reaches the value that BytesQueued had right after
// the frame's Write. A frame that was dropped, because the connection was closed or
// finishing, is never accepted. After the connection has closed, BytesSent doesn't
// change; it may be too low, but is never too high.
func (c *Conn) BytesSent(t Turn) uint64 {
	return c.queued - uint64(c.BytesUnsent(t))
}

// BytesUnsent returns BytesQueued minus BytesSent.
func (c *Conn) BytesUnsent(t Turn) int {
	n := c.dropped
	if c.open {
		c.buffered = c.gc.OutboundBuffered()
		if c.out != nil {
			n += len(c.out.b)
		}
	}
	return n + c.buffered
}
