package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"chatd/bench/benchtest"
	"chatd/bench/report"
	"chatd/bench/scenario"
	"chatd/bench/target"
)

// Each kind of noisy user runs against a real server. Quiet users are
// measured in both cases, and their conversations are checked.
func TestNoisyNeighborRealServer(t *testing.T) {
	for _, args := range []string{"--kind chat --bullies 2 --conns 2", "--kind event", "--kind event --peers 5", "--kind sync", "--kind conversations --peers 5", "--kind friend", "--kind register", "--kind chat --limits"} {
		t.Run(strings.ReplaceAll(args, " ", "-"), func(t *testing.T) {
			folder := t.TempDir()
			code, stdout, stderr := chatbench(t, append(strings.Fields("bully --pairs 2 --rate 200 --rounds 1 --turn 300ms --json - "+args),
				"--chatd", benchtest.Chatd(t), "--dir", folder)...)
			var rep report.Report
			if err := json.Unmarshal([]byte(stdout), &rep); err != nil || code != exitOK {
				t.Fatalf("exit code %d, JSON error %v, want %d and a report; output:\n%s%s", code, err, exitOK, stdout, stderr)
			}
			measured := true // on a busy machine a turn may pass without messages
			for _, name := range []string{"ack alone", "ack beside", "end to end alone", "end to end beside"} {
				i := slices.IndexFunc(rep.Latencies, func(l report.Latency) bool { return l.Name == name })
				if i < 0 {
					t.Fatalf("latency %q is missing: %+v", name, rep.Latencies)
				}
				measured = measured && rep.Latencies[i].Count > 0
			}
			for _, name := range []string{scenario.NoisyRatio, "end to end p50, beside to alone", "bullies: sent", "bullies: kicked"} {
				i := slices.IndexFunc(rep.Figures, func(f report.Figure) bool { return f.Name == name })
				if i < 0 && (measured || strings.HasPrefix(name, "bullies")) {
					t.Errorf("figure %q is missing: %+v", name, rep.Figures)
				}
			}
			if limits := slices.Contains(rep.Server.Args, target.WithLimits); limits != strings.Contains(args, "--limits") {
				t.Errorf("server arguments in the report = %v, with the default limits: %v, want %v", rep.Server.Args, limits, !limits)
			}
			benchtest.CheckGone(t, folder, rep.Server.Address)
		})
	}
}

// chatbench bully notices a message to a quiet user that is lost.
func TestNoisyNeighborBrokenServer(t *testing.T) {
	f := benchtest.NewFakeServer(t)
	f.Push = benchtest.At(7, benchtest.Drop)
	code, stdout, stderr := chatbench(t, "bully", "--addr", f.Addr(), "--pairs", "1", "--rate", "1000", "--rounds", "1", "--turn", "50ms")
	if code != exitFailure || !strings.Contains(stdout, "8 came after 6: 1 missing") {
		t.Errorf("exit code %d, want %d and the missing message; output:\n%s%s", code, exitFailure, stdout, stderr)
	}
}
