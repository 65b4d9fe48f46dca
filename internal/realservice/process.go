package realservice

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// process is a program that was started here, in a process group of its own:
// a Ctrl-C is for the test, which then ends it.
type process struct {
	pid   int
	guard *guard
	log   string // the file with what it has written
	dead  bool
}

// A guard ends the program, and removes its folder, when the test process is
// gone without having done so: it notices because a pipe from there ends. (A
// death signal would be tied to the thread that started the program, and
// would leave the folder.)
type guard struct {
	cmd   *exec.Cmd
	words io.WriteCloser
}

const guardScript = `
read -r pid || exit 0
read -r word && exit 0
kill -KILL "-$pid" 2>/dev/null
while [ -e "$1" ]; do rm -rf "$1"; sleep 0.1; done
`

// newFolder makes a folder for a service.
func newFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "chatd-test-")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// start starts a program with its output in folder/log, guarded.
func start(folder, path string, args ...string) (*process, error) {
	p := &process{log: filepath.Join(folder, "log")}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the program has its own
	if p.guard, err = newGuard(folder); err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = folder, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, p.guard.dismiss())
	}
	p.pid = cmd.Process.Pid
	if _, err := fmt.Fprintln(p.guard.words, p.pid); err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

func newGuard(folder string) (*guard, error) {
	cmd := exec.Command("/bin/sh", "-c", guardScript, "guard", folder)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	words, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a guard: %w", err)
	}
	return &guard{cmd, words}, nil
}

// dismiss ends the guard: what it watches has ended, or never began.
func (g *guard) dismiss() error {
	_, err := fmt.Fprintln(g.words, "0\ndone")
	return errors.Join(err, g.words.Close(), g.cmd.Wait())
}

// signal sends a signal to all of the program's group.
func (p *process) signal(s syscall.Signal) error {
	if p.ended() {
		return errors.New("it has ended already")
	}
	return syscall.Kill(-p.pid, s)
}

// ended reports whether the program has ended; it doesn't block.
func (p *process) ended() bool {
	if !p.dead {
		n, err := syscall.Wait4(p.pid, nil, syscall.WNOHANG, nil)
		p.dead = n == p.pid || errors.Is(err, syscall.ECHILD)
	}
	return p.dead
}

// end kills the program where it still runs, and waits for it. Its folder
// stays.
func (p *process) end() error {
	var err error
	if !p.ended() {
		err = syscall.Kill(-p.pid, syscall.SIGKILL)
	}
	return errors.Join(err, p.wait(), p.guard.dismiss())
}

// wait blocks until the program has ended.
func (p *process) wait() error {
	for !p.dead {
		_, err := syscall.Wait4(p.pid, nil, 0, nil)
		switch {
		case err == nil || errors.Is(err, syscall.ECHILD):
			p.dead = true
		case !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("wait for %d: %w", p.pid, err)
		}
	}
	return nil
}

// lastWords returns the end of what the program has written.
func (p *process) lastWords() string {
	const most = 4096
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-most):])
}
