package test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"chatd/internal/realservice"
	"chatd/proto"
)

// hostNames are the host names that a process can resolve.
type hostNames struct {
	t      *testing.T
	folder string
}

// newHostNames skips the test if this user may not mount.
func newHostNames(t *testing.T) *hostNames {
	t.Helper()
	n := &hostNames{t, t.TempDir()}
	n.set()
	if err := os.WriteFile(filepath.Join(n.folder, "nsswitch.conf"), []byte("hosts: files\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	probe := exec.Command("sh", "-c", n.script("true"))
	n.prepare(probe)
	if out, err := probe.CombinedOutput(); err != nil {
		t.Skipf("only root may change the host names of a process: %v\n%s", err, out)
	}
	return n
}

// set makes these names resolve to 127.0.0.1, and no others.
func (n *hostNames) set(names ...string) {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join(n.folder, "hosts"), []byte("127.0.0.1 localhost "+strings.Join(names, " ")+"\n"), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// script returns a shell command that runs another one with these names.
func (n *hostNames) script(command string) string {
	return `mount --bind ` + n.folder + `/hosts /etc/hosts && mount --bind ` + n.folder + `/nsswitch.conf /etc/nsswitch.conf && ` + command
}

// prepare gives a command mounts of its own.
func (n *hostNames) prepare(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
}

// start runs chatd with these names.
func (n *hostNames) start(args ...string) *process {
	n.t.Helper()
	var stderr io.ReadCloser
	d := startShell(n.t, n.script(`exec "$@"`), func(cmd *exec.Cmd) {
		n.prepare(cmd)
		var err error
		if stderr, err = cmd.StderrPipe(); err != nil {
			n.t.Fatal(err)
		}
	}, append(quick, args...)...)
	d.lines = bufio.NewScanner(stderr)
	return d
}

// A node whose database or Redis has a host name that doesn't resolve says so. It waits
// for --wait, and starts once the name resolves. If the name stops resolving later, the
// node says so too, and works again afterwards without a restart.
func TestHostNames(t *testing.T) {
	m, redis := realservice.NewMariaDB(t), realservice.Redis(t)
	names := newHostNames(t)
	const dbHost, redisHost = "db.test", "cache.test"
	named := strings.NewReplacer("127.0.0.1", dbHost).Replace(m.URL)
	cache := strings.NewReplacer("127.0.0.1", redisHost).Replace(redis.URL)

	for _, c := range []struct {
		host string
		args []string
	}{
		{dbHost, []string{"--db", named}},
		{redisHost, []string{"--db", m.URL, "--redis", cache}},
	} {
		d := names.start(append(c.args, "127.0.0.1", "0", "--wait=10ms")...)
		code, log := d.exit(t)
		last := log[strings.LastIndex(log, "level=ERROR")+1:]
		if code != exitError || strings.Count(log, "level=ERROR") != 1 || !strings.Contains(last, "lookup "+c.host) || !strings.Contains(last, "no such host") {
			t.Errorf("%s doesn't resolve: exit code %d, want %d and one error that says so; log:\n%s", c.host, code, exitError, log)
		}
	}

	d := names.start("127.0.0.1", "0", "--wait=10m", "--db", named, "--redis", cache)
	d.until(t, `database unreachable; retrying.*lookup `+dbHost+`.*no such host`)
	names.set(dbHost)
	d.until(t, `Redis unavailable; retrying.*lookup `+redisHost+`.*no such host`)
	names.set(dbHost, redisHost)
	addr := d.until(t, `chatd listening.* address=(\S+)`)
	c := dialRaw(t, addr)
	c.account("anna")
	group := c.call(&proto.Request{Op: proto.CREATE_GROUP, GroupName: "group"}).GroupID

	// The names are gone, and the connections break.
	names.set()
	send := func() error {
		t.Helper()
		if err := c.send(groupChat(group, "hello", true)); err != nil {
			t.Fatal(err)
		}
		a, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		if a.Errno != 0 {
			return fmt.Errorf("errno %d", a.Errno)
		}
		return nil
	}
	eventually(t, "the name of the database is gone", func() error {
		m.Kill(t)
		m.Start(t)
		if send() == nil { // Go reads the list of names again after 5 s
			return errors.New("a message is stored")
		}
		return nil
	})
	d.until(t, `messages not stored.*lookup `+dbHost+`.*no such host`)
	redis.Kill(t)
	redis.Start(t)
	d.until(t, `Redis is unavailable`)
	names.set(dbHost, redisHost)
	eventually(t, "a message is stored", send)
	d.until(t, `Redis is available again`)
	d.drains(t)
}
