package reactor

import (
	"encoding/binary"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// maxDiscarded is how many bytes are read and thrown away of one who was kicked
// for abuse and sends on though it was told so: more than it can have had on
// the way, as a rule. Others may send for as long as a graceful close takes.
const maxDiscarded = 256 << 10

// discard throws away what came in after the end, and says whether it was so
// much by now that nothing more is to be read.
func (c *Conn) discard(t Turn, n int) (enough bool) {
	if !c.abusive || !c.shut {
		return false
	}
	c.discarded += n
	return c.discarded > maxDiscarded
}

// Finish writes last, which may be nil, and closes the connection gracefully:
// once all is out the writing side is shut down, and what still comes in is
// thrown away until the client has closed, or Config.Linger is over. Nothing
// can be written after it, and no Request comes.
func (c *Conn) Finish(t Turn, last []byte) {
	if last != nil {
		c.Write(t, last)
	}
	c.finish(t)
}

func (c *Conn) finish(t Turn) { c.finishWith(t, ws.StatusNormalClosure) }

// finishWith is finish, with the WebSocket's closing code.
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
		return // writing it had consequences
	}
	// Its buffers stay until it is gone: this may be called from within
	// Request, whose bytes lie there.
	c.finishing, c.holding, c.waiter = true, false, nil
	c.end = c.l.now.Add(c.l.r.cfg.Linger)
	c.l.wheel.add(t, &c.tm, c.end)
	c.markDirty(t)
}

// shutdown ends the writing side once all is out, else later.
func (c *Conn) shutdown(t Turn) {
	if c.shut {
		return
	}
	if c.gc.OutboundBuffered() > 0 {
		c.l.fresh = append(c.l.fresh, c)
		return
	}
	c.shut = true
	if err := unix.Shutdown(c.gc.Fd(), unix.SHUT_WR); err != nil {
		c.l.r.log.Debug("shut down", "addr", c.addr, "err", err)
	}
}
