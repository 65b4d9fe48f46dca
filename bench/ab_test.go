package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"chatd/bench/benchtest"
	"chatd/bench/report"
	"chatd/proto"
)

// A and B run equally often, in turns, each on its own server. The file has
// everything, and compare reads it.
func TestAB(t *testing.T) {
	a, b := benchtest.NewFakeServer(t), benchtest.NewFakeServer(t)
	file := filepath.Join(t.TempDir(), "trial.json")
	code, stdout, stderr := chatbench(t, "ab", "--rounds", "3", "--json", file,
		"--", "stream", "--addr", a.Addr(), "--pairs", "2", "--count", "20", "--", "event", "--addr", b.Addr(), "--pairs", "1", "--count", "30")
	if code != exitOK || !strings.Contains(stdout, "3 rounds complete") || !strings.Contains(stdout, "all runs are good") ||
		!strings.Contains(stdout, "25 % of the lines") {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if len(a.Users) != 3*4 || len(b.Users) != 3*2 {
		t.Errorf("%d users came to A's server and %d to B's", len(a.Users), len(b.Users))
	}
	s, err := report.ReadSaved(file)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, r := range s.Trial.Rounds {
		order = append(order, r.First)
		if r.A.Scenario != "stream" || r.B.Scenario != "event" || r.A.Began.Before(r.B.Began) != (r.First == "A") {
			t.Errorf("%s first: %s at %s and %s at %s", r.First, r.A.Scenario, r.A.Began, r.B.Scenario, r.B.Began)
		}
	}
	if !slices.Equal(order, []string{"A", "B", "A"}) {
		t.Errorf("first were %v", order)
	}
	c := s.Trial.Comparison
	if c == nil || c.RoundsA != 3 || !c.Paired || len(c.Changes) == 0 || c.Changes[0].Name != "delivered" || c.Changes[0].Noise != report.FromRounds {
		t.Fatalf("%+v", c)
	}
	if !slices.ContainsFunc(c.Warnings, func(w string) bool { return strings.HasPrefix(w, "only A has acknowledged (per second), ack p50") }) {
		t.Errorf("%q", c.Warnings)
	}
	code, again, stderr := chatbench(t, "compare", file)
	if code != exitOK || again != c.Table() {
		t.Errorf("exit code %d, %s\n%s\nwant\n%s", code, stderr, again, c.Table())
	}
}

// A broken promise ends the trial and names the run. Earlier rounds are still
// reported.
func TestABFails(t *testing.T) {
	a, b := benchtest.NewFakeServer(t), benchtest.NewFakeServer(t)
	var runs atomic.Int64
	lie := benchtest.At(7, benchtest.Twice)
	b.Push = func(n int64, r proto.Response) []proto.Response {
		if n == 1 {
			runs.Add(1)
		}
		if runs.Load() == 2 {
			return lie(n, r)
		}
		return []proto.Response{r}
	}
	code, stdout, stderr := chatbench(t, "ab", "--rounds", "4", "--json", "-",
		"--", "stream", "--addr", a.Addr(), "--pairs", "1", "--count", "20", "--", "stream", "--addr", b.Addr(), "--pairs", "1", "--count", "20")
	var tr report.Trial
	if err := json.Unmarshal([]byte(stdout), &tr); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	if code != exitFailure || !strings.Contains(stderr, "round 2, B: the server broke its promises") ||
		len(tr.Rounds) != 2 || tr.Rounds[1].A != nil || tr.Comparison == nil || tr.Comparison.RoundsA != 1 {
		t.Errorf("exit code %d, %q, %d rounds, %+v", code, stderr, len(tr.Rounds), tr.Comparison)
	}
}

// Ctrl-C keeps complete rounds.
func TestABInterrupted(t *testing.T) {
	f := benchtest.NewFakeServer(t)
	for word, says := range map[string]string{"round 1 of 100, A: ": "0 rounds complete", "round 2 of 100, B: ": "1 rounds complete"} {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var stdout, stderr bytes.Buffer
		args := []string{"--", "stream", "--addr", f.Addr(), "--pairs", "1", "--count", "20"}
		code := run(ctx, slices.Concat([]string{"ab", "--rounds", "100"}, args, args), &stdout, &stderr, watcher{word, cancel})
		if code != exitInterrupted || !strings.Contains(stdout.String(), says) || !strings.Contains(stdout.String(), "result: interrupted") {
			t.Errorf("%q: exit code %d\n%s%s", word, code, &stdout, &stderr)
		}
	}
}

// Mistakes in either command line are reported before anything runs.
func TestABArguments(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"ab", "args"},
		{"ab -- stream", "two command lines are needed"},
		{"ab -- stream -- stream -- stream", "two command lines are needed"},
		{"ab --rounds 0 -- stream -- stream", "--rounds"},
		{"ab --rounds 101 -- stream -- stream", "--rounds"},
		{"ab -- stream --pairs 0 -- stream", "A: --pairs"},
		{"ab -- stream -- stream --nonsense", "B: unknown flag --nonsense"},
		{"ab -- -- stream", "A: expected one of"},
		{"ab -- stream -- compare a.json b.json", "B: compare is no load"},
		{"ab -- stream --help -- stream", "A: --help"},
		{"ab -- stream --json x.json -- stream", "ab itself takes --json"},
		{"ab --chatd x -- stream -- stream", "--chatd: ab doesn't take it"},
		{"ab --html x.html -- stream -- stream", "--html: ab doesn't take it"},
		{"compare --addr 127.0.0.1:1 a.json b.json", "--addr: compare doesn't take it"},
		{"compare", "a"},
		{"compare a.json b.json c.json", "c.json"},
	} {
		code, stdout, stderr := chatbench(t, strings.Fields(c.args)...)
		if code != exitUsage || !strings.Contains(stderr, c.says) || stdout != "" {
			t.Errorf("%q: exit code %d, %q; want %d and %q", c.args, code, stderr, exitUsage, c.says)
		}
	}
	for _, tool := range []string{"ab", "compare"} {
		var stdout bytes.Buffer
		code := run(context.Background(), []string{tool, "--help"}, &stdout, io.Discard, io.Discard)
		if code != exitOK || !strings.Contains(stdout.String(), "--json") || strings.Contains(stdout.String(), "--addr") {
			t.Errorf("%s --help: exit code %d\n%s", tool, code, &stdout)
		}
	}
}
