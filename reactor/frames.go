package reactor

import (
	"encoding/binary"

	"github.com/gobwas/ws"

	"chatd/proto"
)

// Frames is a sequence of frames for many connections of one loop. It is encoded
// once, and a connection that has no other output writes it without a copy.
type Frames struct {
	count     int
	tcp       buffer
	webSocket *buffer // nil: no connection has needed it yet
}

// NewFrames returns the count frames in b, which are as proto.AppendFrame writes
// them. b must not change any more. Several Frames may share it, on any loops.
func NewFrames(b []byte, count int) *Frames {
	return &Frames{count: count, tcp: buffer{b: b[:len(b):len(b)], shared: true}}
}

// in returns the frames in the framing f.
func (fs *Frames) in(f framing) *buffer {
	if f != framingWebSocket {
		return &fs.tcp
	}
	if fs.webSocket == nil {
		b := make([]byte, 0, len(fs.tcp.b)+fs.count*ws.MaxHeaderSize)
		for rest := fs.tcp.b; len(rest) > 0; {
			n := int(binary.BigEndian.Uint32(rest))
			b = appendHeader(b, ws.OpText, n)
			b = append(b, rest[proto.HeaderSize:proto.HeaderSize+n]...)
			rest = rest[proto.HeaderSize+n:]
		}
		fs.webSocket = &buffer{b: b[:len(b):len(b)], shared: true}
	}
	return fs.webSocket
}

// WriteFrames sends frames like Write.
func (c *Conn) WriteFrames(t Turn, fs *Frames) {
	if !c.writable(t) {
		c.dropFrame(t)
		return
	}
	b := fs.in(c.framing)
	n := len(b.b)
	if c.out == nil {
		c.out = b // the next Write, if any, copies it
	} else {
		c.out = c.l.r.buffers.grow(c.out, n)
		c.out.b = append(c.out.b, b.b...)
	}
	c.l.counts.framesOut += fs.count
	c.wrote(t, n)
}
