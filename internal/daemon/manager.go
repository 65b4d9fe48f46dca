package daemon

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"chatd/reactor"
)

// managerPatience is how long to wait at the end for the service manager to read.
const managerPatience = time.Second

// manager tells the service manager, such as systemd, when the server is ready,
// reloads its settings, stops, and still works. The manager names a socket for that
// in the environment variable NOTIFY_SOCKET. Nobody may read that socket, so a
// goroutine of its own writes to it. Methods never block, except close. They may be
// called from any goroutine, and m may be nil.
type manager struct {
	log   *slog.Logger
	queue chan string
	ended chan struct{}

	mu                      sync.Mutex // keeps the order of the states
	ready, stopping, closed bool
}

// newManager returns nil if there is no NOTIFY_SOCKET.
func newManager(log *slog.Logger) *manager {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	m := &manager{log: log, queue: make(chan string, 16), ended: make(chan struct{})}
	go func() {
		defer close(m.ended)
		failed := false
		for state := range m.queue {
			_, err := systemd.SdNotify(false, state)
			if err != nil && !failed {
				log.Warn("can't notify the service manager", "socket", os.Getenv("NOTIFY_SOCKET"), "err", err)
			}
			failed = err != nil
		}
	}()
	return m
}

// send drops the state if the manager doesn't read. m.mu must be locked.
func (m *manager) send(state string) {
	if m.closed {
		return
	}
	select {
	case m.queue <- state:
	default:
	}
}

// serving says that the node accepts clients, unless it is stopping.
func (m *manager) serving() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.stopping {
		m.ready = true
		m.send(systemd.SdNotifyReady)
	}
}

// draining says that the node is stopping.
func (m *manager) draining() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopping = true
	m.send(systemd.SdNotifyStopping)
}

// reloading says that the node reads its settings again, calls reload, and says that
// the node is ready. Before the node is ready, and once it drains, it only calls
// reload. reload may block; meanwhile other methods don't.
func (m *manager) reloading(reload func()) {
	if m.sendIfRunning(func() string {
		// Type=notify-reload needs the time.
		return systemd.SdNotifyReloading + "\n" + systemd.SdNotifyMonotonicUsec()
	}) {
		defer m.sendIfRunning(func() string { return systemd.SdNotifyReady })
	}
	reload()
}

// sendIfRunning sends a state if the node is ready and doesn't drain, and reports
// whether it is.
func (m *manager) sendIfRunning(state func() string) bool {
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ready || m.stopping {
		return false
	}
	m.send(state())
	return true
}

// watch tells the manager that the node works, twice per interval that the manager
// has set in WATCHDOG_USEC, whenever all event loops have run a task. It blocks until
// ctx ends. If a loop hangs, the manager hears nothing and restarts the node.
func (m *manager) watch(ctx context.Context, r loops) {
	if m == nil {
		return
	}
	interval, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		m.log.Warn("the service manager's watchdog is off", "err", err)
	}
	if interval <= 0 {
		return
	}
	tick := time.NewTicker(max(interval/2, time.Millisecond))
	defer tick.Stop()
	for {
		if !turned(ctx, r) {
			return
		}
		m.mu.Lock()
		m.send(systemd.SdNotifyWatchdog)
		m.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// loops are the event loops of a reactor.
type loops interface {
	Loops() int
	Post(i int, fn func(t reactor.Turn)) error
}

// turned waits until each loop has run a task or has stopped. It returns false if ctx
// ends before that.
func turned(ctx context.Context, r loops) bool {
	n := r.Loops()
	done := make(chan struct{}, n)
	for i := range n {
		if r.Post(i, func(reactor.Turn) { done <- struct{}{} }) != nil {
			done <- struct{}{} // it has stopped, as it should
		}
	}
	for range n {
		select {
		case <-done:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// close waits until the manager has been told everything, but not for longer than
// patience. After that, nothing is sent.
func (m *manager) close(patience time.Duration) {
	if m == nil {
		return
	}
	m.mu.Lock()
	m.closed = true
	close(m.queue)
	m.mu.Unlock()
	select {
	case <-m.ended:
	case <-time.After(patience):
	}
}
