package reactor

import (
	"encoding/binary"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// maxDiscarded is how many bytes are read and thrown away from a client that was
// kicked for abuse and keeps sending. It is usually more than the client has on
// the way. Others may send until Config.Linger is over.
const maxDiscarded = 256 << 10

// Finish writes last, which may be nil, and closes the connection gracefully:
// once all output is written, the writing side is shut down, and input is thrown
// away until the client closes or Config.Linger is over. After Finish nothing
// can be written, and Handler.Request isn't called.
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
		return // writing it has closed the connection, or called this function
	}
	// The buffers stay until release: this may be called within Request, whose
	// bytes are there.
	c.finishing, c.holding, c.waiter = true, false, nil
	c.end = c.l.now.Add(c.l.r.cfg.Linger)
	c.l.timers.add(t, &c.timer, c.end)
	c.markDirty(t)
}

// shutdown shuts down the writing side once all output is written: now, or when
// checkDrained finds it so.
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
		c.l.r.log.Debug("shut down", "addr", c.addr, "err", err)
	}
}

// discard counts n bytes that arrived after the end. It reports whether the
// connection has to be closed without waiting any longer.
func (c *Conn) discard(t Turn, n int) (enough bool) {
	if !c.wasAbusive || !c.shut {
		return false
	}
	c.discarded += n
	return c.discarded > maxDiscarded
}
