package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"chatd/bench/crash"
	"chatd/bench/report"
	"chatd/bench/target"
)

// crashCommand is the command that breaks a cluster while people talk on it.
type crashCommand struct {
	Duration time.Duration `name:"duration" default:"60s" placeholder:"TIME" help:"How long the talk goes on while things break. The whole mostly takes less than twice as long."`
	Seed     uint64        `name:"seed" placeholder:"N" help:"Decides what breaks when: the same seed is the same plan. 0: by the clock; the report says which."`
	Users    int           `name:"users" default:"12" placeholder:"N" help:"Users, each with two devices that talk and one that only listens."`
	Rate     int           `name:"rate" default:"1200" placeholder:"N" help:"Messages per second that all of them together want to say."`
	Faults   []string      `name:"faults" sep:"," placeholder:"NAME,…" help:"Only these, as 'node killed,Redis frozen'; --list names all."`
	List     bool          `name:"list" help:"List the faults, and do nothing else."`
	Logs     string        `name:"logs" placeholder:"FOLDER" help:"Keep what nodes and services have logged, in this folder."`

	target *target.Flags // the shared flags, of which it takes some
}

// crashNodes is how many nodes there are where none are said.
const crashNodes = 3

func (*crashCommand) name() string { return "crash" }

func (*crashCommand) shared() []string { return []string{"nodes", "chatd", "chatd-arg", "dir"} }

func (c *crashCommand) validate() error {
	if err := c.target.FindChatd(); err != nil {
		return err
	}
	cfg := c.config()
	return cfg.Validate()
}

func (c *crashCommand) config() crash.Config {
	t := c.target
	return crash.Config{Chatd: t.Chatd, Dir: t.Dir, Nodes: cmp.Or(t.Nodes, crashNodes), Users: c.Users, Rate: c.Rate, Duration: c.Duration,
		Seed: c.Seed, Faults: c.Faults, Args: t.Args, Logs: c.Logs}
}

func (c *crashCommand) run(ctx context.Context, out *report.Output, stdout, stderr, live io.Writer) int {
	if c.List {
		for _, f := range crash.Faults() {
			fmt.Fprintf(stdout, "%-26s %s\n", f.Name, f.About)
		}
		return exitOK
	}
	p := report.NewProgress(live)
	cfg := c.config()
	cfg.Say = stderr
	cfg.Progress = func(line string) { p.Show("%s", line) }
	for cfg.Seed == 0 {
		cfg.Seed = rand.Uint64() >> 32 // short enough to be typed
	}
	rep, err := crash.Run(ctx, cfg)
	p.Clear()
	text := rep.String()
	if err == nil {
		text += verdictOf(rep)
	}
	if writeErr := report.WriteJSON(stdout, out.JSON, text, rep); writeErr != nil {
		err = errors.Join(err, fmt.Errorf("the report: %w", writeErr))
	}
	switch {
	case err != nil && ctx.Err() == nil:
		fmt.Fprintf(stderr, "chatbench: the run could not be carried out, which says nothing about the server: %v\n", err)
		return exitFailure
	case rep.Interrupted:
		return exitInterrupted
	case !rep.Clean():
		fmt.Fprintln(stderr, "chatbench: a promise was broken")
		return exitFailure
	}
	return exitOK
}

// verdictOf is the report's last line, and how to get the run again.
func verdictOf(r *crash.Report) string {
	verdict := "every promise was kept"
	if !r.Clean() {
		verdict = "BROKEN"
	}
	return fmt.Sprintf("%s; the same plan again: chatbench crash --seed %d --duration %s --nodes %d --users %d --rate %d\n",
		strings.TrimSpace(verdict), r.Seed, r.Duration, r.Nodes, r.Users, r.Rate)
}
