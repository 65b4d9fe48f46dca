package scenario

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"chatd/bench/load"
)

// Bounds of flags. They keep a typo from overloading the machine.
const (
	maxCount = 1_000_000_000
	maxPairs = 4096
	maxRate  = 10_000_000
	// slowest is the longest time between two messages of a sender: the server
	// closes a connection that sends nothing for too long.
	slowest = 30 * time.Second
	// openReserve is how many file descriptors are not for connections.
	openReserve = 64
)

// flagErrors collects errors of a command line.
type flagErrors []error

func (c *flagErrors) check(ok bool, format string, args ...any) {
	if !ok {
		*c = append(*c, fmt.Errorf(format, args...))
	}
}

// checkConns checks a number of simultaneous connections, which is also bounded
// by the process's limit of open files.
func (c *flagErrors) checkConns(flag string, n, most int) {
	c.check(n >= 1 && n <= most, "%s: %d is not between 1 and %d", flag, n, most)
	files, err := openFiles()
	if err != nil {
		*c = append(*c, err)
		return
	}
	c.check(n <= files-openReserve, "%s: %d needs more open files than this process may have: %d (ulimit -n), of which %d are reserved", flag, n, files, openReserve)
}

// checkRate checks the rate of an open loop. Each sender must send often enough
// that the server doesn't close its connection.
func (c *flagErrors) checkRate(rate float64, senders int) {
	least := float64(senders) / slowest.Seconds()
	c.check(rate == 0 || rate >= least && rate <= maxRate, "--rate: %g is neither 0 nor between %.3g (one message per sender every %s) and %d", rate, least, slowest, maxRate)
}

func (c flagErrors) join() error { return errors.Join(c...) }

func (c *flagErrors) inRange(flag string, n, least, most int) {
	c.check(n >= least && n <= most, "%s: %d is not between %d and %d", flag, n, least, most)
}

func (c *flagErrors) checkDuration(flag string, d time.Duration) {
	c.check(d > 0 && d <= load.MaxDuration, "%s: %s is out of range: above 0, at most %s", flag, d, load.MaxDuration)
}

// openFiles returns how many file descriptors this process may open.
func openFiles() (int, error) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("get the limit of open files: %w", err)
	}
	return int(min(l.Cur, 1<<30)), nil
}
