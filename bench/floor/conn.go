package floor

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/panjf2000/gnet/v2"
)

// conn is one connection. Only its loop uses it.
type conn struct {
	gc     gnet.Conn
	loop   *loop
	group  *group
	role   Role
	rest   []byte // start of an incomplete frame
	closed bool   // must not be written to: the file descriptor may belong to another connection by now

	pending []byte // frames for it, while the mailbox is being emptied
	copied  bool   // pending is a buffer of the loop, not part of the mailbox
}

var (
	errNoSender = errors.New("frame from a connection that isn't a sender")
	errFull     = errors.New("mailbox of another loop is full")
)

// feed handles what was read. Complete frames are relayed together.
func (c *conn) feed(data []byte) error {
	l := c.loop
	if len(c.rest) > 0 {
		l.scratch = append(append(l.scratch[:0], c.rest...), data...)
		data, c.rest = l.scratch, c.rest[:0]
	}
	from, at := 0, 0 // frames from from to at are to be relayed
	for len(data)-at >= headerSize {
		size := binary.BigEndian.Uint32(data[at:])
		if size == 0 || size > uint32(l.relay.cfg.MaxFrame) {
			return fmt.Errorf("frame of %d bytes, want 1 to %d", size, l.relay.cfg.MaxFrame)
		}
		body, end := at+headerSize, at+headerSize+int(size)
		if end > len(data) {
			break
		}
		switch {
		case data[body] == control:
			if err := c.pass(data[from:at]); err != nil {
				return err
			}
			if err := c.command(data[body:end]); err != nil {
				return err
			}
			from = end
		case c.role != Sender:
			return errNoSender
		}
		at = end
	}
	c.rest = append(c.rest, data[at:]...)
	return c.pass(data[from:at])
}

func (c *conn) pass(frames []byte) error {
	if len(frames) == 0 || c.group == nil {
		return nil
	}
	for i, to := range *c.group.receivers.Load() {
		switch {
		case len(to) == 0:
		case i == c.loop.index:
			for _, o := range to {
				o.write(frames)
			}
		default:
			if !to[0].loop.post(to, frames) {
				return errFull
			}
		}
	}
	return nil
}

// write writes frames. It must be called on c's loop. A connection that doesn't
// read is closed.
func (c *conn) write(frames []byte) {
	if c.closed {
		return
	}
	_, _ = c.gc.Write(frames) // on an error it is closed already
	if c.closed || c.gc.OutboundBuffered() <= c.loop.relay.cfg.MaxWaiting {
		return
	}
	c.closed = true
	c.loop.relay.cfg.Logger.Warn("connection closed", "addr", c.gc.RemoteAddr(), "err", "receiver doesn't read")
	_ = c.gc.Close() // takes effect after this callback
}
