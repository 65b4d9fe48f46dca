package load

import (
	"sync/atomic"
	"time"

	"chatd/bench/report"
)

// maxSleep bounds how late the schedule notices that the run has stopped.
const maxSleep = 10 * time.Millisecond

// schedule is the schedule of an open loop. Messages are sent at fixed times
// whatever the server does, and latencies count from these times. So a server
// that stalls delays everything due meanwhile, and that shows. A closed loop
// would send less while the server is slow and hide it: Gil Tene calls that
// coordinated omission, and his wrk2 measures the same way. How late this
// program itself was is recorded separately.
type schedule struct {
	clock    Clock
	start    int64
	interval float64      // nanoseconds between two messages of all senders
	slots    int          // senders, which take turns
	lateness *Recorder    // of this program, for messages that were due and had room
	waited   atomic.Int64 // messages that had no room in the window when due
	missed   atomic.Int64 // messages that were due and never sent
}

func newSchedule(c Clock, rate float64, slots int, lateness *Recorder) *schedule {
	return &schedule{clock: c, start: c.Now(), interval: float64(time.Second) / rate, slots: slots, lateness: lateness}
}

// senderDue returns when message k of a sender is due. Both count from 0.
func (s *schedule) senderDue(slot int, k int64) int64 { return s.due(k*int64(s.slots) + int64(slot)) }

// due returns when message n of all senders is due.
func (s *schedule) due(n int64) int64 { return s.start + int64(float64(n)*s.interval) }

// recordSent records when a message was sent, when it was due, and since when the
// window has had room. Time that the message waited for room isn't counted as
// chatbench's own lateness.
func (s *schedule) recordSent(sent, due, room int64) {
	if room > due {
		s.waited.Add(1)
		due = room
	}
	s.lateness.Add([]int64{sent - due})
}

// countMissed counts the messages that are overdue: those that a sender should
// have sent by now, minus the k that it has sent.
func (s *schedule) countMissed(slot int, k int64) {
	now := s.clock.Now()
	if s.senderDue(slot, k) > now {
		return
	}
	all := int64(float64(now-s.start)/s.interval)/int64(s.slots) + 1
	s.missed.Add(max(all-k, 0))
}

// run calls send for each message when it is due, until count messages (0: no
// limit) or until stopped is set.
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

// addTo writes how late messages were, and why, into a report.
func (s *schedule) addTo(rep *report.Report, lateness *Metric) {
	rep.AddLatency(lateness.LatencyName, lateness.Total)
	if n := s.waited.Load(); n > 0 {
		rep.AddNote("%d messages had to wait for room in the window; their latencies include that time", n)
	}
	if n := s.missed.Load(); float64(n)*s.interval > float64(SampleInterval)/10 { // otherwise they were due just now
		rep.AddNote("%d due messages were never sent: the server can't keep up with --rate, so latencies would grow with the run", n)
	}
}
