package reactor

import "time"

// busyRecheck is how often a connection is checked that is past its deadline but
// has a job in progress.
const busyRecheck = time.Second

// SetLoggedIn selects the timeout: the idle timeout if yes is true, otherwise the
// login timeout, which starts again.
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

// onTimer runs at the deadline that held when the timer was set. If frames have
// moved the deadline since, onTimer sets the timer again. (Moving the timer for each
// frame would be expensive.)
func (c *Conn) onTimer(t Turn) {
	deadline := c.deadline(t)
	if !c.finishing && c.busy(t) {
		// The client is waiting for the job.
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
