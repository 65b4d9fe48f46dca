package scenario

import (
	"context"

	"chatd/bench/load"
)

// Scenario is one kind of load. Its flags are its fields.
type Scenario interface {
	Name() string
	// validate says which flags make no sense.
	Check() error
	// run puts the load on r's server and writes what it saw into r's report.
	// It ends early when ctx does; then its error doesn't count.
	Run(ctx context.Context, r *load.Env) error
}
