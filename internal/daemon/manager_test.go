package daemon

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"chatd/reactor"
)

// hangingLoop has two event loops, of which the second runs no task before release.
type hangingLoop struct{ release chan struct{} }

func (h hangingLoop) Loops() int { return 2 }

func (h hangingLoop) Post(i int, fn func(t reactor.Turn)) error {
	go func() {
		if i == 1 {
			<-h.release
		}
		fn(reactor.Turn{})
	}()
	return nil
}

// stoppedLoop has ended, as while a node stops.
type stoppedLoop struct{}

func (stoppedLoop) Loops() int                         { return 1 }
func (stoppedLoop) Post(int, func(reactor.Turn)) error { return reactor.ErrStopped }

// While an event loop hangs, the service manager must hear nothing, so that it restarts
// the node. When the loop continues, it hears again. A loop that has stopped doesn't
// count: a node may take long to stop.
func TestWatchdogOfHangingLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Setenv("WATCHDOG_USEC", "1000000")
		m := &manager{log: slog.New(slog.DiscardHandler), queue: make(chan string, 16)}
		ctx, cancel := context.WithCancel(t.Context())
		h := hangingLoop{make(chan struct{})}
		ended := make(chan struct{})
		go func() {
			m.watch(ctx, h)
			close(ended)
		}()
		time.Sleep(time.Hour)
		if n := len(m.queue); n != 0 {
			t.Errorf("while a loop hangs, the service manager heard %d states, want none", n)
		}
		close(h.release)
		time.Sleep(2 * time.Second)
		if n := len(m.queue); n < 3 {
			t.Errorf("within 2 s, the service manager with a watchdog of 1 s heard %d states, want at least 3", n)
		}
		cancel()
		<-ended
		if !turned(t.Context(), stoppedLoop{}) {
			t.Error("a stopped loop counts as one that hangs, want not")
		}
	})
}

// After the second signal, chatd ends while the node is still draining. The node may
// then report states that nobody waits for.
func TestManagerAfterClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	m := newManager(slog.New(slog.DiscardHandler))
	m.draining()
	m.close(time.Minute)
	b := make([]byte, 100)
	if n, err := conn.Read(b); err != nil || string(b[:n]) != "STOPPING=1" {
		t.Errorf("before close, the service manager heard %q, %v; want STOPPING=1", b[:n], err)
	}
	m.draining() // must not panic
}
