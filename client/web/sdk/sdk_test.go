// Package sdk has the tests of the JavaScript SDK: they are JavaScript too, and
// run by Node, some of them against real servers that are started here.
package sdk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatd/internal/services"
)

// patience is for a file of tests on a machine with much else to do.
const patience = 5 * time.Minute

// Node's version that has a WebSocket, if only when asked for: no package has
// to be installed for the tests.
const leastMajor, leastMinor = 20, 10

// node is how to run Node, with a WebSocket. Without Node, or with one that is
// too old, the test is skipped.
func node(t *testing.T) []string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIPPED: the JavaScript SDK is not tested, as node isn't installed; in Debian: apt-get install nodejs")
	}
	out, err := exec.Command(path, "-p", "process.versions.node + ' ' + typeof WebSocket").CombinedOutput()
	if err != nil {
		t.Fatalf("node -p: %v\n%s", err, out)
	}
	version, socket, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		t.Fatalf("node says that it is %q: %v", version, err)
	}
	if major < leastMajor || major == leastMajor && minor < leastMinor {
		t.Skipf("SKIPPED: the JavaScript SDK is not tested, as node is %s: it must be %d.%d or later", version, leastMajor, leastMinor)
	}
	if socket == "undefined" {
		return []string{path, "--test-reporter=tap", "--no-warnings", "--experimental-websocket"}
	}
	return []string{path, "--test-reporter=tap"}
}

// run has Node run a file of tests, and fails as that does.
func run(t *testing.T, node []string, file string, env ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, node[0], append(node[1:], file)...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	// Node's exit code alone would also be 0 where it has found no tests.
	if err != nil || !strings.Contains(string(out), "# fail 0") || strings.Contains(string(out), "# pass 0") {
		t.Errorf("%s: %v\n%s", file, err, out)
	}
}

// What depends on time and on what a server says, on a server, a clock and
// dice that do what they are told.
func TestUnits(t *testing.T) {
	node := node(t)
	for _, file := range []string{"test/link.test.js", "test/talk.test.js", "test/types.test.js"} {
		t.Run(filepath.Base(file), func(t *testing.T) { run(t, node, file) })
	}
}

// The promises, on a real server that is killed and stopped, through relays
// that cut and lose, and on one with narrow limits.
func TestLive(t *testing.T) {
	node := node(t)
	folder, err := services.NewFolder("", "chatd-sdk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := folder.Remove(); err != nil {
			t.Error(err)
		}
	})
	chatd := filepath.Join(folder.Path, "chatd")
	if out, err := exec.Command("go", "build", "-o", chatd, "chatd").CombinedOutput(); err != nil {
		t.Fatalf("build chatd: %v\n%s", err, out)
	}
	plain := start(t, folder, "plain", chatd, "--no-limits")
	// What alice says in the test is more than these let through at once.
	limited := start(t, folder, "limited", chatd, "--frames-per-sec-per-user", "50", "--burst", "1s")
	words, over := control(t, plain)
	run(t, node, "test/live.test.js", "CHATD_URL=ws://"+plain.Addr()+"/ws", "CHATD_LIMITED_URL=ws://"+limited.Addr()+"/ws",
		"CHATD_CONTROL="+words)
	over()
	for _, n := range []*services.Node{plain, limited} {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	}
}

func start(t *testing.T, folder *services.Folder, name, chatd string, flags ...string) *services.Node {
	t.Helper()
	n, err := services.NewNode(folder, name, chatd, append(flags,
		"--db", "sqlite:"+filepath.Join(folder.Path, name, "chat.db"), "--argon2", "8,1,1", "--log-level", "warn")...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the log of the node %q:\n%s", name, n.Log())
		}
	})
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// control is an address where the tests have a node killed, stopped and
// started: one word per connection, answered with ok when it is done. The node
// is nobody else's until over returns.
func control(t *testing.T, n *services.Node) (addr string, over func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	do := map[string]func() error{"kill": n.Kill, "stop": n.Stop, "start": func() error { return n.Start(t.Context()) }}
	go func() {
		defer close(ended)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			word, err := bufio.NewReader(conn).ReadString('\n')
			if f := do[strings.TrimSpace(word)]; err == nil && f != nil {
				err = f()
			} else {
				err = errors.Join(err, fmt.Errorf("%q is no word", word))
			}
			answer := "ok"
			if err != nil {
				answer = err.Error()
			}
			if _, err := fmt.Fprintln(conn, answer); err != nil {
				t.Errorf("the answer to %q: %v", word, err)
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	return ln.Addr().String(), func() {
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	}
}
