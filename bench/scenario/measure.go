package scenario

import (
	"context"
	"io"

	"chatd/bench/load"
	"chatd/bench/report"
	"chatd/bench/target"
)

// Measure starts the server that flags describe, runs s against it and stops
// the server. It blocks until that is done or ctx ends. The report is never nil
// and says whether the run was good. settings are the flags of s, for the
// report. Programs that have to be installed are announced on installLog. live
// is the terminal for the progress line, or io.Discard.
func Measure(ctx context.Context, s Scenario, settings map[string]string, flags *target.Flags, installLog, live io.Writer) *report.Report {
	rep := report.New(s.Name(), settings)
	if err := measure(ctx, s, rep, flags, installLog, live); err != nil {
		rep.Failed = err.Error()
	}
	rep.Interrupted = ctx.Err() != nil
	return rep
}

func measure(ctx context.Context, s Scenario, rep *report.Report, flags *target.Flags, installLog, live io.Writer) error {
	p := report.NewProgress(live)
	srv, err := target.Start(ctx, flags, p, installLog)
	if err != nil {
		p.Clear()
		return err
	}
	rep.Server = srv.Describe(ctx)
	env := load.NewEnv(srv, p, rep)
	if err = s.Run(ctx, env); ctx.Err() != nil {
		err = nil // it failed because the run was interrupted
	}
	p.Clear()
	rep.Faults, rep.FirstFaults = env.Faults.Summary()
	if stopErr := srv.Stop(); err == nil {
		err = stopErr
	}
	return err
}
