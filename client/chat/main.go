// Command chat is the terminal client of chatd.
//
//	chat <ip> <port> [flags]
//
// On a terminal it uses the full screen (package tui). With --plain, or if
// standard input or output is not a terminal, it uses line mode: it reads
// commands as lines, prints results to standard output and errors to standard
// error, and exits with code 1 if anything failed.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/chzyer/readline"

	"golang.org/x/term"

	"chatd/client"
	"chatd/client/chat/text"
	"chatd/client/chat/tui"
)

// options are the arguments and flags.
type options struct {
	IP   string `arg:"" help:"Address of the server."`
	Port uint16 `arg:"" help:"Port of the server."`

	Name      string        `help:"Log in as this user: a name, or an id." placeholder:"NAME"`
	Password  string        `help:"Its password. Others on this machine see arguments: the environment or a token file is better." env:"CHAT_PASSWORD" placeholder:"PASSWORD"`
	Register  bool          `help:"Register the user first."`
	TokenFile string        `help:"Keep the login and how far one has read in this file, and log in with it." type:"path" placeholder:"FILE"`
	Device    string        `help:"This device's name: a user's devices are logged in side by side." default:"terminal"`
	Linger    time.Duration `help:"At the end of piped input, go on receiving for so long, as in 2s." default:"0s"`
	TLS       bool          `help:"Speak TLS."`
	Plain     bool          `help:"Lines in, lines out, also on a terminal. Else that is so where standard input or output is none."`
}

const (
	exitOK     = 0
	exitFailed = 1 // a command failed
	exitUsage  = 2
)

// shutdownTimeout limits the shutdown after a signal. A terminal that accepts no
// output would block it forever.
const shutdownTimeout = 10 * time.Second

const description = `The terminal client of chatd.

Example: chat 127.0.0.1 6000

On a terminal it takes the whole screen; F1 lists keys and commands. Piped, or with --plain, it reads commands as lines; help lists them.

Exit codes: 0 ended as asked: by /quit, Ctrl-C, the end of the input, or a signal. 1 something piped was refused or could not be done, a message was left unsent, the token file could not be read or written, or the terminal failed. 2 the command line makes no sense.`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, func() { time.AfterFunc(shutdownTimeout, func() { os.Exit(exitFailed) }) })
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, readline.DefaultIsTerminal())
	stop()
	os.Exit(code)
}

// run is main without global state.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, terminal bool) int {
	opt, code, done := parseOptions(args, stdout, stderr)
	if done {
		return code
	}
	cfg := client.Config{
		Addrs:  []string{net.JoinHostPort(opt.IP, strconv.Itoa(int(opt.Port)))},
		Device: opt.Device,
	}
	if opt.TLS {
		cfg.TLS = &tls.Config{ServerName: opt.IP}
	}
	if opt.TokenFile != "" {
		if err := checkTokenFile(opt.TokenFile); err != nil {
			fmt.Fprintf(stderr, "error: %v\n", err)
			return exitFailed
		}
		cfg.State = client.FileStore{Path: opt.TokenFile}
	}
	if in, out, ok := fullScreen(stdin, stdout, opt); ok {
		return runScreen(ctx, tui.Config{
			Client: cfg, Server: cfg.Addrs[0], Name: opt.Name, Password: opt.Password, Register: opt.Register,
			In: in, Out: out, Err: stderr,
		})
	}
	if opt.Register && (opt.Name == "" || opt.Password == "") {
		return invalid(stderr, errors.New("--register needs --name and --password"))
	}
	con, err := newConsole(stdin, stdout, stderr, terminal)
	if err != nil {
		fmt.Fprintf(stderr, "error: the terminal: %v\n", err)
		return exitFailed
	}
	defer con.close()

	a := newApp(con, opt)
	cfg.Handlers = a.handlers()
	if a.c, err = client.New(cfg); err != nil {
		con.fail("%v", err)
		return exitFailed
	}
	a.run(ctx)
	if err := a.c.Close(); err != nil {
		a.fail("saving %s: %v", opt.TokenFile, err)
	}
	if a.failed.Load() && !terminal {
		return exitFailed
	}
	return exitOK
}

// fullScreen returns the terminal. ok is false in line mode.
func fullScreen(stdin io.Reader, stdout io.Writer, opt options) (in, out *os.File, ok bool) {
	in, isIn := stdin.(*os.File)
	out, isOut := stdout.(*os.File)
	ok = !opt.Plain && isIn && isOut && term.IsTerminal(int(in.Fd())) && term.IsTerminal(int(out.Fd())) && os.Getenv("TERM") != "dumb"
	return in, out, ok
}

func runScreen(ctx context.Context, cfg tui.Config) int {
	if err := tui.Run(ctx, cfg); err != nil {
		fmt.Fprintf(cfg.Err, "error: %s\n", text.Clean(err.Error()))
		return exitFailed
	}
	return exitOK
}

// parseOptions parses the command line. If done is set, the caller must exit
// with code.
func parseOptions(args []string, stdout, stderr io.Writer) (opt options, code int, done bool) {
	helped := false
	parser, err := kong.New(&opt, kong.Name("chat"),
		kong.Description(description),
		kong.Writers(stdout, stderr), kong.Exit(func(int) { helped = true }))
	if err != nil {
		panic(err) // options has wrong tags
	}
	_, err = parser.Parse(args)
	if helped {
		return opt, exitOK, true
	}
	if err == nil {
		switch {
		case opt.Port == 0:
			err = fmt.Errorf("<port> must be 1 to 65535")
		case opt.Linger < 0:
			err = fmt.Errorf("--linger must not be negative")
		}
	}
	if err != nil {
		return opt, invalid(stderr, err), true
	}
	return opt, exitOK, false
}

// invalid prints an error about the command line.
func invalid(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "command invalid! example: chat 127.0.0.1 6000\n%v\nchat --help tells more\n", err)
	return exitUsage
}
