// Chat is the terminal client of chatd: lines in, lines out.
//
//	chat <ip> <port> [flags]
//
// On a terminal it asks for what it needs. A script gives flags and writes
// commands to its standard input; results come on its standard output,
// errors on standard error, and the exit code is 1 where anything failed.
package main

import (
	"context"
	"crypto/tls"
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

	"chatd/client"
)

// options are the command line.
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
}

const (
	exitOK     = 0
	exitFailed = 1 // something was refused, or could not be done
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, readline.DefaultIsTerminal())
	stop()
	os.Exit(code)
}

// run is main with everything from outside as arguments.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, terminal bool) int {
	opt, code, done := parseOptions(args, stdout, stderr)
	if done {
		return code
	}
	scr, err := newScreen(stdin, stdout, stderr, terminal)
	if err != nil {
		fmt.Fprintf(stderr, "error: the terminal: %v\n", err)
		return exitFailed
	}
	defer scr.close()

	a := newApp(scr, opt)
	cfg := client.Config{
		Addrs:    []string{net.JoinHostPort(opt.IP, strconv.Itoa(int(opt.Port)))},
		Device:   opt.Device,
		Handlers: a.handlers(),
	}
	if opt.TLS {
		cfg.TLS = &tls.Config{ServerName: opt.IP}
	}
	if opt.TokenFile != "" {
		cfg.State = client.FileStore{Path: opt.TokenFile}
	}
	if a.c, err = client.New(cfg); err != nil {
		scr.fail("%v", err)
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

// parseOptions reads the command line. done tells to exit with code.
func parseOptions(args []string, stdout, stderr io.Writer) (opt options, code int, done bool) {
	helped := false
	parser, err := kong.New(&opt, kong.Name("chat"),
		kong.Description("The terminal client of chatd.\n\nExample: chat 127.0.0.1 6000\n\nOnce it runs, help lists its commands."),
		kong.Writers(stdout, stderr), kong.Exit(func(int) { helped = true }))
	if err != nil {
		panic(err) // options itself is wrong
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
		case opt.Register && (opt.Name == "" || opt.Password == ""):
			err = fmt.Errorf("--register needs --name and --password")
		}
	}
	if err != nil {
		fmt.Fprintf(stderr, "command invalid! example: chat 127.0.0.1 6000\n%v\nchat --help tells more\n", err)
		return opt, exitUsage, true
	}
	return opt, exitOK, false
}
