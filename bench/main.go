// Chatbench is the load harness of chatd: it starts a server of its own, or
// takes one that runs on this machine, puts load on it over real sockets,
// checks that the server kept its promises meanwhile, and tells what it did
// and what that cost.
//
//	chatbench stream|ping|event|fanout|mix|connect|login|storm|offline|bully|soak [flags]
//	chatbench floor stream|ping|event [flags]
//	chatbench ab [flags] -- stream|… [flags] -- stream|… [flags]
//	chatbench compare A.json B.json
//
// Its exit code is 0 where the run is good, 1 where something failed or a
// promise was broken, 2 for a command line or a file that can't be used, and
// 130 where it was interrupted.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
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
	// A second signal ends the process at once; the servers end with it.
	context.AfterFunc(ctx, stop)
	live := io.Discard
	if term.IsTerminal(int(os.Stderr.Fd())) {
		live = os.Stderr
	}
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, live))
}

// run is main with everything from outside as arguments: results go to
// stdout, complaints to stderr, and the progress to live. It returns the exit
// code, once the server that it started has ended.
func run(ctx context.Context, args []string, stdout, stderr, live io.Writer) int {
	if len(args) == 3 && args[0] == target.RelayCommand {
		if err := target.RunRelay(ctx, args[1], args[2], stderr); err != nil {
			return exitFailure
		}
		return exitOK
	}
	inv, err := parse(args, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "chatbench: %v\nchatbench --help tells more\n", err)
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
		fmt.Fprintf(stderr, "chatbench: the report: %v\n", err)
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
