package reactor

import (
	"chatd/proto"
)

// kickReason is why the reactor itself ends a connection.
type kickReason int

const (
	idle kickReason = iota
	slow
	slowAll
	heldTooMuch
	heldByAll
	badFrames
	tooFast
	kickReasons
)

var kickTexts = [kickReasons]struct{ counter, reason, text string }{
	idle:        {"idle", proto.Idle, "nothing came for too long"},
	slow:        {"slow", proto.Slow, "too much waits to be read"},
	slowAll:     {"slow_all", proto.Slow, "too much waits to be read by all, most of it by this one"},
	heldTooMuch: {"held", proto.Abuse, "too much was sent ahead"},
	heldByAll:   {"held_all", proto.Slow, "the server holds back too much for all; try again later"}, // no abuse: clients come back
	badFrames:   {"bad_frames", proto.Abuse, "too many bad frames in a row"},
	tooFast:     {"too_fast", proto.Abuse, "too fast, and told so again and again"},
}

// kick tells the client why, and ends the connection.
func (c *Conn) kick(t Turn, why kickReason) {
	if !c.open || c.finishing {
		return
	}
	c.l.r.count.kicks[why].Inc()
	text := &kickTexts[why]
	c.WriteResponse(t, &proto.Response{Op: proto.KICK, Reason: text.reason, ErrMsg: text.text})
	c.finish(t)
	if text.reason == proto.Abuse {
		c.abusive = true
		c.l.abusive = append(c.l.abusive, c)
	}
}
