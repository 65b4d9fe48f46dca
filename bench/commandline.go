package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/alecthomas/kong"

	"chatd/bench/report"
	"chatd/bench/scenario"
	"chatd/bench/target"
)

const about = `The load generator of chatd.

It starts a chatd with an empty database in a temporary folder (or uses a running one, with
--addr), puts load on it, and checks that everything delivered is complete, in order and
without repeats. Then it reports rates, latencies, and the CPU time that the server and
chatbench used. If the server broke a promise, the exit code is 1.

Generator and server share this machine: only loopback addresses are accepted.

Examples:
  chatbench stream
  chatbench ping --kind chat --pairs 200
  chatbench event --duration 30s --json event.json
  chatbench connect --conns 10000
  chatbench stream --spawn cluster --nodes 3
  chatbench stream --addr 127.0.0.1:6000 --pid $(pidof chatd)
  chatbench stream --html run.html --json run.json
  chatbench ab --rounds 5 -- stream --chatd old/chatd -- stream --chatd new/chatd
  chatbench compare monday.json tuesday.json`

// options are the flags of all scenarios.
type options struct {
	target.Flags  `embed:""`
	report.Output `embed:""`
}

// commandLine is what kong parses.
type commandLine struct {
	options `embed:""`

	Stream  scenario.Stream  `cmd:"" help:"Stored messages: pairs of users; each sender keeps a window of messages unacknowledged."`
	Ping    scenario.Ping    `cmd:"" help:"One message in flight per pair: the cost of a message that isn't batched with others."`
	Event   scenario.Event   `cmd:"" help:"Events, which are relayed and not stored: pairs of users with a window of events in flight."`
	Floor   scenario.Floor   `cmd:"" help:"Baseline: the same load on a bare relay, which neither decodes nor stores messages."`
	Fanout  scenario.Fanout  `cmd:"" help:"One group whose members are all online: messages from some members to all others."`
	Mix     scenario.Mix     `cmd:"" help:"Everyday use: most users are idle, some send, some disconnect and return."`
	Connect scenario.Connect `cmd:"" help:"Idle connections: how fast clients connect, and what each connection costs."`
	Login   scenario.Login   `cmd:"" help:"Logins: users connect, log in by token or password, and disconnect."`
	Storm   scenario.Storm   `cmd:"" help:"Reconnect storm: all idle connections are cut at once and return, while others send messages."`
	Offline scenario.Offline `cmd:"" help:"Messages for offline users: storing them, and delivering them at login."`

	Bully scenario.NoisyNeighbor `cmd:"" help:"Noisy neighbors: how much the latencies of others rise while some users send as fast as they can."`
	Soak  scenario.Soak          `cmd:"" help:"Long run at a rate that keeps the server busy: memory, goroutines and file descriptors must not grow."`
	Crash crashCommand           `cmd:"" help:"Crash tester: kill, freeze and disconnect parts of a cluster, or of a node with SQLite, under load, and check that no message is lost, duplicated or reordered."`

	AB      abCommand      `cmd:"" name:"ab" help:"Run two command lines alternately, A B B A …, and report the ratio of B to A and whether it exceeds noise."`
	Compare compareCommand `cmd:"" help:"Compare reports saved with --json: what changed from A to B, and whether it exceeds noise."`
}

// invocation is a checked command line.
type invocation struct {
	options
	scenario scenario.Scenario // nil for a tool, which isn't a scenario
	settings map[string]string // flags of the scenario, for the report
	tool     tool
}

// measure runs the scenario. It blocks until the run is over.
func (inv *invocation) measure(ctx context.Context, stderr, live io.Writer) *report.Report {
	return scenario.Measure(ctx, inv.scenario, inv.settings, &inv.Flags, stderr, live)
}

// tool is a command that isn't a scenario.
type tool interface {
	name() string
	// shared lists the flags of target.Flags that it accepts.
	shared() []string
	// validate checks the flags.
	validate() error
	// run does the work and returns the exit code.
	run(ctx context.Context, out *report.Output, stdout, stderr, live io.Writer) int
}

// toolFlags are the shared flags that every tool accepts.
var toolFlags = []string{"help", "json"}

// parse parses and checks a command line. It returns nil without an error if
// help was asked for, which is on stdout then.
func parse(args []string, stdout io.Writer) (*invocation, error) {
	var cl commandLine
	helped := false
	k, err := kong.New(&cl, kong.Name("chatbench"), kong.Description(about),
		kong.Writers(stdout, stdout), kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true}))
	if err != nil {
		return nil, fmt.Errorf("struct tags of the flags: %w", err)
	}
	k.Model.HelpFlag.Help = "Print this help and exit."
	tools := []tool{&cl.AB, &cl.Compare, &cl.Crash}
	cl.Crash.target = &cl.Flags
	for _, t := range tools {
		if len(args) > 0 && t.name() == args[0] { // its help lists only what it accepts
			for _, f := range k.Model.Flags {
				f.Hidden = f.Hidden || !takes(t, f.Name)
			}
		}
	}
	ctx, err := k.Parse(args)
	if helped {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	inv := &invocation{settings: make(map[string]string)}
	name := ctx.Selected().Name
	for _, t := range tools {
		if t.name() == name {
			inv.options, inv.tool = cl.options, t
			return inv, errors.Join(onlyToolFlags(t, ctx), cl.Output.Check(), t.validate())
		}
	}
	for _, s := range append(cl.Floor.Scenarios(), &cl.Stream, &cl.Ping, &cl.Event, &cl.Fanout, &cl.Mix, &cl.Connect, &cl.Login, &cl.Storm, &cl.Offline, &cl.Bully, &cl.Soak) {
		if s.Name() == ctx.Command() {
			inv.scenario = s
		}
	}
	if inv.scenario == nil {
		return nil, fmt.Errorf("no scenario named %q", name)
	}
	if f, ok := inv.scenario.(*scenario.Floored); ok {
		cl.Flags.Floor = f.Relay()
	}
	if err := errors.Join(cl.Flags.Check(), cl.Output.Check(), inv.scenario.Check()); err != nil {
		return nil, err
	}
	inv.options = cl.options
	for _, f := range ctx.Selected().Flags {
		inv.settings[f.Name] = fmt.Sprint(ctx.FlagValue(f))
	}
	return inv, nil
}

// takes reports whether a tool accepts a shared flag.
func takes(t tool, flag string) bool {
	return slices.Contains(toolFlags, flag) || slices.Contains(t.shared(), flag)
}

// onlyToolFlags refuses flags that the tool would ignore.
func onlyToolFlags(t tool, ctx *kong.Context) error {
	var bad []error
	for _, p := range ctx.Path {
		if p.Flag != nil && slices.Contains(ctx.Model.Flags, p.Flag) && !takes(t, p.Flag.Name) {
			bad = append(bad, fmt.Errorf("--%s: %s doesn't accept this flag", p.Flag.Name, t.name()))
		}
	}
	return errors.Join(bad...)
}
