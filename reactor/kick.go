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
	kickIdle:      {"idle", proto.Idle, "idle timeout: log in soon after connecting, and send PING when idle"},
	kickSlow:      {"slow", proto.Slow, "too many unread bytes are queued for this connection; reconnect"},
	kickSlowAll:   {"slow_all", proto.Slow, "the server is out of buffer space, and this connection reads too slowly; reconnect"},
	kickHeld:      {"held", proto.Abuse, "too many bytes sent without waiting for answers"},
	kickHeldAll:   {"held_all", proto.Slow, "the server is out of buffer space for waiting requests; try again later"}, // not abuse, so that clients reconnect
	kickBadFrames: {"bad_frames", proto.Abuse, "too many invalid frames in a row"},
	kickTooFast:   {"too_fast", proto.Abuse, "rate limit ignored: frames sent before retry_after_ms had passed"},
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
