package main

import (
	"context"
	"io"
)

// measure carries one scenario out; its report says whether that went well.
func measure(ctx context.Context, inv *invocation, stderr, live io.Writer) *report {
	rep, err := bench(ctx, inv, stderr, live)
	if err != nil {
		rep.Failed = err.Error()
	}
	rep.Interrupted = ctx.Err() != nil
	return rep
}

// bench carries one scenario out, from the server's start to its end. The
// report is never nil: beside an error it says how far it came.
func bench(ctx context.Context, inv *invocation, stderr, live io.Writer) (*report, error) {
	rep := newReport(inv.scenario.name(), inv.settings)
	p := newProgress(live)
	srv, err := newServer(ctx, &inv.target, p, stderr)
	if err != nil {
		p.clear()
		return rep, err
	}
	rep.Server = srv.describe(ctx)
	r := &rig{server: srv, progress: p, report: rep, faults: &faults{}, clock: newClock()}
	if err = inv.scenario.run(ctx, r); ctx.Err() != nil {
		err = nil // whatever failed then failed because of it
	}
	r.progress.clear()
	rep.Faults, rep.FirstFaults = r.faults.summary()
	if stopErr := srv.stop(); err == nil {
		err = stopErr
	}
	return rep, err
}
