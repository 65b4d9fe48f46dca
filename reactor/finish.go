package reactor

import (
	"encoding/binary"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// maxDiscarded is how many bytes the reactor reads and discards from a client that
// was kicked for abuse and keeps sending; then it closes the connection. A client
// usually has less than this in flight. Other connections that are finishing are
// read until Config.Linger is over.
const maxDiscarded = 256 << 10

// Finish writes last, which may be nil, and closes the connection gracefully. Once
// all output is written, it shuts down the writing side, and discards input until
// the client closes or Config.Linger is over. After Finish, nothing can be written,
// and Handler.Request isn't called.
func (c *Conn) Finish(t Turn, last []byte) {
	if last != nil {
		c.Write(t, last)
	}
	c.finish(t)
}

func (c *Conn) finish(t Turn) { c.finishWith(t, ws.StatusNormalClosure) }

// finishWith is finish with a WebSocket close code.
func (c *Conn) finishWith(t Turn, code ws.StatusCode) {
	if !c.open || c.finishing {
		return
	}
	if c.framing == framingWebSocket {
		var payload [2]byte
		binary.BigEndian.PutUint16(payload[:], uint16(code))
		c.writeControl(t, ws.OpClose, payload[:])
	}
	if !c.open || c.finishing {
		return // the write has closed the connection, or called this function
	}
	// Keep the buffers until release: Request may be running, and reads from
	// them.
	c.finishing, c.holding, c.waiter = true, false, nil
	c.end = c.l.now.Add(c.l.r.cfg.Linger)
	c.l.timers.add(t, &c.timer, c.end)
	c.markDirty(t)
}

// shutdown shuts down the writing side if all output is written. Otherwise
// checkDrained does that later.
func (c *Conn) shutdown(t Turn) {
	if c.shut {
		return
	}
	if c.gc.OutboundBuffered() > 0 {
		c.l.newWaiters = append(c.l.newWaiters, c)
		return
	}
	c.shut = true
	if err := unix.Shutdown(c.gc.Fd(), unix.SHUT_WR); err != nil {
		c.l.r.log.Debug("couldn't shut down a connection", "addr", c.addr, "err", err)
	}
}

// discard counts n bytes that arrived after the end. It reports whether the
// connection must be closed at once.
func (c *Conn) discard(t Turn, n int) (enough bool) {
	if !c.wasAbusive || !c.shut {
		return false
	}
	c.discarded += n
	return c.discarded > maxDiscarded
}
