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

const about = `The load harness of chatd.

It starts a chatd of its own with an empty store in a temporary folder (or takes
one that runs, with --addr), puts load on it, and checks that whatever was
delivered is complete, without repeats and in order. Then it says how much that
was, how long each message took, and what it cost the server and itself in CPU
time. A run in which a promise was broken ends with exit code 1.

Generator and server share this machine: only loopback addresses are taken.

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

// options are the flags that all scenarios share.
type options struct {
	target.Flags  `embed:""`
	report.Output `embed:""`
}

// commandLine is what kong fills in.
type commandLine struct {
	options `embed:""`

	Stream  scenario.Stream  `cmd:"" help:"Stored messages: pairs of users, each sender keeps a window of messages unacknowledged."`
	Ping    scenario.Ping    `cmd:"" help:"One message on the way for each pair: what a message costs that can share nothing."`
	Event   scenario.Event   `cmd:"" help:"Events, which are relayed and never stored: pairs of users, a window of events on the way."`
	Floor   scenario.Floor   `cmd:"" help:"The same load on a bare relay that neither decodes nor stores: what is left of a figure without the chat."`
	Fanout  scenario.Fanout  `cmd:"" help:"One group, all of it online: what some say arrives at all others."`
	Mix     scenario.Mix     `cmd:"" help:"A day: most are silent, some talk, some come and go."`
	Connect scenario.Connect `cmd:"" help:"Idle connections: how fast they come up and what each costs."`
	Login   scenario.Login   `cmd:"" help:"Logins: users connect, log in by token or password, and are gone."`
	Storm   scenario.Storm   `cmd:"" help:"A reconnect storm: all idle connections are cut at once and come back, while others talk."`
	Offline scenario.Offline `cmd:"" help:"Messages for users who are away: storing them, and how soon who comes back has them all."`

	Bully scenario.NoisyNeighbor `cmd:"" help:"One who sends as fast as possible among quiet ones: how much do they notice?"`
	Soak  scenario.Soak          `cmd:"" help:"A long time at a rate that keeps the server busy: its memory, goroutines and descriptors have to stay what they are."`
	Crash crashCommand           `cmd:"" help:"A cluster that is killed, frozen, filled and cut off while people talk: is anything lost, doubled or out of order?"`

	AB      abCommand      `cmd:"" name:"ab" help:"Two of these by turns, A B B A …: how B is to A, and whether that is more than the noise."`
	Compare compareCommand `cmd:"" help:"Reports that --json has written: what changed from A to B, and whether that is more than the noise."`
}

// invocation is a command line understood.
type invocation struct {
	options
	scenario scenario.Scenario // nil: it is a tool
	settings map[string]string // the scenario's flags, for the report
	tool     tool
}

// measure runs the scenario. It blocks until the run is over.
func (inv *invocation) measure(ctx context.Context, stderr, live io.Writer) *report.Report {
	return scenario.Measure(ctx, inv.scenario, inv.settings, &inv.Flags, stderr, live)
}

// tool is a command that is no load of its own: it works with reports.
type tool interface {
	name() string
	// shared lists the flags of a target that it takes.
	shared() []string
	// validate says which flags make no sense.
	validate() error
	// run does the work and returns the exit code.
	run(ctx context.Context, out *report.Output, stdout, stderr, live io.Writer) int
}

// toolFlags are those of the shared flags that tools take.
var toolFlags = []string{"help", "json"}

// parse reads and validates a command line. It is nil without an error where
// help was asked for, which is on stdout then.
func parse(args []string, stdout io.Writer) (*invocation, error) {
	var cl commandLine
	helped := false
	k, err := kong.New(&cl, kong.Name("chatbench"), kong.Description(about),
		kong.Writers(stdout, stdout), kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true}))
	if err != nil {
		return nil, fmt.Errorf("the options' tags: %w", err)
	}
	tools := []tool{&cl.AB, &cl.Compare, &cl.Crash}
	cl.Crash.target = &cl.Flags
	for _, t := range tools {
		if len(args) > 0 && t.name() == args[0] { // its help has nothing of what it doesn't take
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

// takes says whether a tool takes a flag that all share.
func takes(t tool, flag string) bool {
	return slices.Contains(toolFlags, flag) || slices.Contains(t.shared(), flag)
}

// onlyToolFlags refuses what a tool would silently do nothing with.
func onlyToolFlags(t tool, ctx *kong.Context) error {
	var bad []error
	for _, p := range ctx.Path {
		if p.Flag != nil && slices.Contains(ctx.Model.Flags, p.Flag) && !takes(t, p.Flag.Name) {
			bad = append(bad, fmt.Errorf("--%s: %s doesn't take it", p.Flag.Name, t.name()))
		}
	}
	return errors.Join(bad...)
}
