package reactor

import (
	"context"
	"errors"
	"time"
)

// Errors that the reactor returns; compare with errors.Is.
var (
	ErrStopped = errors.New("reactor: not running")
	ErrClosed  = errors.New("reactor: connection closed")
	ErrBusy    = errors.New("reactor: lane or mailbox full")
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
	to := p.c.l
	if to == t.l {
		p.c.Write(t, body)
	} else if !p.closed.Load() {
		t.l.outgoing(t, to).send(p.c, body)
	}
}

// Post runs fn on loop i, after all that this turn has sent and posted there
// before. It is handed over when the turn ends, for the own loop too, where it
// runs once I/O has had its turn. It doesn't block.
func (t Turn) Post(i int, fn func(t Turn)) {
	t.l.outgoing(t, t.l.r.loops[i]).post(fn, 0)
}

// PostSized is Post of what may be left out where too much is on its way: fn
// holds n bytes. ErrBusy: with them there would be more than half of
// Config.MaxMailbox on the way to that loop, and fn doesn't run.
func (t Turn) PostSized(i, n int, fn func(t Turn)) error {
	to := t.l.r.loops[i]
	b := t.l.outgoing(t, to)
	if to.crowded(len(b.arena) + b.posted + n) {
		return ErrBusy
	}
	b.post(fn, n)
	return nil
}

// After runs fn on this loop once d has passed, rounded up to a tenth of a
// second. stop takes it back; it needs a Turn of the same loop and does
// nothing once fn has run. Timers that wait when the reactor stops never run.
func (t Turn) After(d time.Duration, fn func(t Turn)) (stop func(t Turn)) {
	tm := &timerOnLoop{fn: fn}
	t.l.wheel.add(t, tm, t.l.now.Add(d))
	return func(t Turn) { t.l.wheel.remove(t, tm) }
}
