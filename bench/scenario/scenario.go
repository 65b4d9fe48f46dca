package scenario

import (
	"context"

	"chatd/bench/load"
)

// Scenario is one kind of load. Its flags are its exported fields.
type Scenario interface {
	Name() string
	// Check checks the flags. (kong would call a method named Validate itself, and
	// prefix its errors.)
	Check() error
	// Run puts load on env.Server and writes what it measures into env.Report. It
	// blocks until that is done. If ctx is canceled it returns early, and its error is
	// ignored.
	Run(ctx context.Context, env *load.Env) error
}
