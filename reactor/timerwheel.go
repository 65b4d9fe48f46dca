package reactor

import "time"

const (
	timerTick  = 100 * time.Millisecond // resolution: a timer may run this late
	timerSlots = 1024                   // a power of two; later timers take several rotations
)

// timerOnLoop is an entry of a timer wheel: a connection to check, or a
// function to run. It is in at most one list.
type timerOnLoop struct {
	prev, next *timerOnLoop
	tick       int64 // when it is due
	c          *Conn
	fn         func(t Turn)
}

// timerWheelOnLoop holds the timers of a loop. It is a hashed timing wheel: adding
// and removing a timer takes constant time and doesn't allocate.
type timerWheelOnLoop struct {
	start time.Time
	now   int64 // the last tick that has run
	slots [timerSlots]timerOnLoop
}

// newTimerWheel initializes w as an empty wheel.
func newTimerWheel(w *timerWheelOnLoop, now time.Time) {
	w.start = now
	for i := range w.slots {
		s := &w.slots[i]
		s.prev, s.next = s, s
	}
}

// add makes tm run at the given time or at the next tick, whichever is later.
// If tm is in the wheel already, it is moved.
func (w *timerWheelOnLoop) add(t Turn, tm *timerOnLoop, at time.Time) {
	w.remove(t, tm)
	tm.tick = max(int64((at.Sub(w.start)+timerTick-1)/timerTick), w.now+1)
	w.link(t, tm)
}

func (w *timerWheelOnLoop) link(t Turn, tm *timerOnLoop) {
	s := &w.slots[tm.tick%timerSlots]
	tm.prev, tm.next = s.prev, s
	s.prev.next, s.prev = tm, tm
}

// remove removes tm. It does nothing if tm isn't in the wheel.
func (w *timerWheelOnLoop) remove(t Turn, tm *timerOnLoop) {
	if tm.next == nil {
		return
	}
	tm.prev.next, tm.next.prev = tm.next, tm.prev
	tm.prev, tm.next = nil, nil
}

// advance removes the timers that are due and calls run for each. run may add and
// remove timers.
func (w *timerWheelOnLoop) advance(t Turn, now time.Time, run func(tm *timerOnLoop)) {
	to := int64(now.Sub(w.start) / timerTick)
	// After a long delay one round looks at every slot.
	from := max(w.now+1, to-timerSlots+1)
	w.now = max(w.now, to)
	for tick := from; tick <= to; tick++ {
		s := &w.slots[tick%timerSlots]
		if s.next == s {
			continue
		}
		// Detach the slot's list first: timers that are linked again must not be
		// visited twice, and run may remove any of them.
		var due timerOnLoop
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
