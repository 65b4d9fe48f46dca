package reactor

import "time"

// busyRecheck is when a connection that is due, but has a job of ours under
// way, is looked at again.
const busyRecheck = time.Second

// LoggedIn says which time-out holds: the idle time-out from yes on, else the
// login time-out, which begins anew.
func (c *Conn) LoggedIn(t Turn, yes bool) {
	if !c.open || c.loggedIn == yes {
		return
	}
	c.loggedIn = yes
	c.since = c.l.now
	c.l.wheel.add(t, &c.tm, c.due(t))
}

// due is when the connection has to be looked after.
func (c *Conn) due(t Turn) time.Time {
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
	due := c.due(t)
	if !c.finishing && c.busy(t) {
		// It waits for us, not we for it.
		due = c.l.now.Add(busyRecheck)
	}
	switch {
	case !c.open:
	case c.l.now.Before(due):
		c.l.wheel.add(t, &c.tm, due)
	case c.finishing:
		c.close(t)
	default:
		c.kick(t, idle)
	}
}
