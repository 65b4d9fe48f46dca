package main

import (
	"fmt"
	"time"
)

// maxDuration bounds every measured time, so that a typing error in a flag can't
// occupy the machine for a day.
const maxDuration = 10 * time.Minute

// loadConfig says how much traffic a generator makes, and for how long.
type loadConfig struct {
	senders  int           // how many senders share count
	window   int           // messages that each sender may have in flight
	rate     float64       // open loop: messages per second of all senders together; 0: closed loop
	size     int           // bytes of each text, at least stampSize
	duration time.Duration // measured time, unless count is set
	warmup   time.Duration // unmeasured time before that, unless count is set
	count    int64         // messages of all senders together; 0: duration decides
	patience time.Duration // how long to wait for missing messages before they count as lost
}

// checkWindow returns an error if the server allows fewer messages in flight
// than the senders would have.
func (c *loadConfig) checkWindow(window int64) error {
	if int64(c.window) > window {
		return fmt.Errorf("--window %d is more than the server takes, %d", c.window, window)
	}
	return nil
}
