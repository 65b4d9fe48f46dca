package reactor

import "chatd/proto"

// framing is how a connection separates frames. Its first byte decides.
type framing uint8

const (
	framingUnknown   framing = iota
	framingProxy             // an incomplete PROXY header; the framing follows it
	framingTCP               // length and body
	framingHandshake         // an incomplete HTTP request
	framingWebSocket
)

// reading reports whether the connection still handles what it receives.
func (c *Conn) reading(t Turn) bool { return c.open && !c.finishing }

// feed handles received bytes, in pieces of any size. data is valid until it
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
			data = c.readHandshake(t, data)
		default:
			data = c.nextFrame(t, data)
		}
	}
}

// nextFrame handles the first frame in data and returns the rest. If the frame
// is incomplete, it keeps data and returns nothing. A frame is decoded in
// place; only one that arrives in pieces is copied, once.
func (c *Conn) nextFrame(t Turn, data []byte) (rest []byte) {
	if c.in == nil {
		n := c.frameLen(t, data)
		if n > len(data) {
			c.in = c.l.r.buffers.get(len(data))
			c.in.b = append(c.in.b, data...)
			return nil
		}
		if n == 0 {
			return nil
		}
		c.wholeFrame(t, data[:n])
		return data[n:]
	}
	need := min(c.frameLen(t, c.in.b)-len(c.in.b), len(data))
	c.in = c.l.r.buffers.grow(c.in, need)
	c.in.b = append(c.in.b, data[:need]...)
	if c.frameLen(t, c.in.b) == len(c.in.b) {
		frame := c.in
		c.in = nil
		c.wholeFrame(t, frame.b)
		c.l.r.buffers.put(frame)
	}
	return data[need:]
}

// frameLen returns the length of the frame at the start of p, including its
// header. If that is more than len(p), it may be a lower bound. 0 means that the
// frame is refused and the connection is closing.
func (c *Conn) frameLen(t Turn, p []byte) int {
	if c.framing == framingWebSocket {
		return c.webSocketFrameLen(t, p)
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

// wholeFrame handles a complete frame, including its header.
func (c *Conn) wholeFrame(t Turn, p []byte) {
	if c.framing == framingWebSocket {
		c.webSocketFrame(t, p)
	} else {
		c.receive(t, p[proto.HeaderSize:])
	}
}

// refuseLength ends a connection after a bad length: the start of the next frame
// is unknown.
func (c *Conn) refuseLength(t Turn, err *proto.Error) {
	c.l.r.count.badLength.Inc()
	c.WriteResponse(t, &proto.Response{Op: proto.ERROR, Errno: err.Errno, ErrMsg: err.Message})
	c.finish(t)
}
