package main

import (
	"sync/atomic"
	"time"
)

// maxNap is how late at most pace sees that the load has stopped.
const maxNap = 10 * time.Millisecond

// pace is the schedule of an open loop. Messages go out at their times whatever
// the server does, and their latencies count from these times: a server that
// stalls delays what is due meanwhile, and it shows. (A loop that waits for the
// server before it sends, and counts from the sending, asks only when the
// server is well: what Gil Tene calls coordinated omission. His wrk2 counts as
// is done here.) How late this program itself was is counted apart.
type pace struct {
	clock  clock
	start  int64
	every  float64      // nanoseconds between two messages of all
	slots  int          // voices, who take turns
	behind *meter       // this program, in sending what was due and had room
	held   atomic.Int64 // messages that the window had no room for at their times
	left   atomic.Int64 // messages that were due and never sent
}

func newPace(c clock, rate float64, slots int, behind *meter) *pace {
	return &pace{clock: c, start: c.now(), every: float64(time.Second) / rate, slots: slots, behind: behind}
}

// at is when message k of a voice, counted from 0, is due.
func (p *pace) at(slot int, k int64) int64 { return p.due(k*int64(p.slots) + int64(slot)) }

// due is when message n of all is.
func (p *pace) due(n int64) int64 { return p.start + int64(float64(n)*p.every) }

// sent counts a message that was due at a time, and had no room before another.
func (p *pace) sent(now, at, room int64) {
	if room > at {
		p.held.Add(1)
		at = room
	}
	p.behind.add([]int64{now - at})
}

// unsent counts what a voice that has sent k messages should have sent by now.
func (p *pace) unsent(slot int, k int64) {
	now := p.clock.now()
	if p.at(slot, k) > now {
		return
	}
	all := int64(float64(now-p.start)/p.every)/int64(p.slots) + 1
	p.left.Add(max(all-k, 0))
}

// keep calls send for each message when it is due, counted from 0, for count
// of them (0: without an end) or until stopped says so.
func (p *pace) keep(count int64, stopped *atomic.Bool, send func(n int64) error) error {
	defer preciseNaps()()
	for n := int64(0); count == 0 || n < count; n++ {
		for {
			if stopped.Load() {
				return nil
			}
			wait := time.Duration(p.due(n) - p.clock.now())
			if wait <= 0 {
				break
			}
			nap(min(wait, maxNap))
		}
		if err := send(n); err != nil {
			return err
		}
	}
	return nil
}

// report says how well the schedule was kept, and by whom it wasn't.
func (p *pace) report(rep *report, behind *gauge) {
	rep.latency(behind.delay, behind.total)
	if n := p.held.Load(); n > 0 {
		rep.note("%d messages had to wait for room in the window: latencies hold that time", n)
	}
	if n := p.left.Load(); float64(n)*p.every > float64(tickEvery)/10 { // else they were just about to be
		rep.note("%d messages were due and never sent: the server takes fewer than --rate, and latencies would grow with the run", n)
	}
}
