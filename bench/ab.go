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

// maxRounds bounds how long ab may take.
const maxRounds = 100

// abCommand runs two command lines alternately and compares them.
type abCommand struct {
	Rounds int      `name:"rounds" default:"5" help:"How many times to run each of the two."`
	Args   []string `arg:"" name:"args" help:"Two command lines, each after its own --."`

	a, b []string
}

func (*abCommand) name() string { return "ab" }

func (*abCommand) shared() []string { return nil }

func (*abCommand) Help() string {
	return `Two command lines of chatbench, each after its own --, run alternately in this process:
A B, B A, A B, … So slow drift of the machine affects both. Each round gives the ratio of B
to A for every figure and percentile that both have. The result is the median ratio, and
the least and greatest. If all rounds agree, the difference is real.

  chatbench ab -- stream --chatd old/chatd -- stream --chatd new/chatd
  chatbench ab --rounds 9 -- stream --window 32 -- stream --window 64

The scenarios may differ. --json contains the reports of all rounds, for chatbench compare.
Ctrl-C ends it with the rounds completed so far. It also ends if a run fails or a promise is
broken, with exit code 1.`
}

// validate also checks both command lines, before anything runs.
func (c *abCommand) validate() error {
	var bad []error
	if c.Rounds < 1 || c.Rounds > maxRounds {
		bad = append(bad, fmt.Errorf("--rounds: %d is not between 1 and %d", c.Rounds, maxRounds))
	}
	args := c.Args // kong has removed the first --
	at := slices.Index(args, "--")
	if at < 0 || slices.Contains(args[at+1:], "--") {
		return errors.Join(append(bad, errors.New("ab needs two command lines, each after its own --, such as: ab -- stream --window 1 -- stream --window 2"))...)
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

// parseRun parses the command line of one run. It is parsed anew for each run
// because scenarios keep state in it.
func parseRun(args []string) (*invocation, error) {
	inv, err := parse(args, io.Discard)
	switch {
	case err != nil:
		return nil, err
	case inv == nil:
		return nil, errors.New("--help: not inside ab; run it without ab")
	case inv.tool != nil:
		return nil, fmt.Errorf("ab can't run %s, only scenarios", inv.tool.name())
	case inv.JSON != "" || inv.HTML != "" || inv.SVG != "":
		return nil, errors.New("--json, --html, --svg: not inside ab; ab itself accepts --json")
	}
	return inv, nil
}

// run runs all rounds. It blocks until they are done.
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
		fmt.Fprintf(stderr, "chatbench: write the report: %v\n", err)
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

// round runs A and B, or B and A every other time, so that neither always runs
// second.
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
		if err != nil { // a file has disappeared since validate
			t.Failed = fmt.Sprintf("round %d, %s: %v", i+1, who, err)
			return
		}
		debug.FreeOSMemory() // so that the next run starts with the same memory
		*rep = inv.measure(ctx, stderr, &prefixWriter{live, fmt.Sprintf("round %d of %d, %s: ", i+1, c.Rounds, who)})
		if !(*rep).Good() {
			t.Failed = fmt.Sprintf("round %d, %s: %s", i+1, who, (*rep).Verdict())
		}
		if t.Failed != "" || ctx.Err() != nil {
			return
		}
	}
}

// prefixWriter puts a prefix before each progress line.
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
