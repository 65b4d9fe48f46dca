// Chatbench is the load generator of chatd. It starts a server, or uses one that
// runs on this machine, puts load on it over real sockets, checks that the
// server keeps its promises, and reports what it did and what that cost.
//
//	chatbench stream|ping|event|fanout|mix|connect|login|storm|offline|bully|soak [flags]
//	chatbench floor stream|ping|event|fanout|login [flags]
//	chatbench ab [flags] -- stream|… [flags] -- stream|… [flags]
//	chatbench compare A.json B.json
//	chatbench crash [flags]
//
// The exit code is 0 if the run was good, 1 if something failed or a promise was
// broken, 2 for a command line or a file that can't be used, and 130 if the run
// was interrupted.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"

	"chatd/bench/target"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130 // as shells have it for SIGINT
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// A second signal kills the process. The servers end with it.
	context.AfterFunc(ctx, stop)
	live := io.Discard
	if term.IsTerminal(int(os.Stderr.Fd())) {
		live = os.Stderr
	}
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, live))
}

// run runs one command line. Results go to stdout, errors
// to stderr, the progress line to live. It returns the exit code after the
// server that it started has ended.
func run(ctx context.Context, args []string, stdout, stderr, live io.Writer) int {
	if len(args) == 3 && args[0] == target.RelayCommand {
		if err := target.RunRelay(ctx, args[1], args[2], stderr); err != nil {
			return exitFailure
		}
		return exitOK
	}
	inv, err := parse(args, stdout)
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(stderr, "chatbench: %s\n", strings.TrimSuffix(line, "\n"))
		}
		fmt.Fprintln(stderr, "chatbench --help lists commands and flags")
		return exitUsage
	}
	if inv == nil {
		return exitOK // help was asked for
	}
	if inv.tool != nil {
		return inv.tool.run(ctx, &inv.Output, stdout, stderr, live)
	}
	rep := inv.measure(ctx, stderr, live)
	if err := rep.Write(stdout, &inv.Output); err != nil {
		fmt.Fprintf(stderr, "chatbench: write the report: %v\n", err)
		return exitFailure
	}
	switch {
	case rep.Interrupted:
		return exitInterrupted
	case !rep.Good():
		fmt.Fprintf(stderr, "chatbench: %s\n", rep.Verdict())
		return exitFailure
	}
	return exitOK
}
