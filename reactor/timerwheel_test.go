package reactor

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// With any sequence of adding, moving and removing timers, each timer runs once, never
// early, and on the first tick after its time. That holds across rotations of the wheel
// and after long delays.
func TestTimerWheel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w timerWheelOnLoop
		start := time.Unix(1_000_000, 0)
		newTimerWheel(&w, start)
		now := start
		timers := make([]*timerOnLoop, 20)
		due := map[*timerOnLoop]time.Time{}
		for i := range timers {
			timers[i] = &timerOnLoop{}
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			tm := rapid.SampledFrom(timers).Draw(t, "timer")
			d := time.Duration(rapid.IntRange(0, 300_000).Draw(t, "ms")) * time.Millisecond
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1:
				w.add(Turn{}, tm, now.Add(d))
				due[tm] = now.Add(d)
			case 2:
				w.remove(Turn{}, tm)
				delete(due, tm)
			case 3:
				now = now.Add(d / 3)
				w.advance(Turn{}, now, func(tm *timerOnLoop) {
					at, ok := due[tm]
					if !ok {
						t.Fatal("a timer ran twice or after its removal, want once")
					}
					if now.Before(at) {
						t.Fatalf("a timer ran %v early, want never early", at.Sub(now))
					}
					delete(due, tm)
					if d%2 == 0 { // a timer may add and remove timers
						w.add(Turn{}, tm, now.Add(d))
						due[tm] = now.Add(d)
						other := timers[int(d/time.Millisecond)%len(timers)]
						w.remove(Turn{}, other)
						delete(due, other)
					}
				})
				for _, at := range due {
					if now.Sub(at) > 2*timerTick {
						t.Fatalf("a timer is %v late, want at most %v", now.Sub(at), 2*timerTick)
					}
				}
			}
		}
	})
}
