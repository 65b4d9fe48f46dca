package target

import (
	"fmt"
	"strconv"
	"strings"
)

// Names used for the sum of all processes, and for this process.
const (
	serverName    = "server"
	generatorName = "generator"
)

// NamedPID is a process of a server that is already running.
type NamedPID struct {
	name string
	pid  int
}

// UnmarshalText reads PID or NAME=PID.
func (n *NamedPID) UnmarshalText(text []byte) error {
	name, pid, named := strings.Cut(string(text), "=")
	if !named {
		name, pid = serverName, name
	}
	var err error
	if n.name = strings.TrimSpace(name); n.name == "" {
		return fmt.Errorf("%q: no name before =", text)
	}
	if n.pid, err = strconv.Atoi(pid); err != nil || n.pid < 1 {
		return fmt.Errorf("%q is not of the form PID or NAME=PID", text)
	}
	return nil
}

// checkDistinct returns an error if two processes have the same name or pid, or
// if a name is reserved.
func checkDistinct(all []NamedPID) error {
	seen := make(map[NamedPID]bool)
	for _, n := range all {
		name, pid := NamedPID{name: n.name}, NamedPID{pid: n.pid}
		if seen[name] || seen[pid] {
			return fmt.Errorf("--pid: %s=%d: two processes have the same name, or one process is given twice", n.name, n.pid)
		}
		if len(all) > 1 && (n.name == serverName || n.name == generatorName) {
			return fmt.Errorf("--pid: several processes are given: write each as NAME=PID, with a name other than %q and %q", serverName, generatorName)
		}
		seen[name], seen[pid] = true, true
	}
	return nil
}
