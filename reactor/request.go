package reactor

import "chatd/proto"

// frame takes the body of a frame.
func (c *Conn) frame(t Turn, body []byte) {
	c.l.n.framesIn++
	c.seen = c.l.now
	if c.holding {
		c.hold(t, body)
	} else if !c.take(t, body) {
		c.keep(t, body)
	}
}

// take decodes and handles a frame; false: it is to be held.
func (c *Conn) take(t Turn, body []byte) bool {
	l := c.l
	r, err := l.dec.Decode(body)
	c.size = len(body)
	if err != nil {
		if _, wait := c.Charge(t); wait > 0 {
			c.slowDown(t, r, wait)
		} else {
			c.refuse(t, r, err)
		}
		return true
	}
	c.badRow = 0
	switch {
	case r.Op == proto.PING:
		c.ping(t, r)
	case r.Op == proto.PONG:
		c.Charge(t)
	case l.r.draining.Load():
		// Not taken, and never answered: the client sends it elsewhere.
	default:
		c.taking = true
		taken := l.request(t, c, r)
		c.taking = false
		if !taken && c.reading(t) {
			c.holding = true
			if c.wantsMore {
				c.wantsMore = false
				c.Resume(t)
			}
			return false
		}
		c.wantsMore = false
	}
	return true
}

// ping answers a PING. It is answered at once even where others are held, and
// so is charged here.
func (c *Conn) ping(t Turn, r *proto.Request) {
	if _, wait := c.Charge(t); wait > 0 {
		c.slowDown(t, r, wait)
		return
	}
	c.WriteResponse(t, &proto.Response{Op: proto.PONG, RID: r.RID, Fields: r.Fields & (1 << proto.FRID)})
}

// refuse answers what the decoder didn't take.
func (c *Conn) refuse(t Turn, r *proto.Request, err *proto.Error) {
	c.l.r.count.badFrames.Inc()
	c.WriteResponse(t, &proto.Response{Op: proto.ERROR, Errno: err.Errno, ErrMsg: err.Message,
		RID: r.RID, Fields: r.Fields & (1 << proto.FRID)})
	if err.Errno == proto.UnknownOp {
		return
	}
	if c.badRow++; c.badRow >= c.l.r.cfg.MaxBadFrames {
		c.kick(t, badFrames)
	}
}
