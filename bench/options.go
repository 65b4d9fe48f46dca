package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/alecthomas/kong"
)

// Bounds of what can be asked for: a slip of the hand must not occupy the
// machine for a day.
const (
	maxDuration = 10 * time.Minute
	maxCount    = 1_000_000_000
	maxPairs    = 4096
	maxNodes    = 16
	maxRate     = 10_000_000
	slowest     = 30 * time.Second
	// openReserve are descriptors that are not connections.
	openReserve = 64
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
	target `embed:""`
	output `embed:""`
}

// target says what is measured.
type target struct {
	Spawn   string   `name:"spawn" default:"sqlite" enum:"sqlite,mysql,cluster" help:"Start a server with this kind of store, and end it afterwards: sqlite; mysql, a node with a MariaDB of its own; cluster, several nodes with a MariaDB and a Redis."`
	Nodes   int      `name:"nodes" placeholder:"N" help:"With --spawn cluster: so many nodes (default: 2; of crash: 3). User i is on node i mod N, so that pairs talk from node to node."`
	Chatd   string   `name:"chatd" placeholder:"PATH" help:"The program to start (default: the chatd beside chatbench)."`
	Args    []string `name:"chatd-arg" sep:"none" placeholder:"ARG" help:"One more argument for each started node, as --chatd-arg=--sqlite-sync=normal; may be repeated."`
	Limits  bool     `name:"limits" help:"Start nodes with the limits that they have by default, in place of --no-limits."`
	MariaDB []string `name:"mariadb-arg" sep:"none" placeholder:"ARG" help:"One more argument for a started MariaDB, as --mariadb-arg=--innodb-buffer-pool-size=4G; may be repeated. It begins with 1 GiB and full flush."`
	Dir     string   `name:"dir" placeholder:"FOLDER" help:"Where the started server's store lies, in a temporary folder (default: the system's). Name one on the disk that is to be measured."`

	Addr  string     `name:"addr" placeholder:"HOST:PORT" help:"Take the server that listens here instead of starting one. Loopback only. Start it with --no-limits --argon2 8,1,1."`
	Other string     `name:"other-addr" placeholder:"HOST:PORT" help:"With --addr: another node of the same cluster. Receivers log in there, so that every message goes from node to node."`
	HTTP  string     `name:"http" placeholder:"HOST:PORT" help:"With --addr: its --http address, to have it collect garbage before its memory is read."`
	PIDs  []namedPID `name:"pid" sep:"none" placeholder:"[NAME=]PID" help:"With --addr: its process, for CPU time and memory. Repeat it for each process of several, as --pid 'node 1=321' --pid MariaDB=123."`

	floor *floored // the floor is measured: a relay of our own
}

// nodes is how many nodes are started.
func (t *target) nodes() int {
	switch {
	case t.Spawn != spawnCluster:
		return 1
	case t.Nodes == 0:
		return 2
	}
	return t.Nodes
}

// commandLine is what kong fills in.
type commandLine struct {
	options `embed:""`

	Stream  stream  `cmd:"" help:"Stored messages: pairs of users, each sender keeps a window of messages unacknowledged."`
	Ping    ping    `cmd:"" help:"One message on the way for each pair: what a message costs that can share nothing."`
	Event   event   `cmd:"" help:"Events, which are relayed and never stored: pairs of users, a window of events on the way."`
	Floor   floors  `cmd:"" help:"The same load on a bare relay that neither decodes nor stores: what is left of a figure without the chat."`
	Fanout  fanout  `cmd:"" help:"One group, all of it online: what some say arrives at all others."`
	Mix     mix     `cmd:"" help:"A day: most are silent, some talk, some come and go."`
	Connect connect `cmd:"" help:"Idle connections: how fast they come up and what each costs."`
	Login   login   `cmd:"" help:"Logins: users connect, log in by token or password, and are gone."`
	Storm   storm   `cmd:"" help:"A reconnect storm: all idle connections are cut at once and come back, while others talk."`
	Offline offline `cmd:"" help:"Messages for users who are away: storing them, and how soon who comes back has them all."`

	Bully bully   `cmd:"" help:"One who sends as fast as possible among quiet ones: how much do they notice?"`
	Soak  soak    `cmd:"" help:"A long time at a rate that keeps the server busy: its memory, goroutines and descriptors have to stay what they are."`
	Crash crashes `cmd:"" help:"A cluster that is killed, frozen, filled and cut off while people talk: is anything lost, doubled or out of order?"`

	AB      ab      `cmd:"" name:"ab" help:"Two of these by turns, A B B A …: how B is to A, and whether that is more than the noise."`
	Compare compare `cmd:"" help:"Reports that --json has written: what changed from A to B, and whether that is more than the noise."`
}

