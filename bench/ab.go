package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"

	"chatd/bench/report"
)

// MaxRounds bounds what ab may take of a day, as maxDuration does of a run.
const MaxRounds = 100

// abCommand is the tool that runs two command lines by turns.
type abCommand struct {
	Rounds int      `name:"rounds" default:"5" help:"How often each of both runs."`
	Args   []string `arg:"" name:"args" help:"The command lines: -- A's -- B's."`

	a, b []string
}

func (*abCommand) name() string { return "ab" }

func (*abCommand) shared() []string { return nil }

func (*abCommand) Help() string {
	return `Two command lines of chatbench, each after a -- of its own, run by turns in this
process: A B, B A, A B, … . What drifts on the machine meets both. Each round gives the
ratio of B to A for every figure and percentile that both have; told are the median of
them and the least and the most. A difference is one if all rounds say so.

  chatbench ab -- stream --chatd old/chatd -- stream --chatd new/chatd
  chatbench ab --rounds 9 -- stream --window 32 -- stream --window 64

The scenarios may differ. --json has the reports of all rounds, for chatbench compare.
Ctrl-C ends it with the rounds that are complete. It ends too where a run fails or a
promise is broken, with exit code 1.`
}

// validate also reads both command lines: their mistakes are told before the
// first round.
func (c *abCommand) validate() error {
	var bad []error
	if c.Rounds < 1 || c.Rounds > MaxRounds {
		bad = append(bad, fmt.Errorf("--rounds: %d is not between 1 and %d", c.Rounds, MaxRounds))
	}
	args := c.Args // without the first --, which ended ab's own flags
	at := slices.Index(args, "--")
	if at < 0 || slices.Contains(args[at+1:], "--") {
		return errors.Join(append(bad, errors.New("two command lines are needed, each after a --, as in: ab -- stream --window 1 -- stream --window 2"))...)
	}
	c.a, c.b = args[:at], args[at+1:]
	for _, s := range []struct {
		name string
		args []string
	}{{"A", c.a}, {"B", c.b}} {
		if _, err := parseRun(s.args); err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	return errors.Join(bad...)
}

// parseRun reads the command line of one run, which is made anew for each:
// nothing that a run leaves in it is the next one's.
func parseRun(args []string) (*invocation, error) {
	inv, err := parse(args, io.Discard)
	switch {
	case err != nil:
		return nil, err
	case inv == nil:
		return nil, errors.New("--help: ask for it without ab")
	case inv.tool != nil:
		return nil, fmt.Errorf("%s is no load", inv.tool.name())
	case inv.JSON != "" || inv.HTML != "" || inv.SVG != "":
		return nil, errors.New("--json, --html, --svg: a run of ab writes none; ab itself takes --json")
	}
	return inv, nil
}

// run runs all rounds. It blocks for as long as they take.
func (c *abCommand) run(ctx context.Context, out *report.Output, stdout, stderr, live io.Writer) int {
	t := &report.Trial{ArgsA: c.a, ArgsB: c.b}
	for i := 0; i < c.Rounds && t.Failed == "" && ctx.Err() == nil; i++ {
		c.round(ctx, t, i, stderr, live)
	}
	t.Interrupted = ctx.Err() != nil
	if a, b := t.Sides(); len(a.Reports) > 0 {
		t.Comparison = report.NewComparison(a, b, true)
	}
	if err := report.WriteJSON(stdout, out.JSON, t.Table(), t); err != nil {
		fmt.Fprintf(stderr, "chatbench: the trial: %v\n", err)
		return exitFailure
	}
	switch {
	case t.Failed != "":
		fmt.Fprintf(stderr, "chatbench: %s\n", t.Failed)
		return exitFailure
	case t.Interrupted:
		return exitInterrupted
	}
	return exitOK
}

// round runs A and B, or B and A every other time: whatever the first leaves
// to the second isn't always the same one's.
func (c *abCommand) round(ctx context.Context, t *report.Trial, i int, stderr, live io.Writer) {
	t.Rounds = append(t.Rounds, report.Round{First: "A"})
	r := &t.Rounds[i]
	order := []string{"A", "B"}
	if i%2 == 1 {
		order, r.First = []string{"B", "A"}, "B"
	}
	for _, who := range order {
		args, rep := t.ArgsA, &r.A
		if who == "B" {
			args, rep = t.ArgsB, &r.B
		}
		inv, err := parseRun(args)
		if err != nil { // it was fine before: a file has gone
			t.Failed = fmt.Sprintf("round %d, %s: %v", i+1, who, err)
			return
		}
		debug.FreeOSMemory() // the run before is no burden
		*rep = inv.measure(ctx, stderr, &prefixWriter{live, fmt.Sprintf("round %d of %d, %s: ", i+1, c.Rounds, who)})
		if !(*rep).Good() {
			t.Failed = fmt.Sprintf("round %d, %s: %s", i+1, who, (*rep).Verdict())
		}
		if t.Failed != "" || ctx.Err() != nil {
			return
		}
	}
}

// prefixWriter is a progress line that says first what it belongs to.
type prefixWriter struct {
	w      io.Writer
	prefix string
}

func (p *prefixWriter) Write(text []byte) (int, error) {
	line, ok := strings.CutPrefix(string(text), report.ClearLine)
	if ok && line != "" {
		line = p.prefix + line
	}
	if _, err := io.WriteString(p.w, report.ClearLine+line); err != nil {
		return 0, err
	}
	return len(text), nil
}
