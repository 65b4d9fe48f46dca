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

// Process is the resource usage of a process, from /proc.
type Process struct {
	CPU       time.Duration // user and system time
	RSS, peak int64         // bytes of resident memory, now and at most
	Private   int64         // part of RSS that isn't backed by files; the kernel can reclaim the rest at any time
}

// clockTick is the unit of CPU time in /proc. USER_HZ is 100 wherever Go runs.
const clockTick = 10 * time.Millisecond

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

// cpuOf returns user and system time, fields 14 and 15 of a stat file. The name
// before them is in parentheses and may contain anything.
func cpuOf(stat []byte) (time.Duration, error) {
	_, rest, ok := bytes.Cut(stat[max(0, bytes.LastIndexByte(stat, ')')):], []byte(") "))
	fields := strings.Fields(string(rest))
	if !ok || len(fields) < 13 {
		return 0, errors.New("unexpected format")
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}

// statusBytes reads a line like "VmRSS: 1234 kB".
func statusBytes(status []byte, name string) (int64, error) {
	for s := bufio.NewScanner(bytes.NewReader(status)); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), name+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no line %q", name)
}

func ownCPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0 // it only fails for wrong arguments
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
