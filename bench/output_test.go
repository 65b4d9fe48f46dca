package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chatd/bench/benchtest"
	"chatd/bench/report"
)

// A run writes the files that --json, --html and --svg name. Files that can't
// be written are reported before the run.
func TestOutputs(t *testing.T) {
	folder := t.TempDir()
	file := func(name string) string { return filepath.Join(folder, name) }
	f := benchtest.NewFakeServer(t)
	for _, scenario := range []string{"stream", "event"} {
		code, stdout, stderr := chatbench(t, scenario, "--addr", f.Addr(), "--pairs", "2", "--count", "20",
			"--json", file("run.json"), "--html", file("run.html"), "--svg", file("run.svg"))
		if code != exitOK || !strings.Contains(stdout, "the run is good") {
			t.Fatalf("exit code %d, want %d and a good run; output:\n%s%s", code, exitOK, stdout, stderr)
		}
		for _, name := range []string{"run.html", "run.svg"} {
			text, err := os.ReadFile(file(name))
			if err != nil {
				t.Fatal(err)
			}
			if visible, _ := benchtest.Markup(t, text); !strings.Contains(visible, scenario) || !strings.Contains(visible, "Latency by percentile") {
				t.Errorf("%s lacks the scenario or a plot, its text is %s", name, visible)
			}
		}
		text, err := os.ReadFile(file("run.json"))
		var r report.Report
		if err == nil {
			err = json.Unmarshal(text, &r)
		}
		if err != nil || len(r.Latencies) == 0 || len(r.Latencies[0].Curve) < 5 || len(r.Series) == 0 {
			t.Errorf("run.json: %v, want latencies with curves and series:\n%s", err, text)
		}
	}
	for _, flag := range []string{"--json", "--html", "--svg"} {
		for name, want := range map[string]string{file("nowhere/run"): "folder " + folder + "/nowhere doesn't exist", folder: "is a folder"} {
			code, _, stderr := chatbench(t, "stream", "--addr", f.Addr(), flag, name)
			if code != exitUsage || !strings.Contains(stderr, flag+" "+name+": "+want) {
				t.Errorf("%s %s: exit code %d, error %q; want %d and %q", flag, name, code, stderr, exitUsage, want)
			}
		}
	}
}
