// Package sdk runs the tests of the JavaScript SDK with Node. It starts the
// servers that some of them need.
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
	"chatd/internal/testbuild"
)

// fileTimeout is how long one test file may run, on a busy machine.
const fileTimeout = 5 * time.Minute

// The oldest Node version with a built-in WebSocket, though behind a flag.
const minMajor, minMinor = 20, 10

// node returns the command to run Node with a WebSocket. It skips the test if
// Node is missing or too old.
func node(t *testing.T) []string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIPPED: the tests of the JavaScript SDK need Node; on Debian: apt-get install nodejs")
	}
	out, err := exec.Command(path, "-p", "process.versions.node + ' ' + typeof WebSocket").CombinedOutput()
	if err != nil {
		t.Fatalf("node -p: %v\n%s", err, out)
	}
	version, socket, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		t.Fatalf("cannot parse the version of Node %q: %v", version, err)
	}
	if major < minMajor || major == minMajor && minor < minMinor {
		t.Skipf("SKIPPED: the tests of the JavaScript SDK need Node %d.%d or later; this is %s", minMajor, minMinor, version)
	}
	if socket == "undefined" {
		return []string{path, "--test-reporter=tap", "--no-warnings", "--experimental-websocket"}
	}
	return []string{path, "--test-reporter=tap"}
}

// run runs a test file with Node and fails the test if any test in it fails.
func run(t *testing.T, node []string, file string, env ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), fileTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, node[0], append(node[1:], file)...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	// Node also exits with 0 if the file has no tests.
	if err != nil || !strings.Contains(string(out), "# fail 0") || strings.Contains(string(out), "# pass 0") {
		t.Errorf("node %s: %v; want all tests to pass, got\n%s", file, err, out)
	}
}

// TestUnits runs the tests that use a fake server, a fake clock and fixed random
// numbers.
func TestUnits(t *testing.T) {
	node := node(t)
	for _, file := range []string{"test/link.test.js", "test/talk.test.js", "test/types.test.js"} {
		t.Run(filepath.Base(file), func(t *testing.T) { run(t, node, file) })
	}
}

// TestLive runs the tests of the guarantees. They use a real server that they
// kill and stop, relays that cut connections and drop frames, and a server with
// low rate limits.
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
	if err := testbuild.Program(chatd, "chatd"); err != nil {
		t.Fatal(err)
	}
	plain := start(t, folder, "plain", chatd, "--no-limits")
	// In the rate-limit test, alice sends more frames than this allows at once.
	limited := start(t, folder, "limited", chatd, "--frames-per-sec-per-user", "50", "--burst", "1s")
	addr, stop := serveControl(t, plain)
	run(t, node, "test/live.test.js", "CHATD_URL=ws://"+plain.Addr()+"/ws", "CHATD_LIMITED_URL=ws://"+limited.Addr()+"/ws",
		"CHATD_CONTROL="+addr)
	stop()
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
			t.Logf("log of node %q:\n%s", name, n.Log())
		}
	})
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// serveControl listens for commands of the tests: "kill", "stop" and "start"
// control the node n. Each connection carries one command and its answer, "ok"
// or an error. Nothing else may use the node before stop returns.
func serveControl(t *testing.T, n *services.Node) (addr string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	commands := map[string]func() error{"kill": n.Kill, "stop": n.Stop, "start": func() error { return n.Start(t.Context()) }}
	go func() {
		defer close(ended)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			command, err := bufio.NewReader(conn).ReadString('\n')
			if f := commands[strings.TrimSpace(command)]; err == nil && f != nil {
				err = f()
			} else {
				err = errors.Join(err, fmt.Errorf("unknown command %q", command))
			}
			answer := "ok"
			if err != nil {
				answer = err.Error()
			}
			if _, err := fmt.Fprintln(conn, answer); err != nil {
				t.Errorf("answer to %q: %v", command, err)
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
