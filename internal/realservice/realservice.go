// Package realservice starts the real services that tests need: MariaDB,
// Redis and nginx, on free ports of the loopback address, with their data in
// folders of their own. Nothing of them outlives the test process, however
// that ends.
//
// Where a program isn't installed the test fails, and says how to get it; with
// CHATD_SKIP_SERVICES set it is skipped. Functions here may be called from the
// test's own goroutine only, and block until the service answers or has ended.
package realservice

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	startTimeout = 60 * time.Second // of a service on a machine with much else to do
	pollEvery    = 5 * time.Millisecond
	dialTimeout  = 2 * time.Second

	// Ports are taken from below those that systems give to clients: a service
	// that is down for a while must find its port free when it returns.
	firstPort, lastPort = 15000, 30000
)

// find returns the path of a program, or ends the test: skipped where that
// was asked for, else failed.
func find(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
		for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} { // not in the PATH of ordinary users
			if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return path
			}
		}
	}
	if os.Getenv("CHATD_SKIP_SERVICES") != "" {
		t.Skipf("%s isn't installed, and CHATD_SKIP_SERVICES is set", names[0])
	}
	t.Fatalf("%s isn't installed: run make test, it installs it (or set CHATD_SKIP_SERVICES to do without)", names[0])
	return ""
}

// Port returns a port of 127.0.0.1 that nobody listens on, and that no other
// test is given until this one ends, in whatever process.
func Port(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if !reserve(t, port) {
			continue
		}
		l, err := net.Listen("tcp", address(port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("no free port found")
	return 0
}

// reserve locks one byte of a file that all tests share: the one at the port's
// number. The lock ends with the test, or with its process.
func reserve(t testing.TB, port int) bool {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(os.TempDir(), fmt.Sprintf("chatd-test-ports-%d", os.Getuid())), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(port), Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		_ = f.Close() // the next port then
		return false
	}
	t.Cleanup(func() { _ = f.Close() }) // which unlocks it
	return true
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// answers dials a port and hands the connection to talk, which has to be done
// within dialTimeout.
func answers(port int, talk func(net.Conn) error) error {
	c, err := net.DialTimeout("tcp", address(port), dialTimeout)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing of it is needed any more
	if err := c.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	return talk(c)
}

// await calls f until it succeeds; the error says that the process has ended,
// or startTimeout has passed, before.
func (p *process) await(f func() error) error {
	for end := time.Now().Add(startTimeout); ; time.Sleep(pollEvery) {
		err := f()
		switch {
		case err == nil:
			return nil
		case p.ended():
			return fmt.Errorf("it has ended: %w", err)
		case time.Now().After(end):
			return fmt.Errorf("not ready after %s: %w", startTimeout, err)
		}
	}
}
