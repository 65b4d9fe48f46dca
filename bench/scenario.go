package main

import "context"

// scenario is one kind of load. Its flags are its fields.
type scenario interface {
	name() string
	// validate says which flags make no sense.
	validate() error
	// run puts the load on r's server and writes what it saw into r's report.
	// It ends early when ctx does; then its error doesn't count.
	run(ctx context.Context, r *rig) error
}
