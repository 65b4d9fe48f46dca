package main

import (
	"errors"
	"fmt"
	"time"
)

// complaints are about flags that make no sense.
type complaints []error

func (c *complaints) check(ok bool, format string, args ...any) {
	if !ok {
		*c = append(*c, fmt.Errorf(format, args...))
	}
}

// checkConns checks a number of connections at the same time, of which this
// process can have so many.
func (c *complaints) checkConns(flag string, n, most int) {
	c.check(n >= 1 && n <= most, "%s: %d is not between 1 and %d", flag, n, most)
	files, err := openFiles()
	if err != nil {
		*c = append(*c, err)
		return
	}
	c.check(n <= files-openReserve, "%s: %d; this process may open %d files (ulimit -n), %d of which are kept back", flag, n, files, openReserve)
}

// checkRate checks the rate of so many senders: the server would end the
// connection of one that says nothing for long.
func (c *complaints) checkRate(rate float64, senders int) {
	least := float64(senders) / slowest.Seconds()
	c.check(rate == 0 || rate >= least && rate <= maxRate, "--rate: %g is neither 0 nor between %.3g, one in %s for each sender, and %d", rate, least, slowest, maxRate)
}

func (c complaints) join() error { return errors.Join(c...) }

// between checks that n lies between least and most.
func (c *complaints) between(flag string, n, least, most int) {
	c.check(n >= least && n <= most, "%s: %d is not between %d and %d", flag, n, least, most)
}

// lasting checks the time that a flag gives to a run.
func (c *complaints) lasting(flag string, d time.Duration) {
	c.check(d > 0 && d <= maxDuration, "%s: %s is not above 0 and at most %s", flag, d, maxDuration)
}
