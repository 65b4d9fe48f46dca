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
// code. The first SIGTERM or SIGINT closes stop, and run drains; after a second
// one serve returns at once, and the process ends without draining.
func serve(inv *invocation, log *slog.Logger, run func(context.Context, <-chan struct{}, *Config, *slog.Logger) error) int {
	for _, name := range inv.Unknown {
		log.Warn("unknown environment variable ignored", "name", name)
	}
	if inv.NoLimits {
		log.Warn("no-limits: every limit per address, user and connection is lifted")
	}
	// Go has raised the soft limit to the hard one. It bounds the connections.
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		log.Warn("the limit of open files is unknown", "err", err)
	}
	log.Info("chatd starts", "version", inv.Version, "pid", os.Getpid(), "db", setting.Redacted(inv.Store.DB), "open_files", files.Cur)

	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	// Draining needs the store, so a signal closes stop and leaves ctx alone.
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
				log.Error("chatd ends", "err", err)
				return exitError
			}
			log.Info("chatd has drained and ends")
			return exitDone
		case s := <-signals:
			if draining {
				log.Error("chatd ends at once, without draining", "signal", s.String())
				return exitError
			}
			draining = true
			log.Info("chatd drains; a second signal ends it at once", "signal", s.String(), "timeout", inv.DrainTimeout)
			close(stop)
		}
	}
}
