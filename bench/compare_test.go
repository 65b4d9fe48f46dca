package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chatd/bench/report"
)

// synthetic returns a report with this rate and latency. Its seconds differ by
// about noise.
func synthetic(rnd *rand.Rand, rate, us, noise float64) *report.Report {
	r := &report.Report{Scenario: "stream", Settings: map[string]string{"pairs": "50"}, Machine: report.Machine{Cores: 2, CPU: "a CPU", System: "a system", Go: "go1"},
		Server: report.ServerInfo{Version: "chatd 1", Store: "sqlite"}, Seconds: 20, Series: []report.Series{{Rate: "delivered", Latency: "end to end"}}}
	rates, delays := samplesAround(rnd, 20, rate, noise), samplesAround(rnd, 20, us, noise)
	for i := range rates {
		d := []int64{int64(delays[i])}
		r.Samples = append(r.Samples, report.Sample{Seconds: 1, Rates: rates[i : i+1], P50us: d, P90us: d, P99us: d, P999us: d})
	}
	d := int64(meanOf(delays))
	r.AddFigure("delivered", meanOf(rates), "per second", report.Higher)
	r.AddFigure("server memory", 100, "MiB", report.Lower)
	r.Latencies = []report.Latency{{Name: "end to end", Count: 1000, P50: d, P90: d, P99: d, P999: d, Max: d}}
	return r
}

// samplesAround returns n samples around a mean, each off by about the noise.
func samplesAround(rnd *rand.Rand, n int, mean, noise float64) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = mean * (1 + noise*rnd.NormFloat64())
	}
	return values
}

func meanOf(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// saveAs writes values as JSON into one file, one after the other.
func saveAs[T any](t *testing.T, name string, values ...T) string {
	t.Helper()
	var all []byte
	for _, v := range values {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		all = append(append(all, text...), '\n')
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// compared runs compare and returns the verdicts by name.
func compared(t *testing.T, args ...string) (c report.Comparison, verdicts map[string]string) {
	t.Helper()
	code, stdout, stderr := chatbench(t, append([]string{"compare", "--json", "-"}, args...)...)
	if err := json.Unmarshal([]byte(stdout), &c); err != nil || code != exitOK {
		t.Fatalf("compare %q: exit code %d, JSON error %v, want %d; output:\n%s%s", args, code, err, exitOK, stdout, stderr)
	}
	verdicts = make(map[string]string)
	for _, ch := range c.Changes {
		verdicts[ch.Name] = ch.Verdict
		if ch.Noise != "" && !(ch.Low <= ch.Ratio && ch.Ratio <= ch.High) {
			t.Errorf("%s: ratio %g is not within its noise, %g to %g", ch.Name, ch.Ratio, ch.Low, ch.High)
		}
	}
	return c, verdicts
}

// A difference that exceeds the noise is better or worse. Any other is within
// noise.
func TestCompare(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	run := func(rate, us, noise float64) *report.Report { return synthetic(rnd, rate, us, noise) }
	a := run(1000, 20_000, 0.03)
	for name, c := range map[string]struct {
		a, b        []*report.Report
		rate, delay string
		memory      string
		noise       string
	}{
		"equal":        {[]*report.Report{a}, []*report.Report{a}, report.WithinNoise, report.WithinNoise, report.NoiseUnknown, report.FromSeconds},
		"better":       {[]*report.Report{a}, []*report.Report{run(1200, 15_000, 0.03)}, report.Better, report.Better, report.NoiseUnknown, report.FromSeconds},
		"worse":        {[]*report.Report{a}, []*report.Report{run(800, 25_000, 0.03)}, report.Worse, report.Worse, report.NoiseUnknown, report.FromSeconds},
		"noisy":        {[]*report.Report{run(1000, 20_000, 0.4)}, []*report.Report{run(1200, 18_000, 0.4)}, report.WithinNoise, report.WithinNoise, report.NoiseUnknown, report.FromSeconds},
		"rounds":       {[]*report.Report{a, a, a}, []*report.Report{run(1200, 15_000, 0), run(1210, 15_100, 0), run(1190, 14_900, 0)}, report.Better, report.Better, report.WithinNoise, report.FromRounds},
		"noisy rounds": {[]*report.Report{run(1000, 20_000, 0), run(1300, 15_000, 0), run(1100, 18_000, 0)}, []*report.Report{run(1250, 15_500, 0), run(1350, 14_000, 0), run(1400, 13_000, 0)}, report.WithinNoise, report.WithinNoise, report.WithinNoise, report.FromRounds},
		// Two rounds aren't enough, but their seconds are.
		"two rounds": {[]*report.Report{a, a}, []*report.Report{run(1200, 15_000, 0.03), run(1200, 15_000, 0.03)}, report.Better, report.Better, report.NoiseUnknown, report.FromSeconds},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			cmp, verdicts := compared(t, saveAs(t, "a.json", c.a...), saveAs(t, "b.json", c.b...))
			want := map[string]string{"delivered": c.rate, "server memory": c.memory, "end to end max": report.NoiseUnknown}
			if c.noise == report.FromRounds {
				want["end to end max"] = c.delay
			}
			for _, p := range []string{"p50", "p90", "p99", "p99.9"} {
				want["end to end "+p] = c.delay
			}
			for name, verdict := range want {
				if verdicts[name] != verdict {
					t.Errorf("verdict on %s = %q, want %q; changes: %+v", name, verdicts[name], verdict, cmp.Changes)
				}
			}
			if len(verdicts) != len(want) || len(cmp.Warnings) > 0 || cmp.Changes[0].Noise != c.noise {
				t.Errorf("got %d verdicts, warnings %q, noise from %q; want %d, none, from %q", len(verdicts), cmp.Warnings, cmp.Changes[0].Noise, len(want), c.noise)
			}
		})
	}
}

// compare can read old reports, which have fewer percentiles per second.
func TestCompareOld(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 2))
	a, b := synthetic(rnd, 1000, 20_000, 0.03), synthetic(rnd, 1500, 10_000, 0.03)
	for _, r := range []*report.Report{a, b} {
		r.Series = nil
		for i := range r.Samples {
			r.Samples[i].P50us, r.Samples[i].P90us, r.Samples[i].P999us = nil, nil, nil
		}
	}
	_, verdicts := compared(t, saveAs(t, "a.json", a), saveAs(t, "b.json", b))
	if verdicts["delivered"] != report.Better || verdicts["end to end p99"] != report.Better || verdicts["end to end p50"] != report.NoiseUnknown {
		t.Errorf("verdicts = %v, want better for delivered and p99, and unknown noise for p50", verdicts)
	}
}

