package reactor

// waiterOnLoop is a pending WhenDrained.
type waiterOnLoop struct {
	n  int
	fn func(t Turn)
}

// WhenDrained runs fn as soon as at most n bytes of output are unsent, but not before
// the end of this turn. A connection has one waiter: another call replaces fn. If the
// connection closes or finishes first, fn doesn't run.
func (c *Conn) WhenDrained(t Turn, n int, fn func(t Turn)) {
	if !c.reading(t) {
		return
	}
	c.waiter = &waiterOnLoop{n, fn}
	if !c.inWaiters {
		c.l.newWaiters = append(c.l.newWaiters, c)
	}
}

// checkDrained checks a connection that waits for its output to drain. If it has
// drained, it calls the waiter or shuts down the writing side. It returns true if
// the connection needs no more checks.
func (c *Conn) checkDrained(t Turn) bool {
	switch {
	case !c.open || c.shut:
		return true
	case c.finishing:
		if c.gc.OutboundBuffered() > 0 {
			return false
		}
		c.shutdown(t)
		return true
	case c.waiter == nil:
		return true
	case c.BytesUnsent(t) > c.waiter.n:
		return false
	}
	fn := c.waiter.fn
	c.waiter = nil
	c.l.call(t, c, "WhenDrained", fn)
	// If fn has called WhenDrained again, the connection needs more checks. If it
	// was in waiters, it stays there; otherwise it is in newWaiters now.
	return c.waiter == nil || !c.inWaiters
}

// checkNewWaiters checks the connections that began to wait in this turn. It runs
// after their output was written.
func (l *loop) checkNewWaiters(t Turn) {
	list := l.newWaiters
	l.newWaiters = nil
	for _, c := range list {
		if !c.checkDrained(t) && !c.inWaiters {
			c.inWaiters = true
			l.waiters = append(l.waiters, c)
		}
	}
	if l.newWaiters == nil {
		clear(list)
		l.newWaiters = list[:0]
	}
}

// compact removes the nils from a list and keeps the order.
func compact(list []*Conn) []*Conn {
	kept := list[:0]
	for _, c := range list {
		if c != nil {
			kept = append(kept, c)
		}
	}
	clear(list[len(kept):])
	return kept
}
