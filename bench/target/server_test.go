package target

import (
	"errors"
	"fmt"
	"os"
	"testing"
)

// Users are spread over all nodes, and neighbors use different ones.
func TestSpread(t *testing.T) {
	s := &Server{addrs: []string{"a", "b", "c"}}
	for i := range 12 {
		if s.AddrOf(i) != s.addrs[i%3] || s.AddrOf(i) == s.AddrOf(i+1) {
			t.Errorf("user %d is on %s and the next one on %s, want %s and another", i, s.AddrOf(i), s.AddrOf(i+1), s.addrs[i%3])
		}
	}
}

// A running server may have several processes, each with a name (--pid
// NAME=PID).
func TestNamedProcesses(t *testing.T) {
	flags := Flags{Addr: "127.0.0.1:1", PIDs: make([]NamedPID, 2)}
	for i, text := range []string{fmt.Sprint("node 1=", os.Getpid()), fmt.Sprint("shell=", os.Getppid())} {
		if err := flags.PIDs[i].UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := flags.Check(); err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), &flags, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	u, err := s.readUsage()
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("only Linux has /proc as we read it")
	}
	if err != nil || len(u.Processes) != 2 || u.Processes[0].Name != "node 1" || u.Processes[1].Name != "shell" || u.Total.RSS != u.Processes[0].RSS+u.Processes[1].RSS {
		t.Errorf("readUsage = %+v, %v; want processes node 1 and shell, and a total that is their sum", u, err)
	}
}
