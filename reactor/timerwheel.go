package reactor

import "time"

// The wheel's grain: what runs on it may be up to wheelTick late.
const (
	wheelTick  = 100 * time.Millisecond
	wheelSlots = 1024 // a power of two. What is due later goes round again
)

// timerOnLoop is an entry of a wheel: a connection to look after, or a function. It
// is in at most one list.
type timerOnLoop struct {
	prev, next *timerOnLoop
	tick       int64 // when it is due
	c          *Conn
	fn         func(t Turn)
}

// wheelOnLoop keeps the timers of one loop. Adding and removing cost nothing worth
// mentioning; only a loop uses it.
type wheelOnLoop struct {
	start time.Time
	now   int64 // the last tick that was dealt with
	slots [wheelSlots]timerOnLoop
}

// newWheel makes w an empty wheel.
func newWheel(w *wheelOnLoop, now time.Time) {
	w.start = now
	for i := range w.slots {
		s := &w.slots[i]
		s.prev, s.next = s, s
	}
}

// add has tm run at the given time or the next tick, whichever is later. A
// timer that is in the wheel already is moved.
func (w *wheelOnLoop) add(t Turn, tm *timerOnLoop, at time.Time) {
	w.remove(t, tm)
	tm.tick = max(int64((at.Sub(w.start)+wheelTick-1)/wheelTick), w.now+1)
	w.link(t, tm)
}

func (w *wheelOnLoop) link(t Turn, tm *timerOnLoop) {
	s := &w.slots[tm.tick%wheelSlots]
	tm.prev, tm.next = s.prev, s
	s.prev.next, s.prev = tm, tm
}

// remove takes tm out; nothing happens if it isn't in.
func (w *wheelOnLoop) remove(t Turn, tm *timerOnLoop) {
	if tm.next == nil {
		return
	}
	tm.prev.next, tm.next.prev = tm.next, tm.prev
	tm.prev, tm.next = nil, nil
}

// advance takes out what is due and calls run for each. run may add and
// remove timers.
func (w *wheelOnLoop) advance(t Turn, now time.Time, run func(tm *timerOnLoop)) {
	to := int64(now.Sub(w.start) / wheelTick)
	// After a long pause one round looks at every slot.
	from := max(w.now+1, to-wheelSlots+1)
	w.now = max(w.now, to)
	for tick := from; tick <= to; tick++ {
		s := &w.slots[tick%wheelSlots]
		// The slot's list is cut off first: what comes back in goes round
		// again, and what run removes must not break the walk.
		var due timerOnLoop
		if s.next == s {
			continue
		}
		due.next, due.prev = s.next, s.prev
		due.next.prev, due.prev.next = &due, &due
		s.next, s.prev = s, s
		for due.next != &due {
			tm := due.next
			w.remove(t, tm)
			if tm.tick > to {
				w.link(t, tm)
			} else {
				run(tm)
			}
		}
	}
}
