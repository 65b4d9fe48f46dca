//go:build !linux

package main

import "time"

// preciseNaps is for Linux alone.
func preciseNaps() (done func()) { return func() {} }

func nap(d time.Duration) { time.Sleep(d) }
