package reactor

// waiterOnLoop is a pending WhenDrained.
type waiterOnLoop struct {
	n  int
	fn func(t Turn)
}

// WhenDrained runs fn once at most n bytes are waiting, but not before this turn's
// writes. A connection has one waiter: a new one replaces it. It is dropped when
// the connection closes or finishes.
func (c *Conn) WhenDrained(t Turn, n int, fn func(t Turn)) {
	if !c.reading(t) {
		return
	}
	c.waiter = &waiterOnLoop{n, fn}
	if !c.inWaiters {
		c.l.newWaiters = append(c.l.newWaiters, c)
	}
}

// checkDrained checks a connection that waits for its output to drain, and does
// what is due then. It returns true if the connection needs no more checks.
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
	// If fn waits again, WhenDrained has put the connection into newWaiters. If it
	// is in waiters, it must stay there instead.
	return c.waiter == nil || !c.inWaiters
}

// checkNewWaiters checks the connections that began to wait in this turn, now
// that it is known what the kernel has accepted.
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
