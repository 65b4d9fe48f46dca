package target

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is what one process has used, from /proc.
type Process struct {
	CPU       time.Duration // user and system
	RSS, peak int64         // bytes of memory that are resident, and were at most
	Private   int64         // of rss, what is no page of a file: those of the store are the kernel's, to be had back at any time
}

// clockTick is what /proc counts CPU time in: USER_HZ, 100 wherever Go runs.
const clockTick = 10 * time.Millisecond

// readProcess reads what a process has used. It blocks for a read of /proc.
func readProcess(pid int) (*Process, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return nil, err
	}
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return nil, err
	}
	p := &Process{}
	if p.CPU, err = cpuOf(stat); err != nil {
		return nil, fmt.Errorf("%s/stat: %w", dir, err)
	}
	if p.Private, err = statusBytes(status, "RssAnon"); err != nil {
		return nil, fmt.Errorf("%s/status: %w", dir, err)
	}
	if p.RSS, err = statusBytes(status, "VmRSS"); err != nil {
		return nil, fmt.Errorf("%s/status: %w", dir, err)
	}
	if p.peak, err = statusBytes(status, "VmHWM"); err != nil {
		return nil, fmt.Errorf("%s/status: %w", dir, err)
	}
	return p, nil
}

// cpuOf reads user and system time, fields 14 and 15. The name before them is
// in parentheses and may hold anything.
func cpuOf(stat []byte) (time.Duration, error) {
	_, rest, ok := bytes.Cut(stat[max(0, bytes.LastIndexByte(stat, ')')):], []byte(") "))
	fields := strings.Fields(string(rest))
	if !ok || len(fields) < 13 {
		return 0, errors.New("not as expected")
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}

// statusBytes reads a line as "VmRSS:    1234 kB".
func statusBytes(status []byte, name string) (int64, error) {
	for s := bufio.NewScanner(bytes.NewReader(status)); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), name+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no %s", name)
}

// ownCPU is what this process has used.
func ownCPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0 // it fails for wrong arguments alone
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
