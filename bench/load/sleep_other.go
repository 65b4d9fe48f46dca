//go:build !linux

package load

import "time"

// preciseSleeps does nothing: it is implemented for Linux only.
func preciseSleeps() (done func()) { return func() {} }

func sleepPrecisely(d time.Duration) { time.Sleep(d) }
