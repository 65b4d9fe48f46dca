package reactor

import "slices"

// maxRounds is how often the end of a turn may start over because what it did
// had consequences, before I/O gets its turn again.
const maxRounds = 4

func (l *loop) beginTurn(t Turn) {
	l.now = l.r.cfg.Now()
	l.inTurn = true
}

// endTurn ends a turn: what it set off is done, then handed over, then
// written, each connection once.
func (l *loop) endTurn(t Turn) {
	for round := 0; ; round++ {
		l.takeUp(t)
		l.blame(t)
		l.bury(t)
		if l.worked {
			l.worked = false
			l.call(t, nil, turnEnd, l.turnEnd)
		}
		l.handOver(t)
		l.flush(t)
		l.lag.relieve(t)
		l.checkFresh(t)
		if !l.worked && len(l.resumed)+len(l.abusive)+len(l.gone)+len(l.fresh)+len(l.outTo)+len(l.dirty) == 0 {
			break
		}
		if round == maxRounds {
			l.again(t)
			break
		}
	}
	if p := len(l.waiting) > 0; p != l.polling {
		l.polling = p
		l.r.ticker.faster(p)
	}
	l.n.flush(t, l.r.count)
	if b := int64(l.lag.bytes); b != l.waits.Load() {
		l.waits.Store(b)
	}
	l.inTurn = false
}

// takeUp goes on with connections whose held frames are wanted again. Those
// that ask once more meanwhile come in the next round.
func (l *loop) takeUp(t Turn) {
	n := len(l.resumed)
	for i := range n {
		l.resumed[i].takeUp(t)
	}
	l.resumed = slices.Delete(l.resumed, 0, n)
}

// blame tells the handler whom the reactor has kicked for abuse.
func (l *loop) blame(t Turn) {
	for i := 0; i < len(l.abusive); i++ {
		c := l.abusive[i]
		l.abusive[i] = nil
		l.call(t, c, "Abused", func(t Turn) { l.r.h.Abused(t, c) })
	}
	l.abusive = l.abusive[:0]
}

// bury tells the handler of connections that have ended.
func (l *loop) bury(t Turn) {
	for i := 0; i < len(l.gone); i++ {
		c := l.gone[i]
		l.gone[i] = nil
		l.worked = true
		l.call(t, nil, "Closed", func(t Turn) { l.r.h.Closed(t, c) })
		c.release(t)
	}
	l.gone = l.gone[:0]
}

// flush writes what connections have, each in one go.
func (l *loop) flush(t Turn) {
	for i := 0; i < len(l.dirty); i++ {
		c := l.dirty[i]
		l.dirty[i] = nil
		c.dirty = false
		c.flush(t)
	}
	l.dirty = l.dirty[:0]
}

// onTick turns the wheel and looks after those that wait for the kernel.
func (l *loop) onTick(t Turn) {
	l.wheel.advance(t, l.now, func(tm *timerOnLoop) {
		if tm.c != nil {
			tm.c.check(t)
		} else {
			l.call(t, nil, "timer", tm.fn)
		}
	})
	for i, c := range l.waiting {
		if c.checkWaiting(t) {
			c.polled = false
			l.waiting[i] = nil
		}
	}
	l.waiting = compact(l.waiting)
	l.lag.look(t)
}
