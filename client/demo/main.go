// Chatdemo is a chat to look at: it starts a chatd of its own in a temporary
// folder, on this machine alone, with a few people in it who talk, come and go
// and answer newcomers. They are scripts; each is a client of the SDK over a
// socket of its own. When it is ended, all of it is gone.
//
//	chatdemo [flags]
//
// Its exit code is 0 where it was ended by SIGINT or SIGTERM, 1 where
// something failed, 2 for a command line that can't be used.
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

// options are the command line.
type options struct {
	Chatd string `help:"The chatd to start. Default: the one beside this program." type:"path" placeholder:"FILE"`
	Port  int    `help:"Port for clients. 0: 6000 where it is free, else one that is." placeholder:"PORT"`
	HTTP  int    `name:"http" help:"Port for browsers. 0: 8080 where it is free, else one that is." placeholder:"PORT"`
	Dir   string `help:"Where the demo makes its folder. Default: the system's for temporary files." type:"path" placeholder:"DIR"`
	Speed int    `help:"How many times as fast as usual people type and pause." default:"1" placeholder:"N"`
	Quiet bool   `help:"Don't show here what people say."`
}

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// A second signal ends the process at once; the guard of its folder ends the rest.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with everything from outside as arguments.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var opt options
	helped := false
	parser, err := kong.New(&opt, kong.Name("chatdemo"),
		kong.Description("A chat to look at: a server in a temporary folder, and a few scripted people who talk there and answer."),
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
		fmt.Fprintf(stderr, "chatdemo: %v\nchatdemo --help tells more\n", err)
		return exitUsage
	}
	if err := opt.runDemo(ctx, stdout); err != nil {
		fmt.Fprintln(stderr, "chatdemo:", err)
		return exitFailed
	}
	return exitDone
}

// complete fills in what was not given, and says which flags make no sense.
func (o *options) complete() error {
	const most = 1000
	switch {
	case o.Port < 0 || o.Port > 65535:
		return fmt.Errorf("--port: %d is not a port", o.Port)
	case o.HTTP < 0 || o.HTTP > 65535:
		return fmt.Errorf("--http: %d is not a port", o.HTTP)
	case o.Speed < 1 || o.Speed > most:
		return fmt.Errorf("--speed: %d is not between 1 and %d", o.Speed, most)
	}
	if o.Chatd == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("--chatd: %w", err)
		}
		o.Chatd = filepath.Join(filepath.Dir(self), "chatd")
	}
	if _, err := os.Stat(o.Chatd); err != nil {
		return fmt.Errorf("--chatd: %w (make build makes it)", err)
	}
	return nil
}

// show runs the demo until ctx ends.
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
		err = nil // whatever failed then failed because of it
	}
	err = errors.Join(err, d.close())
	if n := d.unanswered.Load(); n > 0 {
		fmt.Fprintf(stdout, "%d messages of newcomers got no answer: too many waited for one.\n", n)
	}
	if err == nil {
		fmt.Fprintln(stdout, "\nThe demo has ended, and its store is gone.")
	}
	return err
}

// greet says what there is and how to get in.
func (d *demo) printInstructions(w io.Writer) {
	var groups []string
	for _, g := range d.script.groups {
		groups = append(groups, fmt.Sprintf("%d %s", g.id, g.name))
	}
	people := d.script.people
	fmt.Fprintf(w, `
This is a DEMO: a chatd of its own in a temporary folder, reached from this machine alone.
Its people are scripts, and everything in it is gone when it ends.

  In a browser     %[1]s/    name: %[2]s   password: %[3]s
  In a terminal    CHAT_PASSWORD=%[3]s bin/chat 127.0.0.1 %[4]d --name %[2]s

%[2]s has friends, groups and unread messages. Or register somebody new:
  friends          %[5]s: whoever you add says hello and answers
  groups to join   %[6]s

Ctrl-C ends it.

`, d.node.HTTP(), guestName, guestPassword, d.node.Port(0), strings.Join(people, ", "), strings.Join(groups, " | "))
}
