package services

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// If a process is killed, its services end and their directories are removed: a
// running one, a restarted one, and one being created.
func TestKilledParentLeavesNothing(t *testing.T) {
	if dir := os.Getenv("SERVICES_CHILD"); dir != "" {
		beKilled(t, dir)
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledParentLeavesNothing$")
	cmd.Env = append(os.Environ(), "SERVICES_CHILD="+dir)
	if out, err := cmd.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("all run")) {
		t.Fatalf("child process: error %v, want it killed after it printed \"all run\"; output:\n%s", err, out)
	}
	for end := time.Now().Add(startTimeout); ; time.Sleep(pollEvery) {
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, processesIn(t, dir)...)
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("processes or files still there after %s: %q", startTimeout, left)
		}
	}
}

// beKilled runs in the child process.
func beKilled(t *testing.T, dir string) {
	f, err := NewFolder(dir, "folder-")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		s := sleeper(t, f, name)
		if name == "two" {
			if err := errors.Join(s.Kill(), s.Start(context.Background())); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := len(processesIn(t, dir)); n < 5 { // two services with two processes each, and the cleaner
		t.Fatalf("%d processes run, want at least 5", n)
	}
	_, _ = os.Stdout.WriteString("all run\n")
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {}
}

// sleeper starts a service that runs a script, then sleeps until SIGTERM,
// together with a child process. Their command lines contain their folder.
func sleeper(t *testing.T, f *Folder, name string, script ...string) *Service {
	t.Helper()
	s := newScriptService(t, f, name, strings.Join(append(script, `sh -c 'while :; do sleep 0.1; done' "$0" & echo up $$`, "while :; do wait; done"), "; "))
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return s
}

// deaf is a command that makes a script ignore SIGTERM.
const deaf = "trap '' TERM"

func newScriptService(t *testing.T, f *Folder, name, script string) *Service {
	t.Helper()
	patience := time.Minute
	if strings.Contains(script, deaf) {
		patience = time.Second // Stop will time out
	}
	var s *Service
	s, err := New(f, Program{Name: name, Path: "/bin/sh", StopTimeout: patience,
		Args: func([]int) []string { return []string{"-c", "trap 'exit 0' TERM; " + script, s.Folder} },
		Ready: func(s *Service) error {
			if !strings.HasSuffix(s.Log(), fmt.Sprintf("up %d\n", s.PID())) {
				return errors.New("not up yet")
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// processesIn returns the command lines that contain a directory's path.
func processesIn(t *testing.T, dir string) (all []string) {
	t.Helper()
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(commands) == 0 {
		t.Skip("no /proc to find processes in")
	}
	for _, name := range commands {
		line, err := os.ReadFile(name) // ended: nothing, or an error
		if err == nil && bytes.Contains(line, []byte(dir)) && name != "/proc/self/cmdline" {
			all = append(all, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return all
}

// newFolder creates a Folder that is removed when the test ends.
func newFolder(t *testing.T) *Folder {
	t.Helper()
	f, err := NewFolder(t.TempDir(), "folder-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Remove(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// A folder with a relative path gets an absolute one, and a failure to create it
// is an error.
func TestFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	f, err := NewFolder(".", "folder-")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.Path); err != nil || !filepath.IsAbs(f.Path) {
		t.Errorf("folder %s: %v; want an absolute path that exists", f.Path, err)
	}
	if err := f.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := NewFolder("nowhere", "folder-"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("NewFolder in a missing folder: error %v, want ErrNotExist", err)
	}
}

// Stop succeeds if the service exits with 0, even if it was frozen. Otherwise it
// returns an error with the end of the log.
func TestStop(t *testing.T) {
	f := newFolder(t)
	for _, c := range []struct {
		name, script string
		before       func(*Service) error
		want         string // part of the error; "": none
	}{
		{"good", ":", (*Service).Ended, ""},
		{"frozen", ":", (*Service).Freeze, ""},
		{"bad", "trap 'echo so long; exit 3' TERM", (*Service).Ended, "exit code 3; its log ends with:\nup "},
		{"deaf", deaf, (*Service).Ended, "after SIGTERM and was killed"},
		{"dead", ":", die, "signal killed"},
	} {
		s := sleeper(t, f, c.name, c.script)
		if err := c.before(s); err != nil {
			t.Fatal(err)
		}
		err := s.Stop()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.name+": ") || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("Stop of %s: error %v, want %q", c.name, err, c.want)
		}
		// Its child processes end with it.
		for end := time.Now().Add(startTimeout); len(processesIn(t, s.Folder)) > 0; time.Sleep(pollEvery) {
			if time.Now().After(end) {
				t.Fatalf("%s: processes still running after %s: %q", c.name, startTimeout, processesIn(t, s.Folder))
			}
		}
		if s.PID() != 0 {
			t.Errorf("%s: PID after Stop = %d, want 0", c.name, s.PID())
		}
		if err := s.Stop(); err == nil {
			t.Errorf("%s: second Stop succeeded, want an error", c.name)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// die makes a service end by itself.
func die(s *Service) error {
	if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
		return err
	}
	for s.Ended() == nil {
		time.Sleep(pollEvery)
	}
	return nil
}

// If a service fails to start, the error says why, and it doesn't run.
func TestStartFails(t *testing.T) {
	f := newFolder(t)
	cut, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name, script string
		ctx          context.Context
		want         string
	}{
		{"loser", "echo no luck; exit 7", context.Background(), "exit code 7"},
		{"talker", "echo no luck; exit 7", context.Background(), "no luck"},
		{"slow", "sleep 600", cut, context.Canceled.Error()},
	} {
		s := newScriptService(t, f, c.name, c.script)
		if err := s.Start(c.ctx); err == nil || !strings.Contains(err.Error(), c.want) || s.PID() != 0 {
			t.Errorf("Start of %s: error %v, PID %d; want an error with %q and PID 0", c.name, err, s.PID(), c.want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	s, err := New(f, Program{Name: "nobody", Path: filepath.Join(f.Path, "no such program"), Args: func([]int) []string { return nil }})
	if err == nil {
		err = s.Start(context.Background())
	}
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Start of a missing program: error %v, want ErrNotExist", err)
	}
}

// A chosen port is free; a given port is used as it is.
func TestPorts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	busy := l.Addr().(*net.TCPAddr).Port
	f := newFolder(t)
	r, err := NewRedis(f, busy)
	if err != nil {
		t.Skip(err)
	}
	if err := r.Start(context.Background()); err == nil {
		t.Errorf("Start on the port %d, which is in use, succeeded; want an error", busy)
	}
	if r.Port(0) != busy {
		t.Errorf("port = %d, want the given %d", r.Port(0), busy)
	}
	// Another program takes the port right after it was chosen.
	args, times := r.program.Args, 0
	r.ports[0] = &Port{}
	r.program.Args = func(ports []int) []string {
		if times++; times == 1 {
			r.ports[0].Number = busy
			return args([]int{busy})
		}
		return args(ports)
	}
	if err := r.Start(context.Background()); err != nil || times != 2 {
		t.Errorf("Start with a port that was taken meanwhile: %d attempts, error %v; want 2 and none", times, err)
	}
	before := r.Port(0)
	if err := errors.Join(r.Kill(), r.Start(context.Background())); err != nil || r.Port(0) != before {
		t.Errorf("restart: port %d, error %v; want the same port %d", r.Port(0), err, before)
	}
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// If a missing program can't be installed, the error names it and its package.
func TestMissing(t *testing.T) {
	t.Setenv("PATH", "")
	var log bytes.Buffer
	err := Ensure(context.Background(), &log, "redis-server", "redis-cli")
	var missing *MissingError
	if !errors.As(err, &missing) || missing.Program != "redis-server" || missing.Package != "redis-server" || log.Len() > 0 {
		t.Errorf("Ensure without apt-get: error %v, log %q; want redis-server missing and no log", err, &log)
	}
	if err := Ensure(context.Background(), &log); err != nil {
		t.Errorf("Ensure without programs: %v", err)
	}
}

// Ensure runs apt-get, logs what it does, and checks the programs again.
func TestEnsure(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can install packages")
	}
	bin := t.TempDir()
	script := "#!/bin/sh\ncase $1 in\nupdate) exit 1 ;;\nesac\n[ -e " + policyFile + " ] || exit 5\necho \"$@\" >>" + bin + "/asked\n" +
		"[ -e " + bin + "/broken ] && echo no net && exit 4\nprintf '#!/bin/sh\\n' >" + bin + "/redis-server\n/bin/chmod 755 " + bin + "/redis-server\n"
	for name, text := range map[string]string{"apt-get": script, "broken": ""} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	_, before := os.Stat(policyFile)
	var log bytes.Buffer
	err := Ensure(context.Background(), &log, "redis-server")
	if err == nil || !strings.Contains(err.Error(), "no net") || !strings.Contains(err.Error(), "redis-server isn't installed") || !strings.Contains(log.String(), "redis-server") {
		t.Errorf("Ensure without a network: error %v, log %q; want apt-get's error and the missing program", err, &log)
	}
	if err := os.Remove(filepath.Join(bin, "broken")); err != nil {
		t.Fatal(err)
	}
	if err := Ensure(context.Background(), &log, "redis-server"); err != nil {
		t.Error(err)
	}
	if asked, err := os.ReadFile(filepath.Join(bin, "asked")); err != nil || !strings.HasSuffix(string(asked), "--no-install-recommends redis-server\n") {
		t.Errorf("apt-get was called with %q, %v; want the package redis-server", asked, err)
	}
	if _, after := os.Stat(policyFile); (before == nil) != (after == nil) {
		t.Errorf("stat %s: error %v before and %v after, want the same", policyFile, before, after)
	}
}

// After a kill, the files that nginx left don't make the next one look ready.
func TestNginxRestart(t *testing.T) {
	f := newFolder(t)
	port, err := NewPort()
	if err != nil {
		t.Fatal(err)
	}
	defer port.Release()
	n, err := NewNginx(context.Background(), f, "events {}\nstream {\n server {\n listen "+Address(port.Number)+";\n return hello;\n }\n}\n")
	if err != nil {
		t.Skip(err)
	}
	for range 3 {
		if err := n.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		err := probe(port.Number, func(c net.Conn) error {
			text, err := io.ReadAll(c)
			if err == nil && string(text) != "hello" {
				err = fmt.Errorf("nginx sent %q, want hello", text)
			}
			return err
		})
		if err := errors.Join(err, n.Kill()); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	if v := n.Version(context.Background()); !strings.HasPrefix(v, "nginx 1.") {
		t.Errorf("Version() = %q, want nginx 1.…", v)
	}
}
