// Chatdemo starts a demo: a chatd in a temporary directory, reachable only from
// this machine, with scripted people who chat, come and go, and reply to
// newcomers. Each of them is an SDK client with its own connection. When the demo
// ends, it deletes all data.
//
//	chatdemo [flags]
//
// The exit code is 0 after SIGINT or SIGTERM, 1 after an error, 2 for an invalid
// command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// options are the command-line flags.
type options struct {
	Chatd string `help:"Path of the chatd binary to start. Default: the one in the directory of this program." type:"path" placeholder:"FILE"`
	Port  int    `help:"TCP port for clients. 0: 6000 if it is free, otherwise any free port." placeholder:"PORT"`
	HTTP  int    `name:"http" help:"HTTP port for browsers. 0: 8080 if it is free, otherwise any free port." placeholder:"PORT"`
	Dir   string `help:"Directory for the demo's temporary directory. Default: the system's temporary directory." type:"path" placeholder:"DIR"`
	Speed int    `help:"Speed factor of typing and pauses, 1 (like humans) to 1000." default:"1" placeholder:"N"`
	Quiet bool   `help:"Do not print what people say."`
}

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// A second signal kills this process; the folder's cleaner then removes the data.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its inputs as arguments, for tests.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var opt options
	helped := false
	parser, err := kong.New(&opt, kong.Name("chatdemo"),
		kong.Description("Start a demo: a chat server in a temporary directory, with scripted people who chat and reply."),
		kong.Writers(stdout, stderr), kong.Exit(func(int) { helped = true }))
	if err != nil {
		panic(err) // options itself is wrong
	}
	_, err = parser.Parse(args)
	if helped {
		return exitDone
	}
	if err == nil {
		err = opt.complete()
	}
	if err != nil {
		fmt.Fprintf(stderr, "chatdemo: %v\nRun chatdemo --help for usage.\n", err)
		return exitUsage
	}
	if err := opt.runDemo(ctx, stdout); err != nil {
		fmt.Fprintln(stderr, "chatdemo:", err)
		return exitFailed
	}
	return exitDone
}

// complete validates the flags and fills in defaults.
func (o *options) complete() error {
	const maxSpeed = 1000
	switch {
	case o.Port < 0 || o.Port > 65535:
		return fmt.Errorf("--port: %d is not between 0 and 65535", o.Port)
	case o.HTTP < 0 || o.HTTP > 65535:
		return fmt.Errorf("--http: %d is not between 0 and 65535", o.HTTP)
	case o.Speed < 1 || o.Speed > maxSpeed:
		return fmt.Errorf("--speed: %d is not between 1 and %d", o.Speed, maxSpeed)
	}
	if o.Chatd == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("--chatd: %w", err)
		}
		o.Chatd = filepath.Join(filepath.Dir(self), "chatd")
	}
	if _, err := os.Stat(o.Chatd); err != nil {
		return fmt.Errorf("--chatd: %w (build it with make build)", err)
	}
	return nil
}

// runDemo runs the demo until ctx ends.
func (o *options) runDemo(ctx context.Context, stdout io.Writer) error {
	talk := stdout
	if o.Quiet {
		talk = io.Discard
	}
	d, err := newDemo(ctx, *o, talk)
	if d == nil {
		return err
	}
	if err == nil {
		d.printInstructions(stdout)
		err = d.run(ctx)
	}
	if ctx.Err() != nil {
		err = nil // errors after cancellation are expected
	}
	err = errors.Join(err, d.close())
	if n := d.unanswered.Load(); n > 0 {
		fmt.Fprintf(stdout, "%d messages got no reply, because too many replies were pending.\n", n)
	}
	if err == nil {
		fmt.Fprintln(stdout, "\nThe demo has ended. Its data has been deleted.")
	}
	return err
}

// printInstructions prints how to log in, and the names of people and groups.
func (d *demo) printInstructions(w io.Writer) {
	var groups []string
	for _, g := range d.script.groups {
		groups = append(groups, fmt.Sprintf("%d %s", g.id, g.name))
	}
	people := d.script.people
	fmt.Fprintf(w, `
This is a DEMO: a chatd in a temporary directory, reachable only from this machine.
Its people are scripts. All data is deleted when it ends.

  In a browser     %[1]s/    name: %[2]s   password: %[3]s
  In a terminal    CHAT_PASSWORD=%[3]s bin/chat 127.0.0.1 %[4]d --name %[2]s

The user %[2]s has friends, groups and unread messages. You can also register as a new user:
  Add a friend     %[5]s. They say hello and reply.
  Join a group     %[6]s

Press Ctrl-C to stop.

`, d.node.HTTP(), guestName, guestPassword, d.node.Port(0), strings.Join(people, ", "), strings.Join(groups, " | "))
}
