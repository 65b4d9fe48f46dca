// Command chatd is a chat server: people register, log in, add friends, talk
// one to one and in groups, and find what they missed when they come back.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"golang.org/x/term"
)

// Exit codes.
const (
	exitDone  = 0 // drained, or an operator command was carried out
	exitError = 1 // it couldn't be done, or a second signal cut the drain short
	exitUsage = 2 // a wrong command line or setting: nothing was started
)

// stamp is the version that the linker writes in, see the Makefile.
var stamp string

func main() { os.Exit(chatd(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// chatd carries out one command line and returns the exit code.
func chatd(args []string, stdin *os.File, stdout, stderr io.Writer) int {
	inv, err := parse(args, stdout)
	if err != nil {
		complain(stderr, err)
		return exitUsage
	}
	log := newLogger(stderr, inv.LogLevel, inv.LogFormat)
	switch inv.Command {
	case "help", "version":
		return exitDone
	case "serve":
		inv.cores = makeRoom(inv.Loops)
		if f, ok := stderr.(*os.File); ok && inv.LogFormat == "text" && term.IsTerminal(int(f.Fd())) {
			inv.terminal = f
		}
		return serve(inv, log, run)
	case "migrate":
		if err := migrate(inv, stdout, stderr); err != nil {
			fmt.Fprintln(stderr, "chatd:", err)
			return exitError
		}
		return exitDone
	case "trace":
		if err := trace(inv, stdout, stderr); err != nil {
			fmt.Fprintln(stderr, "chatd:", err)
			return exitError
		}
		return exitDone
	default:
		if err := operate(inv, stdin, stdout, stderr); err != nil {
			fmt.Fprintln(stderr, "chatd:", err)
			return exitError
		}
		return exitDone
	}
}

// makeRoom lets Go run a thread more for each event loop than there are cores,
// and returns how many these are. A loop that waits for its sockets is in a
// system call and holds its processor, as Go calls it, until the runtime takes
// that away: the store's writer, back from the disk, would have to wait for
// it. Who sets GOMAXPROCS has chosen.
func makeRoom(loops int) (cores int) {
	cores = runtime.GOMAXPROCS(0)
	if loops == 0 {
		loops = cores
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(cores + loops)
	}
	return cores
}

// complain explains a command line or a setting that can't be used.
func complain(w io.Writer, err error) {
	var u *usageError
	if !errors.As(err, &u) || u.command {
		fmt.Fprintln(w, "command invalid! example:", example)
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(w, "chatd:", withoutSecrets(strings.TrimSuffix(line, "\n")))
	}
	fmt.Fprintln(w, "chatd --help lists commands and settings")
}

// serve has run serve until the first SIGTERM or SIGINT has drained it; after
// a second one it returns at once, for the process to end.
func serve(inv *invocation, log *slog.Logger, run func(context.Context, <-chan struct{}, *Config, *slog.Logger) error) int {
	for _, name := range inv.Unknown {
		log.Warn("an environment variable is no setting, it is ignored", "name", name)
	}
	if inv.NoLimits {
		log.Warn("no-limits: every limit per address, user and connection is lifted")
	}
	// Go has raised the soft limit to the hard one; what that is bounds the connections.
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		log.Warn("the limit of open files is unknown", "err", err)
	}
	log.Info("chatd starts", "version", version(), "pid", os.Getpid(), "db", Redacted(inv.DB), "open_files", files.Cur)

	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	// stop says "drain"; ctx lives on, as draining needs the store.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- run(ctx, stop, &inv.Config, log) }()

	draining := false
	for {
		select {
		case err := <-done:
			if err != nil {
				log.Error("chatd ends", "err", err)
				return exitError
			}
			log.Info("chatd has drained and ends")
			return exitDone
		case s := <-signals:
			if draining {
				log.Error("chatd ends at once, without draining", "signal", s.String())
				return exitError
			}
			draining = true
			log.Info("chatd drains; a second signal ends it at once", "signal", s.String(), "timeout", inv.DrainTimeout)
			close(stop)
		}
	}
}

// version is the release that the Makefile stamped, or what Go knows of the build.
func version() string {
	if stamp != "" {
		return stamp
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
