package reactor

import (
	"context"
	"errors"
	"time"
)

// Errors that the reactor returns; compare with errors.Is.
var (
	ErrStopped = errors.New("reactor: stopped")
	ErrClosed  = errors.New("reactor: connection closed")
	ErrBusy    = errors.New("reactor: lane full")
)

// Turn is the right to touch the state of one loop. The reactor passes it to
// each callback; it holds until that callback returns and must not be kept or
// handed to another goroutine. Always name it t: then, inside a job, the job's
// Off shadows it, and what needs a Turn doesn't compile there.
type Turn struct{ l *loop }

// Off is the right to block, and nothing else. A Turn is no context, so what
// asks for one can't be called on a loop by mistake.
type Off struct{ context.Context }

// OffLoop makes an Off for a goroutine that never was on a loop: main,
// writers, tests. To call it in a callback defeats its purpose.
func OffLoop(ctx context.Context) Off { return Off{ctx} }

// Loop is the index of the loop, below Reactor.Loops: what a handler keeps per
// loop stands in a slice by it and needs no lock.
func (t Turn) Loop() int { return t.l.idx }

// Now is the time at which the turn began.
func (t Turn) Now() time.Time { return t.l.now }

// Send passes body to the connection of p, which may be on any loop: on this
// one it is written as by Conn.Write, for another it is gathered and handed
// over when the turn ends. Nothing happens if the connection has closed. body
// is copied. It doesn't block.
func (t Turn) Send(p *Peer, body []byte) {
	l := t.l
	if p.c.l == l {
		p.c.Write(t, body)
		return
	}
	if !p.closed.Load() {
		l.outgoing(p.c.l).send(p.c, body)
	}
}

// Post runs fn on loop i, after all that this turn has sent and posted there
// before. It is handed over when the turn ends, for the own loop as well. It
// doesn't block.
func (t Turn) Post(i int, fn func(t Turn)) {
	t.l.outgoing(t.l.r.loops[i]).post(fn)
}

// After runs fn on this loop once d has passed, rounded up to a tenth of a
// second. stop takes it back; it needs a Turn of the same loop, and does
// nothing once fn has run. Timers that wait when the reactor stops never run.
func (t Turn) After(d time.Duration, fn func(t Turn)) (stop func(t Turn)) {
	l := t.l
	tm := &timer{fn: fn}
	l.wheel.add(tm, l.now.Add(d))
	return func(t Turn) { t.l.wheel.remove(tm) }
}
