package reactor

import (
	"time"

	"chatd/proto"
)

// busyRecheck is when a connection that is due, but has a job of ours under
// way, is looked at again.
const busyRecheck = time.Second

// maxDiscarded is how many bytes are read and thrown away of one who was kicked
// for abuse and sends on though it was told so: more than it can have had on
// the way, as a rule. Others may send for as long as a graceful close takes.
const maxDiscarded = 256 << 10

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

// discard throws away what came in after the end, and says whether it was so
// much by now that nothing more is to be read.
func (c *Conn) discard(n int) (enough bool) {
	if !c.abusive || !c.shut {
		return false
	}
	c.discarded += n
	return c.discarded > maxDiscarded
}

// LoggedIn says which time-out holds: the idle time-out from yes on, else the
// login time-out, which begins anew.
func (c *Conn) LoggedIn(t Turn, yes bool) {
	if !c.open || c.loggedIn == yes {
		return
	}
	c.loggedIn = yes
	c.since = c.l.now
	c.l.wheel.add(&c.tm, c.due())
}

// due is when the connection has to be looked after.
func (c *Conn) due() time.Time {
	switch {
	case c.finishing:
		return c.end
	case c.loggedIn:
		return c.seen.Add(c.l.r.cfg.IdleTimeout)
	default:
		return c.since.Add(c.l.r.cfg.LoginTimeout)
	}
}

// check is the timer's: it runs at the time that was due when it was set,
// which frames have put off meanwhile.
func (c *Conn) check(t Turn) {
	due := c.due()
	if !c.finishing && c.busy() {
		// It waits for us, not we for it.
		due = c.l.now.Add(busyRecheck)
	}
	switch {
	case !c.open:
	case c.l.now.Before(due):
		c.l.wheel.add(&c.tm, due)
	case c.finishing:
		c.close(t)
	default:
		c.kick(t, idle)
	}
}
