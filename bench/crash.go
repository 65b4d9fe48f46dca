package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"chatd/bench/crash"
	"chatd/bench/report"
	"chatd/bench/target"
)

type crashCommand struct {
	Duration time.Duration `name:"duration" default:"60s" placeholder:"TIME" help:"How long to send messages and cause faults. The whole run usually takes less than twice as long."`
	Seed     uint64        `name:"seed" placeholder:"N" help:"Seed of the plan of faults: the same seed gives the same plan. 0: random; the report shows it."`
	Users    int           `name:"users" default:"12" placeholder:"N" help:"Users, each with two devices that send and one that only receives."`
	Rate     int           `name:"rate" default:"1200" placeholder:"N" help:"Messages per second that all devices together try to send."`
	Faults   []string      `name:"faults" sep:"," placeholder:"NAME" help:"Cause only these faults, e.g. 'node killed,Redis frozen'. --list shows all of the cluster, or of SQLite with --spawn sqlite."`
	List     bool          `name:"list" help:"List the faults and exit."`
	Logs     string        `name:"logs" placeholder:"FOLDER" help:"Keep the logs of nodes and services in this folder."`

	target *target.Flags // it accepts some of these flags
}

// crashNodes is the default of --nodes for a cluster.
const crashNodes = 3

func (*crashCommand) name() string { return "crash" }

func (*crashCommand) shared() []string {
	return []string{"spawn", "nodes", "chatd", "chatd-arg", "dir"}
}

func (c *crashCommand) validate() error {
	t := c.target
	if t.Spawn = cmp.Or(t.Spawn, target.SpawnCluster); t.Spawn != target.SpawnCluster && t.Spawn != target.SpawnSQLite {
		return fmt.Errorf("--spawn: crash tests %s and %s, not %q", target.SpawnCluster, target.SpawnSQLite, t.Spawn)
	}
	if err := t.FindChatd(); err != nil {
		return err
	}
	cfg := c.config()
	return cfg.Validate()
}

func (c *crashCommand) config() crash.Config {
	t, nodes := c.target, crashNodes
	if t.Spawn == target.SpawnSQLite {
		nodes = 1
	}
	return crash.Config{Chatd: t.Chatd, Dir: t.Dir, SQLite: t.Spawn == target.SpawnSQLite, Nodes: cmp.Or(t.Nodes, nodes), Users: c.Users, Rate: c.Rate, Duration: c.Duration,
		Seed: c.Seed, Faults: c.Faults, Args: t.Args, Logs: c.Logs}
}

func (c *crashCommand) run(ctx context.Context, out *report.Output, stdout, stderr, live io.Writer) int {
	if c.List {
		for _, f := range crash.Faults() {
			if c.target.Spawn == target.SpawnCluster || !f.OnlyCluster {
				fmt.Fprintf(stdout, "%-26s %s\n", f.Name, f.About)
			}
		}
		return exitOK
	}
	p := report.NewProgress(live)
	cfg := c.config()
	cfg.Say = stderr
	cfg.Progress = func(line string) { p.Show("%s", line) }
	for cfg.Seed == 0 {
		cfg.Seed = rand.Uint64() >> 32 // short enough to type
	}
	rep, err := crash.Run(ctx, cfg)
	p.Clear()
	text := rep.String()
	if err == nil {
		text += verdictOf(rep)
	}
	if writeErr := report.WriteJSON(stdout, out.JSON, text, rep); writeErr != nil {
		err = errors.Join(err, fmt.Errorf("write the report: %w", writeErr))
	}
	switch {
	case err != nil && ctx.Err() == nil:
		fmt.Fprintf(stderr, "chatbench: the run failed, which says nothing about chatd: %v\n", err)
		return exitFailure
	case rep.Interrupted:
		return exitInterrupted
	case !rep.Clean():
		fmt.Fprintln(stderr, "chatbench: chatd broke a promise, see the report")
		return exitFailure
	}
	return exitOK
}

// verdictOf returns the last line of the report, with the command to repeat the
// run.
func verdictOf(r *crash.Report) string {
	verdict := "every promise was kept"
	if !r.Clean() {
		verdict = "PROMISES BROKEN"
	}
	server := fmt.Sprint("--nodes ", r.Nodes)
	if r.SQLite {
		server = "--spawn " + target.SpawnSQLite
	}
	return fmt.Sprintf("%s; to repeat this plan: chatbench crash --seed %d --duration %s %s --users %d --rate %d\n",
		verdict, r.Seed, r.Duration, server, r.Users, r.Rate)
}
