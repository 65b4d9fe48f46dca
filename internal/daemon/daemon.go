// Package daemon is the chatd program: its command line and settings, the
// server that they start, and the commands for operators.
package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/term"
)

// Exit codes.
const (
	exitDone  = 0 // drained, or the operator command succeeded
	exitError = 1 // it failed, or a second signal cut the drain short
	exitUsage = 2 // a wrong command line or setting: nothing was started
)

// Main runs one command line, without the program's name, and returns the exit
// code. It blocks until the command is done; a server runs until a signal ends
// it. stamp is the version of the build. If it is empty, Main uses the version
// in Go's build info.
func Main(stamp string, args []string, stdin *os.File, stdout, stderr io.Writer) int {
	inv, err := parse(args, stdout)
	if err != nil {
		printUsageError(stderr, err)
		return exitUsage
	}
	inv.Version = version(stamp)
	inv.Ops.Version = inv.Version
	switch inv.Command {
	case "help":
		return exitDone
	case "version":
		fmt.Fprintln(stdout, "chatd", inv.Version)
		return exitDone
	case "serve":
		inv.stdout = stdout
		cores := makeRoom(inv.Reactor.Loops)
		inv.Reactor.Cores, inv.Store.Cores = cores, cores
		log, queue := openLog(inv, stderr)
		inv.live = newLive(inv, args, queue)
		if f, ok := stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			inv.live.gone = func() bool { return !term.IsTerminal(int(f.Fd())) }
			if inv.LogFormat == "text" {
				inv.terminal = queue
			}
		}
		inv.manager = newManager(log)
		code := serve(inv, log, run)
		inv.manager.close(managerPatience)
		queue.close(logPatience)
		return code
	case "migrate":
		err = migrate(inv, stdout, stderr)
	case "backup":
		err = runBackup(inv, stdout, stderr)
	case "health":
		err = runHealth(inv, stdout)
	case "trace":
		err = runTrace(inv, stdout, stderr)
	default:
		err = operate(inv, stdin, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "chatd:", err)
		return exitError
	}
	return exitDone
}

// makeRoom raises GOMAXPROCS by the number of event loops, and returns what it
// was. A loop that waits for its sockets is in a system call and holds its
// processor until the Go runtime takes that away; without spare processors the
// store's writer, back from the disk, would wait for it. An operator who sets
// GOMAXPROCS overrides this.
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

// printUsageError explains a command line or a setting that can't be used.
func printUsageError(w io.Writer, err error) {
	var u *usageError
	if !errors.As(err, &u) || u.command {
		fmt.Fprintln(w, "invalid command line; example:", example)
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(w, "chatd:", withoutSecrets(strings.TrimSuffix(line, "\n")))
	}
	fmt.Fprintln(w, "chatd --help lists commands and settings")
}

// version returns the stamp or, without one, the version in Go's build info.
func version(stamp string) string {
	if stamp != "" {
		return stamp
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
