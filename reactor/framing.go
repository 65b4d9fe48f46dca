package reactor

import "chatd/proto"

// framing is what a connection speaks; its first byte decides.
type framing uint8

const (
	framingUnknown   framing = iota
	framingProxy             // a PROXY header that isn't complete; what follows decides
	framingTCP               // length and body
	framingHandshake         // an HTTP request that isn't complete
	framingWebSocket
)

// reading says whether what comes in still matters.
func (c *Conn) reading(t Turn) bool { return c.open && !c.finishing }

// feed takes bytes as they were read, in any portions. They hold until it
// returns.
func (c *Conn) feed(t Turn, data []byte) {
	for len(data) > 0 && c.reading(t) {
		switch c.framing {
		case framingUnknown:
			switch {
			case data[0] == handshakeStart[0]:
				c.framing = framingHandshake
			case c.startsProxy(t, data[0]):
				c.framing = framingProxy
			default:
				c.framing = framingTCP
			}
		case framingProxy:
			data = c.unwrap(t, data)
		case framingHandshake:
			data = c.shake(t, data)
		default:
			data = c.cut(t, data)
		}
	}
}

// cut takes the first whole frame off data, or keeps all of it as the
// beginning of one. Frames are decoded where they lie; only one that comes in
// pieces is copied, once.
func (c *Conn) cut(t Turn, data []byte) (rest []byte) {
	if c.in == nil {
		n := c.measure(t, data)
		if n > len(data) {
			c.in = c.l.r.buffers.get(len(data))
			c.in.b = append(c.in.b, data...)
			return nil
		}
		if n == 0 {
			return nil
		}
		c.whole(t, data[:n])
		return data[n:]
	}
	need := min(c.measure(t, c.in.b)-len(c.in.b), len(data))
	c.in = c.l.r.buffers.grow(c.in, need)
	c.in.b = append(c.in.b, data[:need]...)
	if c.measure(t, c.in.b) == len(c.in.b) {
		frame := c.in
		c.in = nil
		c.whole(t, frame.b)
		c.l.r.buffers.put(frame)
	}
	return data[need:]
}

// measure says how long the frame at the start of p is, its header included:
// exactly, where that is at most len(p); else at least. 0: it is refused, and
// the connection is being closed.
func (c *Conn) measure(t Turn, p []byte) int {
	if c.framing == framingWebSocket {
		return c.measureWebSocket(t, p)
	}
	if len(p) < proto.HeaderSize {
		return proto.HeaderSize
	}
	n, err := proto.FrameLen(p)
	if err != nil {
		c.refuseLength(t, err)
		return 0
	}
	return proto.HeaderSize + n
}

// whole takes a frame of either framing.
func (c *Conn) whole(t Turn, p []byte) {
	if c.framing == framingWebSocket {
		c.wholeWebSocket(t, p)
	} else {
		c.frame(t, p[proto.HeaderSize:])
	}
}

// refuseLength ends a connection whose stream can't be trusted any more.
func (c *Conn) refuseLength(t Turn, err *proto.Error) {
	c.l.r.count.badLength.Inc()
	c.WriteResponse(t, &proto.Response{Op: proto.ERROR, Errno: err.Errno, ErrMsg: err.Message})
	c.finish(t)
}
