package reactor

import (
	"context"
	"time"
)

// Turn is the right to touch the state of one loop. The reactor passes one to each
// callback. It is valid until the callback returns: never keep it, and never pass
// it to another goroutine. Always name it t. Then the job's Off, also named t, hides
// it inside a job, and code that needs a Turn doesn't compile there.
type Turn struct{ l *loop }

// Off is the right to block. It is a context, which functions that block take. A
// Turn is not a context, so a callback can't call such functions.
type Off struct{ context.Context }

// OffLoop returns an Off for a goroutine that never runs on a loop, such as
// main, a writer or a test. Never call it in a callback.
func OffLoop(ctx context.Context) Off { return Off{ctx} }

// Loop returns the index of the loop, from 0 to Reactor.Loops()-1. A handler can
// keep state per loop in a slice with this index, without a lock.
func (t Turn) Loop() int { return t.l.idx }

// Now returns the time at which the turn began.
func (t Turn) Now() time.Time { return t.l.now }

// Send sends body, as one frame, to a connection on any loop. On this loop, it calls
// Conn.Write. For another loop, the frame is handed over when the turn ends. If the
// connection has closed, Send drops the frame. It copies body and doesn't block.
func (t Turn) Send(p *ConnRef, body []byte) {
	to := p.c.l
	if to == t.l {
		p.c.Write(t, body)
	} else if !p.closed.Load() {
		t.l.outboxFor(t, to).send(p.c, body)
	}
}

// SendDroppable is Send for a frame that the client doesn't need; see
// Conn.WriteDroppable. It is also dropped if the loop's mailbox is over half full.
func (t Turn) SendDroppable(p *ConnRef, body []byte) {
	to := p.c.l
	switch {
	case to == t.l:
		p.c.WriteDroppable(t, body)
	case p.closed.Load():
	default:
		b := t.l.outboxFor(t, to)
		if to.mailboxHalfFull(len(b.arena) + b.posted + len(body)) {
			t.l.r.count.slowDropped.Inc()
			return
		}
		b.send(p.c, body)
		b.items[len(b.items)-1].droppable = true
	}
}

// Post runs fn on loop i, after everything that this turn has sent and posted there
// before. fn is handed over when the turn ends. On the turn's own loop, it runs after
// the next round of I/O. Post doesn't block.
func (t Turn) Post(i int, fn func(t Turn)) {
	t.l.outboxFor(t, t.l.r.loops[i]).post(fn, 0)
}

// PostDroppable posts droppable work that holds n bytes. It returns ErrBusy if the
// loop's mailbox would exceed half of Config.MaxMailbox; fn then never runs.
func (t Turn) PostDroppable(i, n int, fn func(t Turn)) error {
	to := t.l.r.loops[i]
	b := t.l.outboxFor(t, to)
	if to.mailboxHalfFull(len(b.arena) + b.posted + n) {
		return ErrBusy
	}
	b.post(fn, n)
	return nil
}

// After runs fn on this loop after d, rounded up to a tenth of a second. Call stop,
// with a Turn of the same loop, to cancel the timer; it does nothing once fn has
// run. Timers that are pending when the reactor stops never run.
func (t Turn) After(d time.Duration, fn func(t Turn)) (stop func(t Turn)) {
	tm := &timerOnLoop{fn: fn}
	t.l.timers.add(t, tm, t.l.now.Add(d))
	return func(t Turn) { t.l.timers.remove(t, tm) }
}
