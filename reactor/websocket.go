package reactor

import (
	"encoding/binary"
	"errors"

	"github.com/gobwas/ws"

	"chatd/proto"
)

const wsMinHeader = 2

// appendHeader appends the header of an unmasked frame with n bytes.
func appendHeader(dst []byte, op ws.OpCode, n int) []byte {
	dst = append(dst, 0x80|byte(op))
	switch {
	case n < 126:
		return append(dst, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
	}
}

// writeControl writes a control frame. payload has at most 125 bytes.
func (c *Conn) writeControl(t Turn, op ws.OpCode, payload []byte) {
	var p [2 + ws.MaxControlFramePayloadSize]byte
	c.writeRaw(t, append(appendHeader(p[:0], op, len(payload)), payload...))
}

// wsHeaderLen returns the length of the header at the start of p. p has at least
// two bytes.
func wsHeaderLen(p []byte) int {
	n := wsMinHeader
	switch p[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if p[1]&0x80 != 0 {
		n += 4
	}
	return n
}

// wsHeader parses the complete header at the start of p.
func (l *loop) wsHeader(t Turn, p []byte) (ws.Header, error) {
	l.wsReader.Reset(p)
	return ws.ReadHeaderBuffer(&l.wsReader, l.wsBuf[:])
}

// webSocketFrameLen is frameLen for WebSocket. It refuses a bad header before the
// payload arrives.
func (c *Conn) webSocketFrameLen(t Turn, p []byte) int {
	if len(p) < wsMinHeader {
		return wsMinHeader
	}
	n := wsHeaderLen(p)
	if len(p) < n {
		return n
	}
	h, err := c.l.wsHeader(t, p)
	if err != nil {
		return c.refuseStream(t, ws.StatusProtocolError)
	}
	state := ws.StateServerSide
	before := 0
	if c.message != nil {
		state = state.Set(ws.StateFragmented)
		before = len(c.message.b)
	}
	if ws.CheckHeader(h, state) != nil {
		return c.refuseStream(t, ws.StatusProtocolError)
	}
	switch {
	case h.OpCode == ws.OpBinary:
		return c.refuseStream(t, ws.StatusUnsupportedData)
	case h.OpCode.IsControl():
	case h.Length > int64(c.maxFrame(t)-before):
		return c.refuseMessage(t, ws.StatusMessageTooBig, "a message must have 1 to %d bytes", c.maxFrame(t))
	case h.Fin && h.Length+int64(before) == 0:
		return c.refuseMessage(t, ws.StatusPolicyViolation, "a message must have 1 to %d bytes", c.maxFrame(t))
	}
	return n + int(h.Length)
}

// refuseStream ends the connection with a close code. It returns 0.
func (c *Conn) refuseStream(t Turn, code ws.StatusCode) int {
	c.l.r.count.badStream.Inc()
	c.finishWith(t, code)
	return 0
}

// refuseMessage answers with an ERROR frame and ends the connection with a close
// code. It returns 0.
func (c *Conn) refuseMessage(t Turn, code ws.StatusCode, format string, most int) int {
	c.l.r.count.badLength.Inc()
	err := proto.Errorf(proto.BadLength, format, most)
	c.WriteResponse(t, &proto.Response{Op: proto.ERROR, Errno: err.Errno, ErrMsg: err.Message})
	c.finishWith(t, code)
	return 0
}

// webSocketFrame handles a complete frame that webSocketFrameLen has accepted.
func (c *Conn) webSocketFrame(t Turn, p []byte) {
	h, err := c.l.wsHeader(t, p)
	if err != nil {
		c.refuseStream(t, ws.StatusProtocolError)
		return
	}
	payload := p[len(p)-int(h.Length):]
	ws.Cipher(payload, h.Mask, 0)
	switch h.OpCode {
	case ws.OpPing:
		c.lastSeen = c.l.now
		c.size = len(payload)
		if _, wait := c.Charge(t); wait == 0 {
			c.writeControl(t, ws.OpPong, payload)
		}
	case ws.OpPong:
		c.size = len(payload)
		c.Charge(t)
	case ws.OpClose:
		c.closeWebSocket(t, payload)
	default:
		c.fragment(t, h.Fin, payload)
	}
}

// fragment handles a fragment of a text message, which is usually the whole message.
// It doesn't check UTF-8: the decoder does that, and doesn't close the connection.
func (c *Conn) fragment(t Turn, fin bool, payload []byte) {
	if c.message == nil && fin {
		c.receive(t, payload)
		return
	}
	if !fin {
		// Each fragment is charged like a frame, in addition to the message: it
		// costs as much, and a message may have any number of empty ones.
		c.size = len(payload)
		if c.Charge(t); !c.reading(t) {
			return
		}
	}
	c.message = c.l.r.buffers.grow(c.message, len(payload))
	c.message.b = append(c.message.b, payload...)
	if fin {
		m := c.message
		c.message = nil
		c.receive(t, m.b)
		c.l.r.buffers.put(m)
	}
}

// closeWebSocket answers a close frame with the same code.
func (c *Conn) closeWebSocket(t Turn, payload []byte) {
	if len(payload) == 0 {
		c.finish(t)
		return
	}
	code, reason := ws.ParseCloseFrameDataUnsafe(payload)
	err := ws.CheckCloseFrameData(code, reason)
	switch {
	case errors.Is(err, ws.ErrProtocolInvalidUTF8):
		c.refuseStream(t, ws.StatusInvalidFramePayloadData)
	case err != nil:
		c.refuseStream(t, ws.StatusProtocolError)
	default:
		c.finishWith(t, code)
	}
}
