// Command chat is the terminal client of chatd.
//
//	chat <ip> <port> [flags]
//
// On a terminal it uses the full screen (package tui). With --plain, or if
// standard input or output is not a terminal, it uses line mode: it reads one
// command per line and prints results to standard output and errors to standard
// error. With piped input it exits with code 1 if any command failed.
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
	"strings"
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
	IP   string `arg:"" help:"Server address: a name, or an IP address such as 192.0.2.1 or ::1."`
	Port int    `arg:"" help:"Server port."`

	Name      string        `help:"User to log in as: a name or an ID." placeholder:"NAME"`
	Password  string        `help:"Password. Other users of this machine can see it in the process list; $$${env} and --token-file are safer." env:"CHAT_PASSWORD" placeholder:"PASSWORD"`
	Register  bool          `help:"Register the user before logging in."`
	Code      string        `help:"Invitation code, for --register on a server that needs one." placeholder:"CODE"`
	TokenFile string        `help:"Store the login in this file, so that the next start needs no password." type:"path" placeholder:"FILE"`
	Device    string        `help:"Device name. A user can be logged in on several devices, but only once on each." default:"terminal"`
	Linger    time.Duration `help:"Keep receiving for this long after piped input ends, such as 2s. 0 quits at once." default:"0s"`
	TLS       bool          `help:"Connect with TLS."`
	Plain     bool          `help:"Use line mode, even on a terminal."`
}

// Exit codes, see description.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// shutdownTimeout limits the shutdown after a signal. Without it, a terminal
// that accepts no output would block the shutdown forever.
const shutdownTimeout = 10 * time.Second

const description = `The terminal client of chatd.

Example: chat 127.0.0.1 6000

On a terminal, chat uses the full screen; F1 shows keys and commands. With --plain, or if input or output is piped, chat uses line mode: it reads one command per line. The command "help" lists the commands.

Exit codes:

  0  quit normally: quit or /quit, Ctrl-C, end of input, or a signal
  1  a piped command failed, a message wasn't sent, the token file was refused
     or couldn't be read or written, or the terminal couldn't be used
  2  invalid command line`

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
		Addrs:  []string{net.JoinHostPort(opt.IP, strconv.Itoa(opt.Port))},
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
			Client: cfg, Server: cfg.Addrs[0], Name: opt.Name, Password: opt.Password, Register: opt.Register, Code: opt.Code,
			In: in, Out: out, Err: stderr,
		})
	}
	if opt.Register && (opt.Name == "" || opt.Password == "") {
		return invalid(stderr, errors.New("in line mode, --register needs --name and --password (or $CHAT_PASSWORD)"))
	}
	con, err := newConsole(stdin, stdout, stderr, terminal)
	if err != nil {
		fmt.Fprintf(stderr, "error: can't read lines from the terminal: %v\n", err)
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
		a.fail("couldn't save the login to %s: %v", opt.TokenFile, err)
	}
	if a.failed.Load() && !terminal {
		return exitFailed
	}
	return exitOK
}

// fullScreen returns the terminal's files, or false for line mode.
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

// parseOptions parses the command line. If done is true, it has printed help or
// an error, and the caller must exit with code.
func parseOptions(args []string, stdout, stderr io.Writer) (opt options, code int, done bool) {
	helped := false
	parser, err := kong.New(&opt, kong.Name("chat"),
		kong.Description(description),
		kong.Writers(stdout, stderr), kong.Exit(func(int) { helped = true }))
	if err != nil {
		panic(err) // options has wrong tags
	}
	parser.Model.HelpFlag.Help = "Show this help."
	_, err = parser.Parse(args)
	if helped {
		return opt, exitOK, true
	}
	// In URLs, IPv6 addresses have brackets.
	if ip, found := strings.CutPrefix(opt.IP, "["); found && strings.HasSuffix(ip, "]") {
		opt.IP = strings.TrimSuffix(ip, "]")
	}
	if err == nil {
		switch {
		case opt.IP == "":
			err = errors.New("<ip> is empty")
		case opt.Port < 1 || opt.Port > 65535:
			err = fmt.Errorf("<port> must be a number from 1 to 65535, not %d", opt.Port)
		case opt.Linger < 0:
			err = fmt.Errorf("--linger must not be negative, got %s", opt.Linger)
		}
	}
	if err != nil {
		return opt, invalid(stderr, err), true
	}
	return opt, exitOK, false
}

// invalid prints an error about the command line and returns the exit code.
func invalid(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "invalid command line: %v\nExample: chat 127.0.0.1 6000\nRun \"chat --help\" for usage.\n", err)
	return exitUsage
}
