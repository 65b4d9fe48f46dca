package reactor

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"chatd/proto"
)

const serverEnv = "CHATD_REACTOR_TEST_SERVER"

// serveForTest is the child process of TestOutOfDescriptors: a reactor with fewer
// file descriptors than Config.MaxConns. It runs until its standard input ends.
func serveForTest() {
	fail := func(err error) {
		fmt.Println(err)
		os.Exit(1)
	}
	lim := syscall.Rlimit{Cur: 200, Max: 200}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		fail(err)
	}
	cfg := DefaultConfig()
	cfg.LiftLimits()
	cfg.Addr, cfg.Loops, cfg.MaxConns = "127.0.0.1:0", 2, 10_000
	cfg.LoginTimeout = time.Hour
	r, err := New(cfg, &funcs{})
	if err != nil {
		fail(err)
	}
	if err := r.Start(); err != nil {
		fail(err)
	}
	fmt.Println(r.Addr())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		fail(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		fail(err)
	}
	fmt.Println("backoffs:", r.counter("accept_backoffs_total") > 0, "open:", r.open.Load())
}

// 400 clients connect to a server with 200 file descriptors. It keeps running, serves
// the connections that it could accept, and accepts others when some close. (gnet's
// own server would stop without an error.)
func TestOutOfDescriptors(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), serverEnv+"=1")
	cmd.Stderr = io.Discard
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the server printed nothing, want its address")
	}
	addr := lines.Text()

	connect := func() *client {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatalf("connect to %q: %v", addr, err)
		}
		t.Cleanup(func() { nc.Close() })
		return &client{tb: t, Conn: nc, r: bufio.NewReader(nc)}
	}
	// served reports whether a client gets an answer within wait. A client that
	// isn't accepted yet is in the kernel's queue and gets none.
	served := func(c *client, wait time.Duration) bool {
		if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
			return false
		}
		if _, err := c.Write(frame(`{"msgid":18}`)); err != nil {
			return false
		}
		body, err := proto.ReadFrame(c.r, nil)
		return err == nil && strings.Contains(string(body), ":19")
	}
	var all, accepted, queued []*client
	for range 400 {
		all = append(all, connect())
	}
	ok := make([]bool, len(all))
	var wg sync.WaitGroup
	for i, c := range all {
		wait := time.Second // may not be accepted
		if i < 100 {
			wait = patience // must be accepted
		}
		wg.Go(func() { ok[i] = served(c, wait) })
	}
	wg.Wait()
	for i, c := range all {
		if ok[i] {
			accepted = append(accepted, c)
		} else {
			queued = append(queued, c)
		}
	}
	if len(accepted) < 100 || len(accepted) > 200 {
		t.Fatalf("%d of 400 clients were served, want 100 to 200", len(accepted))
	}
	for _, c := range accepted {
		if !served(c, patience) {
			t.Fatal("a client that was served before got no answer, want one")
		}
	}
	for _, c := range append(accepted, queued...) {
		c.Close()
	}
	for deadline := time.Now().Add(patience); ; {
		if served(connect(), time.Second) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no new client was served after all others had closed, want one")
		}
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "backoffs: true open: 0") {
		t.Errorf("last line of the server = %q, want \"backoffs: true open: 0\"", lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
