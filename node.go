package main

import (
	"context"
	"errors"
	"log/slog"
)

// run serves until stop is closed and what was accepted is answered.
func run(ctx context.Context, stop <-chan struct{}, cfg *Config, log *slog.Logger) error {
	return errors.New("not wired yet")
}
