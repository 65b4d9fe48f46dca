package reactor

import "time"

// The wheel's grain: what runs on it may be up to wheelTick late.
const (
	wheelTick  = 100 * time.Millisecond
	wheelSlots = 1024 // a power of two. What is due later goes round again
)

// timer is an entry of a wheel: a connection to look after, or a function. It
// is in at most one list.
type timer struct {
	prev, next *timer
	tick       int64 // when it is due
	c          *Conn
	fn         func(t Turn)
}

// wheel keeps the timers of one loop. Adding and removing cost nothing worth
// mentioning; only a loop uses it.
type wheel struct {
	start time.Time
	now   int64 // the last tick that was dealt with
	slots [wheelSlots]timer
}

func (w *wheel) init(now time.Time) {
	w.start = now
	for i := range w.slots {
		s := &w.slots[i]
		s.prev, s.next = s, s
	}
}

// add has tm run at the given time or the next tick, whichever is later. A
// timer that is in the wheel already is moved.
func (w *wheel) add(tm *timer, at time.Time) {
	w.remove(tm)
	tm.tick = max(int64((at.Sub(w.start)+wheelTick-1)/wheelTick), w.now+1)
	w.link(tm)
}

func (w *wheel) link(tm *timer) {
	s := &w.slots[tm.tick%wheelSlots]
	tm.prev, tm.next = s.prev, s
	s.prev.next, s.prev = tm, tm
}

// remove takes tm out; nothing happens if it isn't in.
func (w *wheel) remove(tm *timer) {
	if tm.next == nil {
		return
	}
	tm.prev.next, tm.next.prev = tm.next, tm.prev
	tm.prev, tm.next = nil, nil
}

// advance takes out what is due and calls run for each. run may add and
// remove timers.
func (w *wheel) advance(now time.Time, run func(tm *timer)) {
	to := int64(now.Sub(w.start) / wheelTick)
	// After a long pause one round looks at every slot.
	from := max(w.now+1, to-wheelSlots+1)
	w.now = max(w.now, to)
	for tick := from; tick <= to; tick++ {
		s := &w.slots[tick%wheelSlots]
		// The slot's list is cut off first: what comes back in goes round
		// again, and what run removes must not break the walk.
		var due timer
		if s.next == s {
			continue
		}
		due.next, due.prev = s.next, s.prev
		due.next.prev, due.prev.next = &due, &due
		s.next, s.prev = s, s
		for due.next != &due {
			tm := due.next
			w.remove(tm)
			if tm.tick > to {
				w.link(tm)
			} else {
				run(tm)
			}
		}
	}
}
