package load

import "testing"

// NoisyCounters counts only while Counting is set.
func TestNoisyCounters(t *testing.T) {
	c := &NoisyCounters{}
	c.add(&c.Sent, 1)
	c.Counting.Store(true)
	c.add(&c.Sent, 2)
	if n := c.Sent.Load(); n != 2 {
		t.Errorf("%d messages counted, want the 2 sent while counting", n)
	}
}
