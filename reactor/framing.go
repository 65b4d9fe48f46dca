package reactor

import "chatd/proto"

// framing is how frames are separated on a connection. The first byte received
// selects it.
type framing uint8

const (
	framingUnknown   framing = iota
	framingProxy             // an incomplete PROXY header; the framing follows it
	framingTCP               // length and body
	framingHandshake         // an incomplete HTTP request
	framingWebSocket
)

// reading reports whether the connection still handles received frames.
func (c *Conn) reading(t Turn) bool { return c.open && !c.finishing }

// feed handles received bytes, which may begin and end anywhere. It doesn't keep
// data.
func (c *Conn) feed(t Turn, data []byte) {
	for len(data) > 0 && c.reading(t) {
		switch c.framing {
		case framingUnknown:
			switch {
			case c.startsProxy(t, data[0]):
				c.framing = framingProxy
			case startsHTTP(data[:1]):
				c.framing = framingHandshake
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

// nextFrame handles the first frame in data and returns the rest. If the frame is
// incomplete, nextFrame copies data and returns nil. A frame that arrives whole is
// decoded in place, without a copy.
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
	total := c.frameLen(t, c.in.b)
	if total == 0 { // the connection was logged out meanwhile, and the frame is too long for that
		return nil
	}
	need := min(total-len(c.in.b), len(data))
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
// header. If it is more than len(p), it may be only a lower bound. If it is 0, the
// frame was refused and the connection is closing.
func (c *Conn) frameLen(t Turn, p []byte) int {
	if c.framing == framingWebSocket {
		return c.webSocketFrameLen(t, p)
	}
	if len(p) < proto.HeaderSize {
		return proto.HeaderSize
	}
	n, err := proto.FrameLen(p)
	if most := c.maxFrame(t); err == nil && n > most {
		err = proto.Errorf(proto.BadLength, "before login, a frame may have at most %d bytes, got %d", most, n)
	}
	if err != nil {
		c.refuseLength(t, err)
		return 0
	}
	return proto.HeaderSize + n
}

// maxFrame returns the most bytes that a frame may have. Before login, frames are
// short, and anybody can open connections: chatd must not keep much for each.
func (c *Conn) maxFrame(t Turn) int {
	if most := c.l.r.cfg.MaxBeforeLogin; most > 0 && !c.loggedIn {
		return most
	}
	return proto.MaxRequest
}

// wholeFrame handles a complete frame, including its header.
func (c *Conn) wholeFrame(t Turn, p []byte) {
	if c.framing == framingWebSocket {
		c.webSocketFrame(t, p)
	} else {
		c.receive(t, p[proto.HeaderSize:])
	}
}

// refuseLength answers a bad length and ends the connection, because the start of
// the next frame is unknown.
func (c *Conn) refuseLength(t Turn, err *proto.Error) {
	c.l.r.count.badLength.Inc()
	c.WriteResponse(t, &proto.Response{Op: proto.ERROR, Errno: err.Errno, ErrMsg: err.Message})
	c.finish(t)
}
