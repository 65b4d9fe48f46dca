package daemon

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"chatd/internal/setting"
)

// serve calls run, which serves until stop is closed, and returns the exit
// code. The first SIGTERM or SIGINT closes stop, and run drains. After a second
// one serve returns at once, and the process ends without draining.
func serve(inv *invocation, log *slog.Logger, run func(context.Context, <-chan struct{}, *Config, *slog.Logger) error) int {
	for _, name := range inv.Unknown {
		log.Warn("unknown environment variable ignored", "name", name)
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
	log.Info("chatd starting", "version", inv.Version, "pid", os.Getpid(), "db", setting.Redacted(inv.Store.DB), "open_files", files.Cur)

	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	// Draining needs the store, so a signal closes stop and doesn't cancel ctx.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- run(ctx, stop, &inv.Config, log) }()

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
		case s := <-signals:
			if draining {
				log.Error("chatd stopped before the drain was complete", "signal", s.String())
				return exitError
			}
			draining = true
			log.Info("chatd draining; a second signal stops it at once", "signal", s.String(), "timeout", inv.DrainTimeout)
			close(stop)
		}
	}
}
