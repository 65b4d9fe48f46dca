package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"testing"

	"chatd/bench/benchtest"
	"chatd/bench/report"
)

// chatbenchFor runs a command line that must succeed, and returns its report.
func chatbenchFor(t *testing.T, args ...string) report.Report {
	t.Helper()
	code, stdout, stderr := chatbench(t, append(args, "--json", "-")...)
	var rep report.Report
	if err := json.Unmarshal([]byte(stdout), &rep); err != nil || code != exitOK {
		t.Fatalf("chatbench %q: exit code %d, JSON error %v, want %d; output:\n%s%s", args, code, err, exitOK, stdout, stderr)
	}
	return rep
}

// Figures from the relay have the same names as those from a server, so they
// can be compared. The relay ends with the run.
func TestFloor(t *testing.T) {
	path := benchtest.Chatd(t)
	for _, args := range []string{
		"event --pairs 5 --window 16 --count 5001",
		"ping --pairs 3 --count 100",
		"ping --kind chat --pairs 3 --count 100",
		"stream --pairs 5 --window 16 --count 2003",
		"stream --pairs 2 --window 1 --count 20 --size 32768",
		"fanout --members 7 --window 16 --count 501",
		"fanout --kind event --members 7 --window 16 --count 501",
	} {
		t.Run(args, func(t *testing.T) {
			fields := strings.Fields(args)
			rep := chatbenchFor(t, append([]string{"floor"}, fields...)...)
			theirs := chatbenchFor(t, append(fields, "--chatd", path, "--dir", t.TempDir())...)
			if rep.Scenario != "floor "+theirs.Scenario || rep.Server.Version != "the floor: a bare gnet relay" {
				t.Errorf("report is of %q on %q, want floor %s on the relay", rep.Scenario, rep.Server.Version, theirs.Scenario)
			}
			var names []string
			for _, f := range rep.Figures {
				names = append(names, f.Name)
				if f.Value < 0 || f.Unit == "" {
					t.Errorf("figure %+v, want a value of at least 0 and a unit", f)
				}
			}
			for _, f := range theirs.Figures {
				if !slices.Contains(names, f.Name) && f.Name != "acknowledged" {
					t.Errorf("figure %q is missing, there are only %q", f.Name, names)
				}
			}
			last := len(theirs.Latencies) - 1
			if len(rep.Latencies) != 1 || rep.Latencies[0].Name != theirs.Latencies[last].Name || rep.Latencies[0].Count != theirs.Latencies[last].Count {
				t.Errorf("latencies = %+v, want one with the name and count of the last of %+v", rep.Latencies, theirs.Latencies)
			}
			if c, err := net.Dial("tcp", rep.Server.Address); err == nil {
				_ = c.Close()
				t.Errorf("the relay still listens on %s after the run", rep.Server.Address)
			}
		})
	}
}

// Logins on the relay are measured as on a server.
func TestFloorLogin(t *testing.T) {
	rep := chatbenchFor(t, "floor", "login", "--users", "3", "--at-a-time", "2", "--duration", "1ms")
	if len(rep.Figures) == 0 || rep.Figures[0].Name != "logins" || rep.Figures[0].Value <= 0 || len(rep.Latencies) != 2 || rep.Latencies[0].Count == 0 {
		t.Errorf("figures %+v and latencies %+v, want logins above 0 and two latencies", rep.Figures, rep.Latencies)
	}
	for _, args := range []string{"--by password", "--history 2000"} {
		code, _, stderr := chatbench(t, strings.Fields("floor login "+args)...)
		if flag, _, _ := strings.Cut(args, " "); code == exitOK || !strings.Contains(stderr, flag) {
			t.Errorf("floor login %s: exit code %d, error %q; want an error about %s", args, code, stderr, flag)
		}
	}
}

// An interrupted run on the relay ends without faults.
func TestFloorInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var stdout, stderr bytes.Buffer
	code := run(ctx, strings.Fields("floor event --loops 1 --pairs 4 --duration 10m --warmup 0s"), &stdout, &stderr, watcher{"measured:", cancel})
	if code != exitInterrupted || !strings.Contains(stdout.String(), "interrupted; faults: 0") {
		t.Errorf("exit code %d, want %d and no faults; output:\n%s%s", code, exitInterrupted, &stdout, &stderr)
	}
}
