package reactor

import "chatd/proto"

// kickReason is the reason for which the reactor ends a connection.
type kickReason int

const (
	kickIdle kickReason = iota
	kickSlow
	kickSlowAll
	kickHeld
	kickHeldAll
	kickBadFrames
	kickTooFast
	kickReasons
)

// kickTexts has, for each reason, the label of its counter, and the reason and
// text of the KICK.
var kickTexts = [kickReasons]struct{ counter, reason, text string }{
	kickIdle:      {"idle", proto.Idle, "idle for too long"},
	kickSlow:      {"slow", proto.Slow, "reading too slowly"},
	kickSlowAll:   {"slow_all", proto.Slow, "server overloaded, and this connection reads too slowly"},
	kickHeld:      {"held", proto.Abuse, "too many requests sent without waiting for answers"},
	kickHeldAll:   {"held_all", proto.Slow, "server overloaded; try again later"}, // not abuse, so that clients reconnect
	kickBadFrames: {"bad_frames", proto.Abuse, "too many bad frames in a row"},
	kickTooFast:   {"too_fast", proto.Abuse, "rate limit ignored too often"},
}

// kick sends KICK with the reason, and closes the connection gracefully.
func (c *Conn) kick(t Turn, why kickReason) {
	if !c.open || c.finishing {
		return
	}
	c.l.r.count.kicks[why].Inc()
	text := &kickTexts[why]
	c.WriteResponse(t, &proto.Response{Op: proto.KICK, Reason: text.reason, ErrMsg: text.text})
	c.finish(t)
	if text.reason == proto.Abuse {
		c.wasAbusive = true
		c.l.abusers = append(c.l.abusers, c)
	}
}
