package daemon

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"chatd/reactor"
	"chatd/service"
	"chatd/service/trace"
)

// kong reads the command line. It takes flags before and after the positionals,
// knows commands and the environment, and gets the settings from struct tags.
// It would let a file override the environment, and ignore unknown keys of a
// file, so configfile.go reads the file instead.

const (
	envPrefix = "CHATD_"
	example   = "chatd 127.0.0.1 6000"

	maxUses   = 1_000_000            // of an invitation
	maxInvite = 366 * 24 * time.Hour // how long one may be valid
)

// commandLine is the grammar of the command line: serve, or an operator
// command.
type commandLine struct {
	Config `embed:""`

	ConfigFile string  `group:"general" name:"config" placeholder:"FILE" common:"" help:"TOML file with settings. Its keys are the names of the flags, without the dashes."`
	HelpAll    helpAll `group:"general" name:"help-all" env:"-" help:"Print all settings and exit."`
	Version    bool    `group:"general" name:"version" env:"-" help:"Print the version and exit."`

	Serve   serveCommand   `cmd:"" default:"withargs" hidden:""`
	User    userCommand    `cmd:"" help:"Change a user's account, whether chatd is running or not."`
	Invite  inviteCommand  `cmd:"" help:"Make a code with which somebody can register, for --registration invite."`
	Migrate migrateCommand `cmd:"" help:"Copy everything to another, empty database."`
	Trace   traceCommand   `cmd:"" help:"Show whether a message is stored, and which devices have it, or why not."`
	Backup  backupCommand  `cmd:"" help:"Copy the SQLite database to a file, whether chatd is running or not."`
	Health  healthCommand  `cmd:"" help:"Ask a running chatd whether it accepts connections. Exit code 0: yes, 1: no."`
	Epoch   epochCommand   `cmd:"" help:"Run after restoring a backup: logs out all devices, and makes clients forget which messages they have."`
}

// newCommandLine returns the command line before parsing. It has the defaults of
// fields that aren't settings; kong sets the settings to the defaults in the tags.
func newCommandLine() *commandLine {
	return &commandLine{Config: Config{Reactor: reactor.DefaultConfig(), Service: service.DefaultConfig()}}
}

type serveCommand struct {
	IP   ipAddr     `arg:"" name:"ip" help:"Address to listen on, such as 127.0.0.1 or 0.0.0.0."`
	Port portNumber `arg:"" name:"port" help:"Port to listen on. 0: a free one."`
}

// Validate is called by kong when all settings have their values. A wrong value
// may come from the file or the environment as well as from a flag.
func (cl *commandLine) Validate() error {
	if err := cl.Config.check(); err != nil {
		return &usageError{err: err}
	}
	return nil
}

type ipAddr struct{ netip.Addr }

func (a *ipAddr) UnmarshalText(text []byte) error {
	ip, err := netip.ParseAddr(strings.Trim(string(text), "[]"))
	if err != nil {
		return fmt.Errorf("%q is not an IP address such as 127.0.0.1, 0.0.0.0 or ::1", text)
	}
	a.Addr = ip
	return nil
}

type portNumber uint16

func (p *portNumber) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 16)
	if err != nil {
		return fmt.Errorf("%q is not a port from 1 to 65535, or 0 for a free one", text)
	}
	*p = portNumber(n)
	return nil
}

type userCommand struct {
	Passwd  userPasswd  `cmd:"" help:"Set a new password, read from stdin, and end the user's sessions."`
	Ban     userBan     `cmd:"" help:"End the user's sessions and refuse logins."`
	Unban   userUnban   `cmd:"" help:"Allow logins again."`
	Delete  userDelete  `cmd:"" help:"Delete the account. The user's messages stay."`
	Clashes userClashes `cmd:"" help:"List users whose names look alike, or like a reserved name."`
}

type inviteCommand struct {
	Create inviteCreate `cmd:"" default:"withargs" hidden:""`
	List   inviteList   `cmd:"" help:"List the codes that can be used."`
	Revoke inviteRevoke `cmd:"" help:"End a code."`
}

