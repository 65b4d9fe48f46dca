package limit

import (
	"testing"
	"time"
)

// A rate of bytes allows two seconds' worth at once, however long the burst of the
// other limits is.
func TestBytesPerSecond(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		burst time.Duration
		holds int
	}{{time.Second, 1000}, {10 * time.Second, 2000}} {
		r := BytesPerSecond(1000, c.burst, now)
		var b Shared
		if wait := b.Take(&r, now, c.holds); wait != 0 {
			t.Errorf("with a burst of %v, %d bytes at once must wait %v, want no wait", c.burst, c.holds, wait)
		}
		if wait := b.Take(&r, now, 1); wait == 0 {
			t.Errorf("with a burst of %v, more than %d bytes at once are accepted", c.burst, c.holds)
		}
	}
}
