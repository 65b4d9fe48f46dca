package load

import (
	"fmt"
	"time"
)

// MaxDuration bounds every measured time, so that a typo in a flag can't
// occupy the machine for a day.
const MaxDuration = 10 * time.Minute

// Config says how much traffic a generator makes, and for how long.
type Config struct {
	SenderCount int           // senders that share Count
	Window      int           // messages that each sender may have in flight
	Rate        float64       // open loop: messages per second of all senders together; 0: closed loop
	Size        int           // bytes of each text, at least StampSize
	Duration    time.Duration // measured time, unless Count is set
	Warmup      time.Duration // unmeasured time before that, unless Count is set
	Count       int64         // messages of all senders together; 0: Duration decides
	Patience    time.Duration // how long to wait for missing messages before they count as lost
}

// CheckWindow returns an error if the server allows fewer messages in flight
// than the senders would have.
func (c *Config) CheckWindow(window int64) error {
	if int64(c.Window) > window {
		return fmt.Errorf("--window %d is more than the server allows: %d", c.Window, window)
	}
	return nil
}
