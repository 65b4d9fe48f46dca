package daemon

import (
	"context"
	"log/slog"
	"os"
	"syscall"
	"testing"
)

// The first signal starts the drain. The second one makes serve return at once.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		draining, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
		hang := func(_ context.Context, stop <-chan struct{}, _ *Config, _ *slog.Logger) error {
			defer close(ended)
			syscall.Kill(os.Getpid(), sig)
			<-stop
			close(draining)
			<-release
			return nil
		}
		code := make(chan int, 1)
		go func() { code <- serve(&invocation{}, slog.New(slog.DiscardHandler), hang) }()
		<-draining
		syscall.Kill(os.Getpid(), sig)
		if got := <-code; got != exitError {
			t.Errorf("%v twice: exit code %d, want %d", sig, got, exitError)
		}
		close(release)
		<-ended
	}
}
