package main

import (
	"context"
	"fmt"
	"io"

	"chatd/bench/report"
)

type compareCommand struct {
	A           string `arg:"" help:"File written by --json. If ab wrote it, append :a or :b for one side."`
	B           string `arg:"" optional:"" help:"Another such file. Leave it out if A was written by ab, as it has both sides."`
	FailOnWorse bool   `name:"fail-on-worse" help:"Exit with code 1 if anything got worse, or B broke promises."`
}

func (*compareCommand) name() string { return "compare" }

func (*compareCommand) shared() []string { return nil }

func (c *compareCommand) Help() string {
	return `Every figure and percentile that both have is compared: the ratio of B to A, and whether it
is more than noise. Noise is estimated from the rounds, if both sides have three or more,
otherwise from the seconds within each run. The latter doesn't include drift from one run
to the next; chatbench ab measures that. Several reports in one file, one after the other,
are rounds:

  cat 1.json 2.json 3.json > before.json
  chatbench compare before.json after.json
  chatbench compare trial.json                          # written by ab
  chatbench compare monday.json:b tuesday.json:b

Exit code 0, or 1 with --fail-on-worse; 2 if a file can't be used.`
}

func (c *compareCommand) validate() error { return nil }

func (c *compareCommand) run(_ context.Context, out *report.Output, stdout, stderr, _ io.Writer) int {
	cmp, err := report.CompareFiles(c.A, c.B)
	if err != nil {
		fmt.Fprintf(stderr, "chatbench: compare: %v\n", err)
		return exitUsage
	}
	if err := report.WriteJSON(stdout, out.JSON, cmp.Table(), cmp); err != nil {
		fmt.Fprintf(stderr, "chatbench: write the report: %v\n", err)
		return exitFailure
	}
	if c.FailOnWorse && cmp.Worse() {
		fmt.Fprintln(stderr, "chatbench: something got worse")
		return exitFailure
	}
	return exitOK
}
