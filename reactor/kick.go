package reactor

import "chatd/proto"

// kickReason is why the reactor itself ends a connection.
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

// kickTexts has for each reason the label of its counter, and the reason and
// the text of the KICK.
var kickTexts = [kickReasons]struct{ counter, reason, text string }{
	kickIdle:      {"idle", proto.Idle, "nothing came for too long"},
	kickSlow:      {"slow", proto.Slow, "too much waits to be read"},
	kickSlowAll:   {"slow_all", proto.Slow, "too much waits to be read by all, most of it by this one"},
	kickHeld:      {"held", proto.Abuse, "too much was sent ahead"},
	kickHeldAll:   {"held_all", proto.Slow, "the server holds back too much for all; try again later"}, // not abuse, so that clients reconnect
	kickBadFrames: {"bad_frames", proto.Abuse, "too many bad frames in a row"},
	kickTooFast:   {"too_fast", proto.Abuse, "too fast, and told so again and again"},
}

// kick tells the client why, and closes the connection gracefully.
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
