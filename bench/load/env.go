package load

import (
	"time"

	"chatd/bench/report"
	"chatd/bench/target"
)

// Env is what a scenario and its generators share: the server under test and
// where they report to.
type Env struct {
	Server   *target.Server
	Progress *report.Progress
	Report   *report.Report
	Faults   *Faults
	Clock    Clock
}

// NewEnv returns the environment of one run, whose clock starts now.
func NewEnv(s *target.Server, p *report.Progress, r *report.Report) *Env {
	return &Env{Server: s, Progress: p, Report: r, Faults: &Faults{}, Clock: Clock{time.Now()}}
}
