package main

import (
	"context"
	"fmt"
	"io"

	"chatd/bench/report"
)

// compareCommand is the tool that compares reports which runs have left.
type compareCommand struct {
	A           string `arg:"" help:"What --json has written; of a file of ab :a or :b behind its name takes one side."`
	B           string `arg:"" optional:"" help:"The same; to be left out where A is a file of ab, which has both."`
	FailOnWorse bool   `name:"fail-on-worse" help:"Exit code 1 if anything got worse, or B broke promises."`
}

func (*compareCommand) name() string { return "compare" }

func (*compareCommand) shared() []string { return nil }

func (c *compareCommand) Help() string {
	return `Every figure and percentile that both have is compared: B by A, and whether that is
more than the noise. The noise is that of the data: of the rounds, where both sides have
three or more, else of the seconds within each run. Drift from one run to the next is
not in the latter: chatbench ab measures that. Several reports in one file, one after
the other, are rounds:

  cat 1.json 2.json 3.json > before.json
  chatbench compare before.json after.json
  chatbench compare trial.json                          # what ab has written
  chatbench compare monday.json:b tuesday.json:b

Exit code 0, or 1 with --fail-on-worse; 2 where a file can't be used.`
}

func (c *compareCommand) validate() error { return nil }

// run reads and compares. It blocks for the reading alone.
func (c *compareCommand) run(_ context.Context, out *report.Output, stdout, stderr, _ io.Writer) int {
	cmp, err := report.CompareFiles(c.A, c.B)
	if err != nil {
		fmt.Fprintf(stderr, "chatbench: compare: %v\n", err)
		return exitUsage
	}
	if err := report.WriteJSON(stdout, out.JSON, cmp.Table(), cmp); err != nil {
		fmt.Fprintf(stderr, "chatbench: the comparison: %v\n", err)
		return exitFailure
	}
	if c.FailOnWorse && cmp.Worse() {
		fmt.Fprintln(stderr, "chatbench: something got worse")
		return exitFailure
	}
	return exitOK
}