type (
	inviteCreate struct {
		Uses int64         `name:"uses" env:"-" default:"1" placeholder:"N" help:"How many users can register with the code."`
		For  time.Duration `name:"for" env:"-" default:"168h" placeholder:"TIME" help:"How long the code is valid."`
		JSON bool          `name:"json" env:"-" help:"Print JSON."`
	}
	inviteList struct {
		JSON bool `name:"json" env:"-" help:"Print JSON."`
	}
	inviteRevoke struct {
		ID int64 `arg:"" name:"id" help:"The code's number in chatd invite list."`
	}
)

type (
	userPasswd struct{ target }
	userBan    struct{ target }
	userUnban  struct{ target }
	userDelete struct{ target }

	userClashes struct {
		JSON bool `name:"json" env:"-" help:"Print JSON."`
	}

	epochCommand struct{}

	backupCommand struct {
		File string `arg:"" name:"file" help:"New file for the backup."`
	}

	healthCommand struct {
		URL string `arg:"" optional:"" name:"url" help:"URL of /readyz or /healthz. Default: /readyz at the address of --http."`
	}

	traceCommand struct {
		Group  int64  `name:"group" env:"-" placeholder:"ID" help:"Group of the message."`
		Pair   string `name:"pair" env:"-" placeholder:"A B" help:"The two users of a one-to-one conversation, by ID or name."`
		Peer   string `arg:"" optional:"" name:"b" help:"The second user of --pair."`
		Seq    int64  `name:"seq" env:"-" placeholder:"N" help:"The message's seq."`
		CID    string `name:"cid" env:"-" placeholder:"C" help:"The message's cid. Needs --sender."`
		Sender string `name:"sender" env:"-" placeholder:"WHO" help:"Sender of --cid, by ID or name."`
		User   string `name:"user" env:"-" placeholder:"WHO" help:"Show only this user, a member or not."`
		After  int64  `name:"after" env:"-" placeholder:"ID" help:"Show only members with a higher ID."`
		JSON   bool   `name:"json" env:"-" help:"Print JSON."`
	}

	migrateCommand struct {
		From string `required:"" name:"from" placeholder:"URL" help:"Database to copy, as in --db. No chatd may be using it."`
		To   string `required:"" name:"to" placeholder:"URL" help:"Database to copy to, as in --db. It must be empty."`
	}
)

type target struct {
	Who string `arg:"" name:"id-or-name" help:"The user's ID or name."`
}

// invocation is a parsed command line.
type invocation struct {
	Config
	Version  string // of this build
	Command  string // "serve", "user passwd", …, "epoch", "migrate", "help", "version"
	Who      string // of user commands
	From     string // of migrate
	To       string
	File     string      // of backup
	URL      string      // of health
	Trace    trace.Query // of trace
	Uses     int64       // of invite
	For      time.Duration
	Invite   int64 // of invite revoke
	JSON     bool
	level    *slog.LevelVar    // of the server's log
	values   map[string]string // of all settings, by name
	Settings string            // --config
	Unknown  []string          // CHATD_… variables that chatd doesn't know. They only cause a warning, because other programs may set such names
}

