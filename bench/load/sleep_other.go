//go:build !linux

package load

import "time"

// preciseSleeps is for Linux alone.
func preciseSleeps() (done func()) { return func() {} }

func sleepPrecisely(d time.Duration) { time.Sleep(d) }