// invocation is a command line understood.
type invocation struct {
	options
	scenario scenario          // nil: it is a tool
	settings map[string]string // the scenario's flags, for the report
	tool     tool
}

// tool is a command that is no load of its own: it works with reports.
type tool interface {
	name() string
	// shared lists the flags of a target that it takes.
	shared() []string
	// validate says which flags make no sense.
	validate() error
	// run does the work and returns the exit code.
	run(ctx context.Context, out *output, stdout, stderr, live io.Writer) int
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
	cl.Crash.target = &cl.target
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
			return inv, errors.Join(onlyToolFlags(t, ctx), cl.output.validate(), t.validate())
		}
	}
	for _, s := range append(cl.Floor.scenarios(), &cl.Stream, &cl.Ping, &cl.Event, &cl.Fanout, &cl.Mix, &cl.Connect, &cl.Login, &cl.Storm, &cl.Offline, &cl.Bully, &cl.Soak) {
		if s.name() == ctx.Command() {
			inv.scenario = s
		}
	}
	if inv.scenario == nil {
		return nil, fmt.Errorf("no scenario named %q", name)
	}
	if f, ok := inv.scenario.(*floored); ok {
		cl.target.floor = f
	}
	if err := errors.Join(cl.target.validate(), cl.output.validate(), inv.scenario.validate()); err != nil {
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

// validate refuses what isn't this machine: a load is for one's own server.
func (t *target) validate() error {
	var bad []error
	if t.floor != nil && (t.Addr != "" || t.Chatd != "" || len(t.Args) > 0 || t.Dir != "" || t.Limits) {
		bad = append(bad, errors.New("--addr, --chatd, --chatd-arg, --dir, --limits: not with floor, which is a program of its own"))
	}
	if t.Addr == "" {
		if t.HTTP != "" {
			bad = append(bad, errors.New("--http: only with --addr; a started server chooses its own"))
		}
		if len(t.PIDs) > 0 {
			bad = append(bad, errors.New("--pid: only with --addr"))
		}
		if t.Other != "" {
			bad = append(bad, errors.New("--other-addr: only with --addr"))
		}
		if t.Nodes != 0 && (t.Spawn != spawnCluster || t.Nodes < 1 || t.Nodes > maxNodes) {
			bad = append(bad, fmt.Errorf("--nodes: 1 to %d, and only with --spawn cluster", maxNodes))
		}
		if len(t.MariaDB) > 0 && t.Spawn == spawnSQLite {
			bad = append(bad, errors.New("--mariadb-arg: only with --spawn mysql or cluster"))
		}
		return errors.Join(append(bad, t.findChatd())...)
	}
	if t.Chatd != "" || len(t.Args) > 0 || t.Dir != "" || t.Nodes != 0 || t.Limits || len(t.MariaDB) > 0 {
		bad = append(bad, errors.New("--chatd, --chatd-arg, --dir, --nodes, --limits, --mariadb-arg: only for a server that is started, not with --addr"))
	}
	var err error
	if t.Addr, err = loopback(t.Addr); err != nil {
		bad = append(bad, fmt.Errorf("--addr: %w", err))
	}
	if t.Other != "" {
		if t.Other, err = loopback(t.Other); err != nil {
			bad = append(bad, fmt.Errorf("--other-addr: %w", err))
		}
	}
	if t.HTTP != "" {
		if t.HTTP, err = loopback(t.HTTP); err != nil {
			bad = append(bad, fmt.Errorf("--http: %w", err))
		} else {
			t.HTTP = (&url.URL{Scheme: "http", Host: t.HTTP}).String()
		}
	}
	return errors.Join(append(bad, distinct(t.PIDs))...)
}

// findChatd has the program to start be the one beside this one, where none
// was named.
func (t *target) findChatd() error {
	if t.Chatd != "" {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("--chatd: where this program is: %w", err)
	}
	t.Chatd = filepath.Join(filepath.Dir(self), "chatd")
	return nil
}

// loopback is addr with its host as an IP, and an error for all that is not
// a port of this machine.
func loopback(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("%q is not host:port", addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%q: the port must be 1 to 65535", addr)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.Unmap().IsLoopback() {
		return "", fmt.Errorf("%q is not a loopback address: chatbench puts load on this machine alone", host)
	}
	return net.JoinHostPort(host, port), nil
}
