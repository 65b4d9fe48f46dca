package services

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is a program that was started here, in a process group of its own:
// a Ctrl-C is for this process, which then ends it.
type process struct {
	pid      int
	folder   *Folder
	log      string // the file with what it has written
	hasEnded bool
	status   syscall.WaitStatus // once it is dead
}

// gate holds a program back until the guard knows of it: killed in between,
// this process would leave it behind.
const startBarrier = `read -r go && exec "$0" "$@" </dev/null`

// start starts a program in dir ("": where this process is), with its output
// in the file log.
func (f *Folder) start(dir, log, path string, args ...string) (*process, error) {
	if _, err := exec.LookPath(path); err != nil {
		return nil, err
	}
	p := &process{folder: f, log: log}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the program has its own
	cmd := exec.Command("/bin/sh", append([]string{"-c", startBarrier, path}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	opener, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.pid = cmd.Process.Pid
	if err = f.notify("began", p.pid); err == nil {
		_, err = fmt.Fprintln(opener, "go")
	}
	if err = errors.Join(err, opener.Close()); err != nil {
		return nil, errors.Join(err, p.kill())
	}
	return p, nil
}

// run runs a program to its end, guarded. What it has written is in the
// error, and in the file log.
func (f *Folder) run(ctx context.Context, log, path string, args ...string) error {
	p, err := f.start(filepath.Dir(log), log, path, args...)
	if err != nil {
		return err
	}
	for !p.ended() {
		if err := waitPoll(ctx); err != nil {
			return errors.Join(err, p.kill())
		}
	}
	if err := f.notify("ended", p.pid); err != nil {
		return err
	}
	if p.status != 0 {
		return fmt.Errorf("%s%s", p.exitReason(), p.logSuffix())
	}
	return nil
}

// signal sends a signal to all of the program's group.
func (p *process) signal(s syscall.Signal) error {
	if p.ended() {
		return fmt.Errorf("it has ended already, with %s%s", p.exitReason(), p.logSuffix())
	}
	return syscall.Kill(-p.pid, s)
}

// ended reports whether the program has ended; it doesn't block.
func (p *process) ended() bool {
	if !p.hasEnded {
		n, err := syscall.Wait4(p.pid, &p.status, syscall.WNOHANG, nil)
		p.markEnded(n == p.pid || errors.Is(err, syscall.ECHILD))
	}
	return p.hasEnded
}

// settle notes whether the program has ended. What it has started itself, as
// nginx does, ends with it.
func (p *process) markEnded(dead bool) {
	if p.hasEnded = dead; dead {
		_ = syscall.Kill(-p.pid, syscall.SIGKILL) // mostly there is nobody left
	}
}

// kill kills the program where it still runs, and waits for its end and for
// that of what it has started.
func (p *process) kill() error {
	var err error
	if !p.ended() {
		err = syscall.Kill(-p.pid, syscall.SIGKILL)
	}
	return errors.Join(err, p.wait(), p.waitForGroup(), p.folder.notify("ended", p.pid))
}

// waitForGroup blocks until nobody of a dead program's group, which is killed
// by now, holds a port or a file any more: nginx's workers outlive their
// master by some milliseconds.
func (p *process) waitForGroup() error {
	for end := time.Now().Add(stopTimeout); syscall.Kill(-p.pid, 0) == nil && groupLives(p.pid); time.Sleep(pollEvery) {
		if time.Now().After(end) {
			return fmt.Errorf("what %d had started still runs %s after it was killed", p.pid, stopTimeout)
		}
	}
	return nil
}

// groupLives says whether a process of the group runs. One that only waits to
// be reaped, by a first process that may never do so, doesn't.
func groupLives(group int) bool {
	for _, s := range processes() {
		if s.group == group && s.state != "Z" && s.state != "X" {
			return true
		}
	}
	return false
}

// stat is what /proc says of a process.
type procStat struct {
	path          string
	state         string
	parent, group int
}

// processes returns all that run; none where there is no /proc.
func processes() (all []procStat) {
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // has ended meanwhile
		}
		// pid (name) state parent group …; the name may have any characters.
		s := procStat{path: path}
		if _, err := fmt.Sscan(string(b[bytes.LastIndexByte(b, ')')+1:]), &s.state, &s.parent, &s.group); err == nil {
			all = append(all, s)
		}
	}
	return all
}

// wait blocks until the program has ended.
func (p *process) wait() error {
	for !p.hasEnded {
		_, err := syscall.Wait4(p.pid, &p.status, 0, nil)
		if err != nil && !errors.Is(err, syscall.ECHILD) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("wait for %d: %w", p.pid, err)
		}
		p.markEnded(!errors.Is(err, syscall.EINTR))
	}
	return nil
}

// fate says how the program has ended.
func (p *process) exitReason() string {
	if p.status.Signaled() {
		return "signal " + p.status.Signal().String()
	}
	return fmt.Sprintf("exit code %d", p.status.ExitStatus())
}

// await calls f until it succeeds; the error says that the process has ended,
// or startTimeout has passed, before.
func (p *process) waitReady(ctx context.Context, f func() error) error {
	for end := time.Now().Add(startTimeout); ; {
		err := f()
		switch {
		case err == nil:
			return nil
		case p.ended():
			return fmt.Errorf("it has ended with %s: %w", p.exitReason(), err)
		case time.Now().After(end):
			return fmt.Errorf("not ready after %s: %w", startTimeout, err)
		}
		if err := waitPoll(ctx); err != nil {
			return err
		}
	}
}

// pause waits a moment, or until ctx ends.
func waitPoll(ctx context.Context) error {
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lastWords is what errors say of the program's log.
func (p *process) logSuffix() string {
	if end := tail(p.log); end != "" {
		return "; its log ends with:\n" + end
	}
	return ""
}

// tail returns the end of a file.
func tail(path string) string {
	const most = 4096
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-most):])
}
