package reactor

import "slices"

// maxRounds is how often endTurn may start over because of new work, before the
// loop returns to I/O.
const maxRounds = 4

func (l *loop) beginTurn(t Turn) {
	l.now = l.r.cfg.Now()
	l.inTurn = true
}

// endTurn finishes a turn. It calls the handler, hands over the outbox, and writes
// to each connection once. If that leads to new work, it starts over.
func (l *loop) endTurn(t Turn) {
	for round := 0; ; round++ {
		l.resumeConns(t)
		l.callAbused(t)
		l.callClosed(t)
		if l.handlerRan {
			l.handlerRan = false
			l.call(t, nil, turnEnd, l.turnEnd)
		}
		l.sendOutbox(t)
		l.flush(t)
		l.unsent.enforce(t)
		l.checkNewWaiters(t)
		if !l.handlerRan && len(l.resumed)+len(l.abusers)+len(l.closed)+len(l.newWaiters)+len(l.outboxTo)+len(l.dirty) == 0 {
			break
		}
		if round == maxRounds {
			l.wakeSelf(t)
			break
		}
	}
	if fast := len(l.waiters) > 0; fast != l.fastTicks {
		l.fastTicks = fast
		l.r.ticker.setFast(fast)
	}
	l.counts.flush(t, l.r.count)
	if b := int64(l.unsent.bytes); b != l.unsentBytes.Load() {
		l.unsentBytes.Store(b)
	}
	l.inTurn = false
}

// resumeConns handles the held frames of resumed connections. If Resume is called
// for a connection meanwhile, it is handled in the next round.
func (l *loop) resumeConns(t Turn) {
	n := len(l.resumed)
	for i := range n {
		l.resumed[i].handleHeld(t)
	}
	l.resumed = slices.Delete(l.resumed, 0, n)
}

func (l *loop) callAbused(t Turn) {
	for i := 0; i < len(l.abusers); i++ { // calls may append
		c := l.abusers[i]
		l.abusers[i] = nil
		l.call(t, c, "KickedForAbuse", func(t Turn) { l.r.h.KickedForAbuse(t, c) })
	}
	l.abusers = l.abusers[:0]
}

func (l *loop) callClosed(t Turn) {
	for i := 0; i < len(l.closed); i++ { // calls may append
		c := l.closed[i]
		l.closed[i] = nil
		l.call(t, nil, "Closed", func(t Turn) { l.r.h.Closed(t, c) })
		c.release(t)
	}
	l.closed = l.closed[:0]
}

// flush writes the output of each connection.
func (l *loop) flush(t Turn) {
	for i := 0; i < len(l.dirty); i++ { // writing may append
		c := l.dirty[i]
		l.dirty[i] = nil
		c.dirty = false
		c.flush(t)
	}
	l.dirty = l.dirty[:0]
}

// onTick runs the timers that are due and checks connections whose output
// drains slowly.
func (l *loop) onTick(t Turn) {
	l.timers.advance(t, l.now, func(tm *timerOnLoop) {
		if tm.c != nil {
			tm.c.onTimer(t)
		} else {
			l.call(t, nil, "timer", tm.fn)
		}
	})
	for i, c := range l.waiters {
		if c.checkDrained(t) {
			c.inWaiters = false
			l.waiters[i] = nil
		}
	}
	l.waiters = compact(l.waiters)
	l.unsent.recount(t)
}
