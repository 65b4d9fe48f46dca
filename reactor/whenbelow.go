package reactor

// waiterOnLoop is what WhenBelow left.
type waiterOnLoop struct {
	n  int
	fn func(t Turn)
}

// WhenBelow runs fn once at most n bytes wait: at the earliest after this
// turn's writes. There is one waiter per connection, the latest; it is dropped
// when the connection closes or finishes.
func (c *Conn) WhenBelow(t Turn, n int, fn func(t Turn)) {
	if !c.reading(t) {
		return
	}
	c.waiter = &waiterOnLoop{n, fn}
	if !c.polled {
		c.l.fresh = append(c.l.fresh, c)
	}
}

// checkWaiting looks whether what the connection waits for has come; true: it
// need not be looked at again.
func (c *Conn) checkWaiting(t Turn) bool {
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
	case c.Waiting(t) > c.waiter.n:
		return false
	}
	fn := c.waiter.fn
	c.waiter = nil
	c.l.call(t, c, "WhenBelow", fn)
	// fn may wait again, and is looked at in the next round.
	return c.waiter == nil || !c.polled
}

// checkFresh looks at those that began to wait in this turn, now that it is
// known what the kernel took.
func (l *loop) checkFresh(t Turn) {
	fresh := l.fresh
	l.fresh = nil
	for _, c := range fresh {
		if !c.checkWaiting(t) && !c.polled {
			c.polled = true
			l.waiting = append(l.waiting, c)
		}
	}
	if l.fresh == nil {
		clear(fresh)
		l.fresh = fresh[:0]
	}
}

// compact takes the nils out of a list and keeps the order.
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
