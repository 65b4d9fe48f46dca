package crash

import (
	"context"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"chatd/internal/services"
)

// fakeNode is the environment variable that makes this test binary a fake node
// of the given kind. A fake node becomes ready; its kind says how it ends.
const fakeNode = "CHATD_CRASH_TEST_NODE"

func TestMain(m *testing.M) {
	if kind := os.Getenv(fakeNode); kind != "" {
		os.Exit(beNode(kind, os.Args[4]))
	}
	os.Exit(m.Run())
}

func beNode(kind, addr string) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR1)
	go func() {
		_ = http.ListenAndServe(addr, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) // on an error it is never ready
	}()
	switch sig := <-signals; {
	case kind == "panics" && sig == syscall.SIGUSR1:
		panic("nobody recovers this")
	case kind == "bad":
		return 3
	}
	return 0
}

// nodesAlone returns a cluster that contains only running fake nodes of these
// kinds.
func nodesAlone(t *testing.T, kinds ...string) *cluster {
	t.Helper()
	f, err := services.NewFolder(t.TempDir(), "crash-")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{folder: f, locks: make(map[*services.Service]*sync.Mutex)}
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	})
	for _, kind := range kinds {
		n, err := services.NewNode(f, "node "+kind, os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		c.nodes, c.locks[n.Service] = append(c.nodes, n), &sync.Mutex{}
		t.Setenv(fakeNode, kind)
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (s *cluster) deaths() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.violations {
		all = append(all, string(v.Kind)+": "+v.Text)
	}
	return all
}

// A node that ends by itself is reported with the end of its log, and
// restarted. One that a fault has killed isn't reported.
func TestDied(t *testing.T) {
	c := nodesAlone(t, "panics", "good")
	first, second := c.nodes[0], c.nodes[1]
	before := first.PID()
	if err := syscall.Kill(before, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if err := second.Kill(); err != nil { // like a fault that didn't restart it
		t.Fatal(err)
	}
	t.Setenv(fakeNode, "good")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { c.supervise(ctx) })
	for end := time.Now().Add(startTimeout); first.PID() == before || first.PID() == 0 || second.PID() == 0; time.Sleep(pollEvery) {
		if time.Now().After(end) {
			t.Fatalf("nodes not restarted after %s; deaths: %q", startTimeout, c.deaths())
		}
	}
	cancel()
	all.Wait()
	got := c.deaths()
	if len(got) != 1 || !strings.HasPrefix(got[0], "died: node panics: ended with exit code 2") || !strings.Contains(got[0], "nobody recovers this") {
		t.Errorf("deaths = %q, want only that of node panics, with its log", got)
	}
}

// At the end of a run every node must be running and shut down with exit code
// 0.
func TestDiedAtTheEnd(t *testing.T) {
	c := nodesAlone(t, "good", "bad", "panics", "gone", "left")
	panics, gone, left := c.nodes[2], c.nodes[3], c.nodes[4]
	if err := gone.Kill(); err != nil {
		t.Fatal(err)
	}
	for sig, n := range map[syscall.Signal]*services.Node{syscall.SIGUSR1: panics, syscall.SIGTERM: left} {
		if err := syscall.Kill(n.PID(), sig); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(startTimeout); n.Ended() == nil; time.Sleep(pollEvery) {
			if time.Now().After(end) {
				t.Fatalf("%s still runs after %s", n.Name(), startTimeout)
			}
		}
	}
	c.stopNodes()
	got := c.deaths()
	for i, want := range []string{"died: node bad: failed with exit code 3", "died: node panics: ended with exit code 2",
		"died: node gone wasn't running at the end", "died: node left: ended with exit code 0"} {
		if len(got) != 4 || !strings.HasPrefix(got[i], want) {
			t.Errorf("deaths = %q, want 4 with number %d starting %q", got, i, want)
		}
	}
}
