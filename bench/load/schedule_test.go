package load

import (
	"testing"
	"time"
)

// Senders take turns, and the schedule counts messages that were due but not
// sent.
func TestSchedule(t *testing.T) {
	s := &schedule{clock: Clock{time.Now().Add(-time.Second)}, interval: 1e6, slots: 4}
	for _, c := range []struct {
		slot int
		k    int64
		at   int64
	}{{0, 0, 0}, {1, 0, 1e6}, {3, 0, 3e6}, {0, 1, 4e6}, {2, 10, 42e6}} {
		if got := s.senderDue(c.slot, c.k); got != c.at {
			t.Errorf("message %d of sender %d is due at %d, want %d", c.k, c.slot, got, c.at)
		}
	}
	s.countMissed(0, 1e6) // far ahead
	if n := s.missed.Load(); n != 0 {
		t.Errorf("%d messages missed, want none", n)
	}
	s.countMissed(0, 240) // of 250 or more
	if n := s.missed.Load(); n < 10 {
		t.Errorf("%d messages missed, want at least 10", n)
	}
}
