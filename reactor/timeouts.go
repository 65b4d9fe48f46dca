package reactor

import "time"

// busyRecheck is when a connection is checked again that is past its deadline
// but has a job in progress.
const busyRecheck = time.Second

// SetLoggedIn selects the timeout: the idle timeout if yes, otherwise the login
// timeout, which starts again.
func (c *Conn) SetLoggedIn(t Turn, yes bool) {
	if !c.open || c.loggedIn == yes {
		return
	}
	c.loggedIn = yes
	c.since = c.l.now
	c.l.timers.add(t, &c.timer, c.deadline(t))
}

// deadline returns when the connection times out.
func (c *Conn) deadline(t Turn) time.Time {
	switch {
	case c.finishing:
		return c.end
	case c.loggedIn:
		return c.lastSeen.Add(c.l.r.cfg.IdleTimeout)
	default:
		return c.since.Add(c.l.r.cfg.LoginTimeout)
	}
}

// onTimer runs at what was the deadline when the timer was set. Frames that
// arrived since then have moved the deadline; they don't move the timer, as that
// would be work for each frame.
func (c *Conn) onTimer(t Turn) {
	deadline := c.deadline(t)
	if !c.finishing && c.busy(t) {
		// The client waits for us.
		deadline = c.l.now.Add(busyRecheck)
	}
	switch {
	case !c.open:
	case c.l.now.Before(deadline):
		c.l.timers.add(t, &c.timer, deadline)
	case c.finishing:
		c.close(t)
	default:
		c.kick(t, kickIdle)
	}
}
