package load

import (
	"sync/atomic"
	"time"

	"chatd/bench/report"
)

// maxSleep is how late at most pace sees that the load has stopped.
const maxSleep = 10 * time.Millisecond

// schedule is the schedule of an open loop. Messages go out at their times whatever
// the server does, and their latencies count from these times: a server that
// stalls delays what is due meanwhile, and it shows. (A loop that waits for the
// server before it sends, and counts from the sending, asks only when the
// server is well: what Gil Tene calls coordinated omission. His wrk2 counts as
// is done here.) How late this program itself was is counted apart.
type schedule struct {
	clock    Clock
	start    int64
	interval float64      // nanoseconds between two messages of all
	slots    int          // voices, who take turns
	lateness *Recorder    // this program, in sending what was due and had room
	waited   atomic.Int64 // messages that the window had no room for at their times
	missed   atomic.Int64 // messages that were due and never sent
}

func newSchedule(c Clock, rate float64, slots int, behind *Recorder) *schedule {
	return &schedule{clock: c, start: c.Now(), interval: float64(time.Second) / rate, slots: slots, lateness: behind}
}

// senderDue is when message k of a voice, counted from 0, is due.
func (s *schedule) senderDue(slot int, k int64) int64 { return s.due(k*int64(s.slots) + int64(slot)) }

// due is when message n of all is.
func (s *schedule) due(n int64) int64 { return s.start + int64(float64(n)*s.interval) }

// recordSent counts a message that was due at a time, and had no room before another.
func (s *schedule) recordSent(now, at, room int64) {
	if room > at {
		s.waited.Add(1)
		at = room
	}
	s.lateness.Add([]int64{now - at})
}

// countMissed counts what a voice that has sent k messages should have sent by now.
func (s *schedule) countMissed(slot int, k int64) {
	now := s.clock.Now()
	if s.senderDue(slot, k) > now {
		return
	}
	all := int64(float64(now-s.start)/s.interval)/int64(s.slots) + 1
	s.missed.Add(max(all-k, 0))
}

// run calls send for each message when it is due, counted from 0, for count
// of them (0: without an end) or until stopped says so.
func (s *schedule) run(count int64, stopped *atomic.Bool, send func(n int64) error) error {
	defer preciseSleeps()()
	for n := int64(0); count == 0 || n < count; n++ {
		for {
			if stopped.Load() {
				return nil
			}
			wait := time.Duration(s.due(n) - s.clock.Now())
			if wait <= 0 {
				break
			}
			sleepPrecisely(min(wait, maxSleep))
		}
		if err := send(n); err != nil {
			return err
		}
	}
	return nil
}

// addTo says how well the schedule was kept, and by whom it wasn't.
func (s *schedule) addTo(rep *report.Report, behind *Metric) {
	rep.AddLatency(behind.LatencyName, behind.Total)
	if n := s.waited.Load(); n > 0 {
		rep.AddNote("%d messages had to wait for room in the window: latencies hold that time", n)
	}
	if n := s.missed.Load(); float64(n)*s.interval > float64(SampleInterval)/10 { // else they were just about to be
		rep.AddNote("%d messages were due and never sent: the server takes fewer than --rate, and latencies would grow with the run", n)
	}
}
