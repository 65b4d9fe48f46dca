package reactor

import "chatd/proto"

// receive handles or holds the body of a frame.
func (c *Conn) receive(t Turn, body []byte) {
	c.l.counts.framesIn++
	c.lastSeen = c.l.now
	if c.holding {
		c.receiveWhileHolding(t, body)
	} else if !c.handle(t, body) {
		c.hold(t, body)
	}
}

// handle decodes a frame and passes it to the handler. It returns false if the
// frame must be held.
func (c *Conn) handle(t Turn, body []byte) bool {
	l := c.l
	r, err := l.decoder.Decode(body)
	c.size = len(body)
	if err != nil {
		if _, wait := c.Charge(t); wait > 0 {
			c.writeSlowDown(t, r, wait)
		} else {
			c.refuseBadFrame(t, r, err)
		}
		return true
	}
	c.badFramesRow = 0
	switch {
	case r.Op == proto.PING:
		c.answerPing(t, r)
	case r.Op == proto.PONG:
		c.Charge(t)
	case l.r.draining.Load():
		// Dropped without an answer: the client resends it to another node.
	default:
		c.inRequest = true
		taken := l.callRequest(t, c, r)
		c.inRequest = false
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

// answerPing charges and answers a PING, even while other frames are held.
func (c *Conn) answerPing(t Turn, r *proto.Request) {
	if _, wait := c.Charge(t); wait > 0 {
		c.writeSlowDown(t, r, wait)
		return
	}
	c.WriteResponse(t, &proto.Response{Op: proto.PONG, RID: r.RID, Fields: r.Fields & (1 << proto.FRID)})
}

// refuseBadFrame answers a frame that can't be decoded. Config.MaxBadFrames in a row
// end the connection. Unknown ops don't count, as newer clients may send them.
func (c *Conn) refuseBadFrame(t Turn, r *proto.Request, err *proto.Error) {
	c.l.r.count.badFrames.Inc()
	c.WriteResponse(t, &proto.Response{Op: proto.ERROR, Errno: err.Errno, ErrMsg: err.Message,
		RID: r.RID, Fields: r.Fields & (1 << proto.FRID)})
	if err.Errno == proto.UnknownOp {
		return
	}
	if c.badFramesRow++; c.badFramesRow >= c.l.r.cfg.MaxBadFrames {
		c.kick(t, kickBadFrames)
	}
}
