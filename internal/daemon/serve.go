package daemon

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"chatd/internal/setting"
)

// ignored are signals that would end or stop a process, and have no meaning for a
// server. Without this, the Go runtime ends the process when it writes to a pipe that
// nobody reads, such as a log's (SIGPIPE). A write beyond the limit of file sizes
// (SIGXFSZ), or to a terminal from the background (SIGTTOU), returns an error, or is
// done.
var ignored = []os.Signal{syscall.SIGPIPE, syscall.SIGXFSZ, syscall.SIGTTOU, syscall.SIGTTIN, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM}

// serve calls run, which serves until stop is closed, and returns the exit
// code. The first SIGTERM or SIGINT closes stop, and run drains. After a second
// one serve returns at once, and the process ends without draining. SIGHUP reloads
// the settings, unless it says that the server's terminal is closed: then serve
// drains.
func serve(inv *invocation, log *slog.Logger, run func(context.Context, <-chan struct{}, *Config, *slog.Logger) error) int {
	for _, name := range inv.Unknown {
		log.Warn("unknown environment variable ignored", "name", name)
	}
	for _, file := range exposed(inv) {
		log.Warn("a file with a password is readable by other users; run chmod 600 on it", "file", file)
	}
	if inv.NoLimits {
		log.Warn("--no-limits: all limits per address, user and connection are off")
	}
	// The Go runtime has raised the soft limit to the hard limit. It bounds the
	// number of connections.
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		log.Warn("can't read the limit of open files", "err", err)
	}
	log.Info("chatd starting", "version", inv.Version, "pid", os.Getpid(), "db", setting.Redacted(inv.Store.DB), "open_files", files.Cur,
		"memory", setting.FormatSize(int(limitMemory(inv.Memory, log))))

	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	signal.Ignore(ignored...)

	// Draining needs the store, so a signal closes stop and doesn't cancel ctx.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- run(ctx, stop, &inv.Config, log) }()

	// Reloading reads files, which may block. Signals must be obeyed all the same.
	reload := make(chan struct{}, 1)
	defer close(reload)
	go func() {
		for range reload {
			inv.manager.reloading(func() { inv.live.reload(log) })
		}
	}()

	draining := false
	for {
		select {
		case err := <-done:
			if err != nil {
				log.Error("chatd failed", "err", err)
				return exitError
			}
			log.Info("chatd drained and stopped")
			return exitDone
		case <-hangups:
			switch {
			case !inv.live.hungUp():
				select {
				case reload <- struct{}{}:
				default: // one is waiting already
				}
			case !draining:
				draining = true
				inv.manager.draining()
				log.Info("chatd draining: its terminal was closed", "timeout", inv.DrainTimeout)
				close(stop)
			}
		case s := <-signals:
			if draining {
				log.Error("chatd stopped before the drain was complete", "signal", s.String())
				return exitError
			}
			draining = true
			inv.manager.draining()
			log.Info("chatd draining; a second signal stops it at once", "signal", s.String(), "timeout", inv.DrainTimeout)
			close(stop)
		}
	}
}