// A change smaller than a histogram bucket is within noise. A figure that is 0
// has no ratio, and the JSON stays valid.
func TestCompareEdges(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	a, b := synthetic(rnd, 1000, 20_000, 0), synthetic(rnd, 1000, 20_150, 0)
	a.AddFigure("errors", 0, "", report.Lower)
	b.AddFigure("errors", 3, "", report.Lower)
	_, verdicts := compared(t, saveAs(t, "a.json", a), saveAs(t, "b.json", b))
	if verdicts["end to end p50"] != report.WithinNoise || verdicts["delivered"] != report.WithinNoise || verdicts["errors"] != report.NoRatio {
		t.Errorf("verdicts = %v, want within noise for p50 and delivered, and no ratio for errors", verdicts)
	}
}

// compare warns once about each difference that makes two reports harder to
// compare.
func TestCompareWarns(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 4))
	a, b := synthetic(rnd, 1000, 20_000, 0.03), synthetic(rnd, 1000, 20_000, 0.03)
	b.Settings = map[string]string{"pairs": "100", "window": "1"}
	b.Machine = report.Machine{Cores: 4, CPU: "another CPU", System: "another system", Go: "go2"}
	b.Server.Store = "mysql"
	b.AddFigure("new", 1, "things", report.Higher)
	b.Latencies = append(b.Latencies, report.Latency{Name: "more", Count: 1})
	b.Faults = 2
	b.Refusals = map[string]int64{"9": 5}
	c, _ := compared(t, saveAs(t, "a.json", a), saveAs(t, "b.json", b, b))
	want := []string{
		"different --pairs: 50 in A, 100 in B", "different --window: none in A, 1 in B",
		"different cores: 2 in A, 4 in B", "different CPU: a CPU in A, another CPU in B", "different system: a system in A, another system in B",
		"different Go of chatbench: go1 in A, go2 in B", "different store: sqlite in A, mysql in B",
		"B, run 1: the server broke its promises 2 times", "B, run 1: 5 refusals, so its latencies are those of the accepted messages",
		"B, run 2: the server broke its promises 2 times", "B, run 2: 5 refusals, so its latencies are those of the accepted messages",
		"only B has new (things), more p50 (µs), more p90 (µs), more p99 (µs), more p99.9 (µs), more max (µs)",
	}
	if !slices.Equal(c.Warnings, want) {
		t.Errorf("warnings:\n%s\nwant\n%s", strings.Join(c.Warnings, "\n"), strings.Join(want, "\n"))
	}
}

