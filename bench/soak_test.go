package main

import (
	"encoding/json"
	"strings"
	"testing"

	"chatd/bench/benchtest"
	"chatd/bench/report"
)

// A soak of a real server samples the process until the end, and gives a
// verdict.
func TestSoakRealServer(t *testing.T) {
	folder := t.TempDir()
	_, stdout, stderr := chatbench(t, "soak", "--users", "20", "--members", "4", "--rate", "200", "--duration", "1s", "--warmup", "100ms",
		"--every", "100ms", "--leave", "20", "--away", "50ms", "--chatd", benchtest.Chatd(t), "--dir", folder, "--json", "-")
	var rep report.Report
	if err := json.Unmarshal([]byte(stdout), &rep); err != nil || rep.Failed != "" || rep.Faults > 0 || rep.Soak == nil {
		t.Fatalf("want a report of a successful soak, got error %v; output:\n%s%s", err, stdout, stderr)
	}
	p := rep.Soak.Processes
	if len(p) != 1 || !p[0].Node || len(p[0].Samples) == 0 {
		t.Fatalf("sampled processes = %+v, want one node with samples", p)
	}
	for _, l := range p[0].Samples {
		for name, value := range map[string]float64{"memory": l.Memory, "private memory": l.Private, "heap goal": l.Heap,
			"goroutines": l.Goroutines, "file descriptors": l.Files} {
			if value <= 0 {
				t.Errorf("%s = %g, want more than 0, in sample %+v", name, value, l)
			}
		}
	}
	if last := p[0].Samples[len(p[0].Samples)-1]; last.At < 1 {
		t.Errorf("the last sample was taken after %g s, want at least 1 s", last.At)
	}
	benchtest.CheckGone(t, folder, rep.Server.Address)
}

// A soak of a running server without --pid fails.
func TestSoakNeedsPID(t *testing.T) {
	f := benchtest.NewFakeServer(t)
	code, stdout, _ := chatbench(t, "soak", "--addr", f.Addr(), "--rate", "100")
	if code != exitFailure || !strings.Contains(stdout, "--pid") {
		t.Errorf("exit code %d, want %d and an error that mentions --pid; output:\n%s", code, exitFailure, stdout)
	}
}
