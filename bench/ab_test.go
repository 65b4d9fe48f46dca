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

// ab runs A and B equally often, in turns, each on its own server. compare can
// read the file that it writes.
func TestAB(t *testing.T) {
	a, b := benchtest.NewFakeServer(t), benchtest.NewFakeServer(t)
	file := filepath.Join(t.TempDir(), "trial.json")
	code, stdout, stderr := chatbench(t, "ab", "--rounds", "3", "--json", file,
		"--", "stream", "--addr", a.Addr(), "--pairs", "2", "--count", "20", "--", "event", "--addr", b.Addr(), "--pairs", "1", "--count", "30")
	if code != exitOK || !strings.Contains(stdout, "3 rounds complete") || !strings.Contains(stdout, "all runs are good") ||
		!strings.Contains(stdout, "25 % of the lines") {
		t.Fatalf("exit code %d, want %d and 3 complete rounds; output:\n%s%s", code, exitOK, stdout, stderr)
	}
	if len(a.Users) != 3*4 || len(b.Users) != 3*2 {
		t.Errorf("%d users registered at A's server and %d at B's, want 12 and 6", len(a.Users), len(b.Users))
	}
	s, err := report.ReadSaved(file)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, r := range s.Trial.Rounds {
		order = append(order, r.First)
		if r.A.Scenario != "stream" || r.B.Scenario != "event" || r.A.Began.Before(r.B.Began) != (r.First == "A") {
			t.Errorf("round with %s first: A is %s at %s, B is %s at %s; want stream and event, in that order", r.First, r.A.Scenario, r.A.Began, r.B.Scenario, r.B.Began)
		}
	}
	if !slices.Equal(order, []string{"A", "B", "A"}) {
		t.Errorf("first sides of the rounds = %v, want A, B, A", order)
	}
	c := s.Trial.Comparison
	if c == nil || c.RoundsA != 3 || !c.Paired || len(c.Changes) == 0 || c.Changes[0].Name != "delivered" || c.Changes[0].Noise != report.FromRounds {
		t.Fatalf("comparison = %+v, want 3 paired rounds that begin with delivered", c)
	}
	if !slices.ContainsFunc(c.Warnings, func(w string) bool { return strings.HasPrefix(w, "only A has acknowledged (per second), ack p50") }) {
		t.Errorf("warnings = %q, want one that only A has acknowledged", c.Warnings)
	}
	code, again, stderr := chatbench(t, "compare", file)
	if code != exitOK || again != c.Table() {
		t.Errorf("compare: exit code %d, %s\n%s\nwant %d and\n%s", code, stderr, again, exitOK, c.Table())
	}
}

// A broken promise ends ab, and the error names the run. Earlier rounds are
// still reported.
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
		t.Fatalf("invalid JSON: %v\n%s", err, stdout)
	}
	if code != exitFailure || !strings.Contains(stderr, "round 2, B: the server broke its promises") ||
		len(tr.Rounds) != 2 || tr.Rounds[1].A != nil || tr.Comparison == nil || tr.Comparison.RoundsA != 1 {
		t.Errorf("exit code %d, error %q, %d rounds, comparison %+v; want %d, an error about round 2 of B, and 1 complete round of 2", code, stderr, len(tr.Rounds), tr.Comparison, exitFailure)
	}
}

// After Ctrl-C, ab reports the rounds completed so far.
func TestABInterrupted(t *testing.T) {
	f := benchtest.NewFakeServer(t)
	for word, want := range map[string]string{"round 1 of 100, A: ": "0 rounds complete", "round 2 of 100, B: ": "1 rounds complete"} {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var stdout, stderr bytes.Buffer
		args := []string{"--", "stream", "--addr", f.Addr(), "--pairs", "1", "--count", "20"}
		code := run(ctx, slices.Concat([]string{"ab", "--rounds", "100"}, args, args), &stdout, &stderr, watcher{word, cancel})
		if code != exitInterrupted || !strings.Contains(stdout.String(), want) || !strings.Contains(stdout.String(), "result: interrupted") {
			t.Errorf("interrupted at %q: exit code %d, want %d and %q; output:\n%s%s", word, code, exitInterrupted, want, &stdout, &stderr)
		}
	}
}

// ab reports mistakes in either command line before anything runs.
func TestABArguments(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"ab", "args"},
		{"ab -- stream", "ab needs two command lines"},
		{"ab -- stream -- stream -- stream", "ab needs two command lines"},
		{"ab --rounds 0 -- stream -- stream", "--rounds"},
		{"ab --rounds 101 -- stream -- stream", "--rounds"},
		{"ab -- stream --pairs 0 -- stream", "A: --pairs"},
		{"ab -- stream -- stream --nonsense", "B: unknown flag --nonsense"},
		{"ab -- -- stream", "A: expected one of"},
		{"ab -- stream -- compare a.json b.json", "B: ab can't run compare"},
		{"ab -- stream --help -- stream", "A: --help"},
		{"ab -- stream --json x.json -- stream", "ab itself accepts --json"},
		{"ab --chatd x -- stream -- stream", "--chatd: ab doesn't accept this flag"},
		{"ab --html x.html -- stream -- stream", "--html: ab doesn't accept this flag"},
		{"compare --addr 127.0.0.1:1 a.json b.json", "--addr: compare doesn't accept this flag"},
		{"compare", "a"},
		{"compare a.json b.json c.json", "c.json"},
	} {
		code, stdout, stderr := chatbench(t, strings.Fields(c.args)...)
		if code != exitUsage || !strings.Contains(stderr, c.want) || stdout != "" {
			t.Errorf("chatbench %s: exit code %d, error %q; want %d and %q", c.args, code, stderr, exitUsage, c.want)
		}
	}
	for _, tool := range []string{"ab", "compare"} {
		var stdout bytes.Buffer
		code := run(context.Background(), []string{tool, "--help"}, &stdout, io.Discard, io.Discard)
		if code != exitOK || !strings.Contains(stdout.String(), "--json") || strings.Contains(stdout.String(), "--addr") {
			t.Errorf("%s --help: exit code %d, want %d and only its own flags; output:\n%s", tool, code, exitOK, &stdout)
		}
	}
}