// --fail-on-worse fails if anything got worse or a promise was broken, but not
// for noise.
func TestFailOnWorse(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 5))
	a := saveAs(t, "a.json", synthetic(rnd, 1000, 20_000, 0.03))
	broken := synthetic(rnd, 1000, 20_000, 0.03)
	broken.Faults = 1
	for name, c := range map[string]struct {
		b    *report.Report
		code int
	}{
		"noise": {synthetic(rnd, 1000, 20_000, 0.03), exitOK}, "better": {synthetic(rnd, 1300, 15_000, 0.03), exitOK},
		"worse": {synthetic(rnd, 700, 30_000, 0.03), exitFailure}, "broken": {broken, exitFailure},
	} {
		b := saveAs(t, "b.json", c.b)
		if code, stdout, stderr := chatbench(t, "compare", a, b, "--fail-on-worse"); code != c.code || (code == exitFailure) != strings.Contains(stderr, "got worse") {
			t.Errorf("%s with --fail-on-worse: exit code %d, want %d; output:\n%s%s", name, code, c.code, stdout, stderr)
		}
		if code, stdout, stderr := chatbench(t, "compare", a, b); code != exitOK || !strings.Contains(stdout, "end to end p99.9") || stderr != "" {
			t.Errorf("%s without --fail-on-worse: exit code %d, want %d and a table; output:\n%s%s", name, code, exitOK, stdout, stderr)
		}
	}
}

// If a file can't be used, the error names it and says why.
func TestBadFiles(t *testing.T) {
	rnd := rand.New(rand.NewPCG(6, 6))
	good := synthetic(rnd, 1000, 20_000, 0.03)
	a := saveAs(t, "good.json", good)
	other := *good
	other.Scenario = "event"
	failed := &report.Report{Scenario: "stream", Failed: "no server"}
	tr := &report.Trial{ArgsA: []string{"stream"}, ArgsB: []string{"stream"}, Rounds: []report.Round{{First: "A", A: good, B: good}}}
	trialFile := saveAs(t, "trial.json", tr)
	text := func(content string) string {
		path := filepath.Join(t.TempDir(), "bad.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{a, filepath.Join(t.TempDir(), "nothing.json")}, "nothing.json: no such file"},
		{[]string{a, t.TempDir()}, "is a directory"},
		{[]string{a, text("")}, "bad.json: the file is empty"},
		{[]string{a, text("chatbench stream, 10s measured")}, "bad.json: not a chatbench report: invalid character"},
		{[]string{a, text(`{"scenario":"stream"`)}, "bad.json: not a chatbench report: unexpected EOF"},
		{[]string{a, text(`[1]`)}, "cannot unmarshal array"},
		{[]string{a, text(`{}`)}, "scenario missing"},
		{[]string{a, text(`{"scenario":"stream","figures":[{"name":"x","better":"red"}]}`)}, `figure "x" has better: "red"`},
		{[]string{a, text(`{"scenario":"stream","figures":"many"}`)}, "cannot unmarshal string"},
		{[]string{a, text(`{"rounds":[{"a":{}}]}`) + ":a"}, "round 1, A: scenario missing"},
		{[]string{a, text(`{"rounds":[]}`) + ":a"}, "no round was completed"},
		{[]string{text(`{"rounds":[]}`)}, "no round was completed"},
		{[]string{a, saveAs(t, "failed.json", failed)}, "failed.json: run 1 has no figures: the run failed: no server"},
		{[]string{a, saveAs(t, "other.json", &other)}, "is of stream and"},
		{[]string{a, saveAs(t, "mixed.json", good, &other)}, "mixed.json: has runs of different scenarios, stream and event"},
		{[]string{a, saveAs(t, "both.json", any(good), any(tr))}, "both.json: the file has both a report of ab and other reports"},
		{[]string{a, saveAs(t, "two.json", tr, tr) + ":a"}, "a second report of ab"},
		{[]string{a, trialFile}, "trial.json: a report of ab has two sides"},
		{[]string{a, a + ":b"}, "good.json: :a and :b are only for a report of ab"},
		{[]string{a}, "good.json: a single run"},
	} {
		code, stdout, stderr := chatbench(t, append([]string{"compare"}, c.args...)...)
		if code != exitUsage || !strings.Contains(stderr, c.want) || stdout != "" {
			t.Errorf("compare %q: exit code %d, error %q; want %d and %q", c.args, code, stderr, exitUsage, c.want)
		}
	}
	for _, args := range [][]string{{trialFile}, {trialFile + ":a", trialFile + ":b"}, {a, trialFile + ":b"}} {
		if code, _, stderr := chatbench(t, append([]string{"compare"}, args...)...); code != exitOK {
			t.Errorf("compare %q: exit code %d, error %q; want %d", args, code, stderr, exitOK)
		}
	}
}
