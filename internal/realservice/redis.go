package realservice

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// RedisServer is a Redis of a test's own. Its URL has no password.
type RedisServer struct {
	Server
	cli string
}

// Redis starts a Redis that keeps nothing on disk; more arguments for it may
// be given, as on its command line.
func Redis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	path := find(t, "redis-server")
	r := &RedisServer{cli: find(t, "redis-cli"), Server: Server{name: "redis-server", folder: newFolder(t)}}
	r.ready = func(c net.Conn) error {
		if _, err := c.Write([]byte("PING\r\n")); err != nil {
			return err
		}
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || line == "+PONG\r\n" || strings.HasPrefix(line, "-NOAUTH") {
			return err
		}
		return fmt.Errorf("it says %q", line)
	}
	r.start = func() (*process, error) {
		return start(r.folder, path, append([]string{"--port", strconv.Itoa(r.Port), "--bind", "127.0.0.1",
			"--dir", r.folder, "--save", "", "--appendonly", "no", "--daemonize", "no"}, args...)...)
	}
	r.launch(t)
	t.Cleanup(func() { r.end(t) })
	r.URL = "redis://" + address(r.Port)
	return r
}

// Client runs redis-cli with these arguments and returns what it prints, with
// the white space around it removed.
func (r *RedisServer) Client(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command(r.cli, append([]string{"-h", "127.0.0.1", "-p", strconv.Itoa(r.Port)}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}
