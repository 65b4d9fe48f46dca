package test

import (
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatd/internal/realservice"
)

// serviceManager is a socket like systemd's, to which chatd reports its state.
type serviceManager struct {
	t    *testing.T
	path string
	conn *net.UnixConn
}

func newServiceManager(t *testing.T) *serviceManager {
	t.Helper()
	m := &serviceManager{t: t, path: filepath.Join(t.TempDir(), "notify")}
	var err error
	if m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.conn.Close() })
	return m
}

// environment returns a change to the environment of a process that this manager starts.
func (m *serviceManager) environment(more ...string) func(cmd *exec.Cmd) {
	return func(cmd *exec.Cmd) {
		cmd.Env = append(slices.Clone(cmd.Env), append(more, "NOTIFY_SOCKET="+m.path)...)
	}
}

// hears waits for the next state that chatd reports, which must begin like this.
func (m *serviceManager) hears(want string) {
	m.t.Helper()
	if got := m.next(time.Minute); !strings.HasPrefix(got, want) {
		m.t.Fatalf("chatd told the service manager %q, want %q", got, want)
	}
}

// next returns the next state, or "" if chatd reports none for that long.
func (m *serviceManager) next(within time.Duration) string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		m.t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := m.conn.Read(b)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		m.t.Fatal(err)
	}
	return string(b[:n])
}

// chatd tells systemd when it accepts clients, when it reads its settings again, and
// when it drains. Otherwise, a unit of Type=notify would never be up.
func TestNotify(t *testing.T) {
	m := newServiceManager(t)
	web := loopback(realservice.Port(t))
	d := startShell(t, `exec "$@"`, m.environment(), "127.0.0.1", "0", "--argon2=8,1,1", "--http", web)
	m.hears("READY=1")
	resp, err := http.Get("http://" + web + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("/readyz after READY=1: status %s, want 200", resp.Status)
	}
	for _, step := range []struct {
		sig  syscall.Signal
		want []string
	}{
		{syscall.SIGHUP, []string{"RELOADING=1\nMONOTONIC_USEC=", "READY=1"}},
		{syscall.SIGTERM, []string{"STOPPING=1"}},
	} {
		if err := d.cmd.Process.Signal(step.sig); err != nil {
			t.Fatal(err)
		}
		for _, want := range step.want {
			m.hears(want)
		}
	}
	if code := d.ends(t, "after SIGTERM"); code != exitDone {
		t.Errorf("after SIGTERM: exit code %d, want %d", code, exitDone)
	}
	if got := m.next(time.Millisecond); got != "" {
		t.Errorf("after the end, the service manager heard %q, want nothing more", got)
	}
}

// chatd doesn't report that it is ready while it waits for its database, also not
// after SIGHUP, and reports that it stops.
func TestNotReadyWithoutDatabase(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m := newServiceManager(t)
	d := startShell(t, `exec "$@"`, m.environment(), append(quick, "127.0.0.1", "0", "--wait=10h", "--db", "mysql://chat:secret@"+l.Addr().String()+"/chat")...)
	c, err := l.Accept() // a database server that never answers
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM} {
		if err := d.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	m.hears("STOPPING=1")
	if code := d.ends(t, "after SIGTERM during the start"); code != exitError {
		t.Errorf("after SIGTERM during the start: exit code %d, want %d", code, exitError)
	}
}

// With a watchdog, chatd keeps telling systemd that it works.
func TestWatchdog(t *testing.T) {
	m := newServiceManager(t)
	d := startShell(t, `exec "$@"`, m.environment("WATCHDOG_USEC=20000"), append(quick, "127.0.0.1", "0")...)
	m.hears("READY=1")
	for range 3 {
		m.hears("WATCHDOG=1")
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for {
		got := m.next(time.Minute)
		if got == "STOPPING=1" {
			break
		}
		if got != "WATCHDOG=1" {
			t.Fatalf("chatd told the service manager %q, want WATCHDOG=1 until STOPPING=1", got)
		}
	}
	if code := d.ends(t, "after SIGTERM"); code != exitDone {
		t.Errorf("after SIGTERM: exit code %d, want %d", code, exitDone)
	}
}

// A service manager that doesn't read its socket, or is gone, doesn't stall chatd.
func TestServiceManagerHangs(t *testing.T) {
	for _, gone := range []bool{false, true} {
		m := newServiceManager(t)
		if gone {
			m.conn.Close()
		} else {
			m.fill()
		}
		addr := loopback(realservice.Port(t))
		_, port, _ := net.SplitHostPort(addr)
		d := startShell(t, `exec "$@"`, m.environment("WATCHDOG_USEC=2000"), append(quick, "127.0.0.1", port)...)
		accepts(t, addr)
		works(t, addr, "anna")
		for range 20 {
			if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		}
		works(t, addr, "berta")
		if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := d.ends(t, "after SIGTERM"); code != exitDone {
			t.Errorf("service manager gone: %t; after SIGTERM: exit code %d, want %d", gone, code, exitDone)
		}
	}
}

// fill sends to the socket until it takes no more.
func (m *serviceManager) fill() {
	m.t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	defer unix.Close(fd)
	for err == nil {
		err = unix.Sendto(fd, []byte("x"), 0, &unix.SockaddrUnix{Name: m.path})
	}
	if !errors.Is(err, unix.EAGAIN) {
		m.t.Fatalf("fill the socket: %v", err)
	}
}
