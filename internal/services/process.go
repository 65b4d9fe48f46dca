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

// process is a running program. It is in a process group of its own, so that
// Ctrl-C reaches only this process, which then stops it.
type process struct {
	pid      int
	folder   *Folder
	log      string // path of its output
	hasEnded bool
	status   syscall.WaitStatus // valid if hasEnded
}

// startBarrier is a shell script that waits before it runs the program, until
// the cleaner knows the process id. Otherwise, if this process died in between,
// the program would keep running.
const startBarrier = `read -r go && exec "$0" "$@" </dev/null`

// start starts a program in dir, with its output in the file log. "" means the
// current directory.
func (f *Folder) start(dir, log, path string, args ...string) (*process, error) {
	if _, err := exec.LookPath(path); err != nil {
		return nil, err
	}
	p := &process{folder: f, log: log}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the program has its own copy
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
	if err = f.notify("started", p.pid); err == nil {
		_, err = fmt.Fprintln(opener, "go")
	}
	if err = errors.Join(err, opener.Close()); err != nil {
		return nil, errors.Join(err, p.kill())
	}
	return p, nil
}

// run runs a program to its end. Its output is in the file log, and at the end
// of the error.
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

// signal sends a signal to the program's process group.
func (p *process) signal(s syscall.Signal) error {
	if p.ended() {
		return fmt.Errorf("already ended with %s%s", p.exitReason(), p.logSuffix())
	}
	return syscall.Kill(-p.pid, s)
}

// ended reports whether the program has ended. It doesn't block.
func (p *process) ended() bool {
	if !p.hasEnded {
		n, err := syscall.Wait4(p.pid, &p.status, syscall.WNOHANG, nil)
		p.markEnded(n == p.pid || errors.Is(err, syscall.ECHILD))
	}
	return p.hasEnded
}

// markEnded records whether the program has ended, and if so kills the processes
// that it started, such as nginx's workers.
func (p *process) markEnded(dead bool) {
	if p.hasEnded = dead; dead {
		_ = syscall.Kill(-p.pid, syscall.SIGKILL) // usually none are left
	}
}

// kill kills the program if it runs, and waits until it and the processes that
// it started have ended.
func (p *process) kill() error {
	var err error
	if !p.ended() {
		err = syscall.Kill(-p.pid, syscall.SIGKILL)
	}
	return errors.Join(err, p.wait(), p.waitForGroup(), p.folder.notify("ended", p.pid))
}

// waitForGroup waits until the killed processes of the group have ended and
// released their ports and files. nginx's workers outlive their master by some
// milliseconds.
func (p *process) waitForGroup() error {
	for end := time.Now().Add(stopTimeout); syscall.Kill(-p.pid, 0) == nil && groupLives(p.pid); time.Sleep(pollEvery) {
		if time.Now().After(end) {
			return fmt.Errorf("child processes of %d still run %s after they were killed", p.pid, stopTimeout)
		}
	}
	return nil
}

// groupLives reports whether a process of the group runs. Zombies don't count:
// the init process may never reap them.
func groupLives(group int) bool {
	for _, s := range processes() {
		if s.group == group && s.state != "Z" && s.state != "X" {
			return true
		}
	}
	return false
}

// procStat is the content of a /proc/PID/stat file.
type procStat struct {
	path          string
	state         string
	parent, group int
}

// processes returns all running processes, none if there is no /proc.
func processes() (all []procStat) {
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // the process has ended meanwhile
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

// exitReason returns how the program ended, for errors.
func (p *process) exitReason() string {
	if p.status.Signaled() {
		return "signal " + p.status.Signal().String()
	}
	return fmt.Sprintf("exit code %d", p.status.ExitStatus())
}

// waitReady calls f until it returns nil. It returns an error if the program has
// ended, or startTimeout has passed.
func (p *process) waitReady(ctx context.Context, f func() error) error {
	for end := time.Now().Add(startTimeout); ; {
		err := f()
		switch {
		case err == nil:
			return nil
		case p.ended():
			return fmt.Errorf("ended with %s: %w", p.exitReason(), err)
		case time.Now().After(end):
			return fmt.Errorf("not ready after %s: %w", startTimeout, err)
		}
		if err := waitPoll(ctx); err != nil {
			return err
		}
	}
}

// waitPoll waits for pollEvery, or until ctx ends.
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

// logSuffix returns the end of the program's log, to be appended to errors.
func (p *process) logSuffix() string {
	if end := tail(p.log); end != "" {
		return "; its log ends with:\n" + end
	}
	return ""
}

// tail returns the last 4 KiB of a file, or the error of reading it.
func tail(path string) string {
	const most = 4096
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-most):])
}