// usageError is an invalid command line or setting. The exit code is 2.
type usageError struct {
	err     error
	command bool // the command line is wrong, not a value in a file or the environment
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// parse reads and checks the command line and the settings. Flags override the
// environment, which overrides the file, which overrides the defaults. Every
// error is a *usageError. If the command is "help", parse has written the help
// to stdout.
func parse(args []string, stdout io.Writer) (*invocation, error) {
	cl := newCommandLine()
	exited := false
	k, err := grammar(cl, stdout, func() { exited = true })
	if err != nil {
		return nil, err
	}
	if slices.Contains(untilDashes(args), "--version") {
		// --version needs no <ip> <port>, so it doesn't wait for kong.
		return &invocation{Command: "version"}, nil
	}
	ctx, err := k.Parse(args)
	if exited {
		return &invocation{Command: "help"}, nil
	}
	if err != nil {
		return nil, asUsage(err)
	}

	inv := &invocation{Config: cl.Config, Unknown: unknownEnv(k.Model.Flags)}
	inv.Settings = cl.ConfigFile
	inv.values = make(map[string]string)
	for _, f := range k.Model.Flags {
		if len(f.Envs) > 0 {
			inv.values[f.Name] = fmt.Sprint(f.Target.Interface())
		}
	}
	inv.combine()
	command, _, _ := strings.Cut(ctx.Command(), " <")
	inv.Command = command
	switch command {
	case "serve":
		inv.Reactor.Addr = netip.AddrPortFrom(cl.Serve.IP.Addr, uint16(cl.Serve.Port)).String()
	case "trace":
		t := &cl.Trace
		inv.Trace = trace.Query{Group: t.Group, Pair: [2]string{t.Pair, t.Peer}, Seq: t.Seq, CID: t.CID, Sender: t.Sender, User: t.User, After: t.After}
		inv.JSON = t.JSON
		if err := inv.Trace.Validate(); err != nil {
			return nil, &usageError{err: fmt.Errorf("trace: %w", err), command: true}
		}
	case "migrate":
		inv.From, inv.To = cl.Migrate.From, cl.Migrate.To
	case "backup":
		inv.File = cl.Backup.File
		if inv.File == "" {
			return nil, &usageError{err: errors.New("backup: the name of the file is empty"), command: true}
		}
	case "health":
		inv.URL = cl.Health.URL
	case "invite", "invite create":
		in := &cl.Invite.Create
		inv.Command, inv.Uses, inv.For, inv.JSON = "invite", in.Uses, in.For, in.JSON
		if in.Uses < 1 || in.Uses > maxUses {
			return nil, &usageError{err: fmt.Errorf("invite: --uses %d is not from 1 to %d", in.Uses, int64(maxUses)), command: true}
		}
		if in.For < time.Second || in.For > maxInvite {
			return nil, &usageError{err: fmt.Errorf("invite: --for %v is not from 1s to %v", in.For, maxInvite), command: true}
		}
	case "invite list":
		inv.JSON = cl.Invite.List.JSON
	case "invite revoke":
		inv.Invite = cl.Invite.Revoke.ID
	case "user passwd":
		inv.Who = cl.User.Passwd.Who
	case "user ban":
		inv.Who = cl.User.Ban.Who
	case "user unban":
		inv.Who = cl.User.Unban.Who
	case "user delete":
		inv.Who = cl.User.Delete.Who
	case "user clashes":
		inv.JSON = cl.User.Clashes.JSON
	}
	return inv, nil
}

// grammar returns the parser for cl. It calls exit after it has printed the
// help. Normally exit ends the process; here kong continues to parse.
func grammar(cl *commandLine, stdout io.Writer, exit func()) (*kong.Kong, error) {
	k, err := kong.New(cl,
		kong.Name("chatd"),
		kong.DefaultEnvars(strings.TrimSuffix(envPrefix, "_")),
		kong.NamedMapper("size", kong.MapperFunc(decodeSize)),
		kong.TypeMapper(reflect.TypeFor[netip.Prefix](), kong.MapperFunc(decodePrefix)),
		kong.Writers(stdout, stdout),
		kong.Exit(func(int) { exit() }),
		kong.Help(printCommonHelp),
		kong.WithBeforeResolve(func(ctx *kong.Context, trace *kong.Path) error {
			// kong calls this for each part of the command line. The first is the program.
			if trace != ctx.Path[0] {
				return nil
			}
			return readFile(ctx)
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("struct tags of the settings: %w", err)
	}
	k.Model.HelpFlag.Help = "Print commands and the most used settings, and exit."
	return k, nil
}

func asUsage(err error) error {
	var already *usageError
	if errors.As(err, &already) {
		return already
	}
	return &usageError{err: err, command: !strings.Contains(err.Error(), "(from envar ")}
}

func untilDashes(args []string) []string {
	if i := slices.Index(args, "--"); i >= 0 {
		return args[:i]
	}
	return args
}
