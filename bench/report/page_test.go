package report

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"chatd/bench/benchtest"
)

// specimen returns a report that uses most fields.
func specimen() *Report {
	r := &Report{Scenario: "stream", Settings: map[string]string{"pairs": "50", "window": "64"},
		Began: time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC), Machine: Machine{2, "a CPU", "a system", "go1"},
		Server: ServerInfo{Address: "127.0.0.1:1", Version: "chatd 1.2.3", Store: "sqlite on ext4"}, Seconds: 4,
		Series: []Series{{"acknowledged", "ack"}, {"delivered", "end to end"}}}
	r.AddFigure("acknowledged", 73_100, "per second", Higher)
	r.AddFigure("delivered", 73_000, "per second", Higher)
	for _, who := range []string{"node 1", "node 2", "database", "generator"} {
		r.AddFigure(who+" CPU per million messages", 10.6, "s", Lower)
		r.AddFigure(who+" CPU", 25, "% of a core", Lower)
	}
	r.AddFigure("generator share", 25, "% of all CPU used", Lower)
	r.AddFigure("node 1 memory", 120, "MiB", Lower)
	r.AddFigure("node 1 memory, peak", 133, "MiB", Lower)
	h := NewHistogram()
	for us := int64(1000); us < 21_000; us++ {
		_ = h.RecordValue(us)
	}
	r.AddLatency("ack", h)
	r.AddLatency("end to end", h)
	for i := range 4 {
		s := Sample{Seconds: 1}
		s.Add(h)
		s.Add(h)
		s.Rates[0] += float64(i)
		r.Samples = append(r.Samples, s)
	}
	r.AddRefusals(9, 3)
	r.AddNote("a note")
	return r
}

// The page contains everything in the report, and the picture its plots.
func TestPage(t *testing.T) {
	r := specimen()
	page, err := r.page()
	if err != nil {
		t.Fatal(err)
	}
	visible, elements := benchtest.Markup(t, page)
	for _, want := range []string{"stream", "--pairs 50", "a CPU", "chatd 1.2.3", "2026-11-25 03:00:00 UTC", "the run is good", "73.1k",
		"Latency by percentile", "Rate per second", "p99 second by second", "99.99", "end to end: 90 % within", "node 2", "10.60",
		"generator share", "refused with errno 9: 3", "a note", "Refusals: 3"} {
		if !strings.Contains(visible, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if elements["svg"] != 6 || elements["script"]+elements["link"]+elements["img"] > 0 {
		t.Errorf("the page has elements %v, want three plots in two sizes and nothing that loads", elements)
	}
	if text := string(page); strings.Contains(text, "url(") || strings.Contains(text, "@import") ||
		!strings.Contains(text, "prefers-color-scheme: dark") || !strings.Contains(text, "width=device-width") {
		t.Error("the page's CSS loads something, or doesn't support dark mode or narrow screens")
	}
	visible, elements = benchtest.Markup(t, r.picture())
	if elements["svg"] != 1 || elements["g"] != 2 || !strings.Contains(visible, "Rate per second") || !strings.Contains(visible, "Latency by percentile") {
		t.Errorf("the picture has elements %v and text %s, want one SVG with two plots", elements, visible)
	}
}

// Texts of a report may come from a server, a flag or a file. The page shows
// them as text, never as markup.
func TestHostilePage(t *testing.T) {
	const hostile = `</title></style></svg><script>alert("1")</script><img src=x onerror=alert(1)>&'` + "\x00"
	r := specimen()
	r.Scenario, r.Settings["pairs"], r.Settings[hostile] = hostile, hostile, hostile
	r.Machine.CPU, r.Server.Version, r.Server.Store, r.Server.Args = hostile, hostile, hostile, []string{hostile}
	r.Failed, r.FirstFaults, r.Notes = hostile, []string{hostile}, []string{hostile}
	r.Refusals[hostile] = 1
	r.AddFigure(hostile, 1, hostile, hostile)
	r.AddFigure(hostile+" CPU", 1, "% of a core", hostile)
	r.Latencies[0].Name, r.Series[0].Rate, r.Series[1].Latency = hostile, hostile, hostile
	page, err := r.page()
	if err != nil {
		t.Fatal(err)
	}
	// XML has no NUL. Browsers show it as an unknown character.
	visible, elements := benchtest.Markup(t, []byte(strings.ReplaceAll(string(page), "\x00", "\uFFFD")))
	if elements["script"]+elements["img"] > 0 || elements["svg"] != 6 || elements["style"] != 1 {
		t.Errorf("the page has elements %v, want no script and no image, 6 plots and 1 style", elements)
	}
	if n := strings.Count(visible, `<script>alert("1")</script>`); n < 12 {
		t.Errorf("the hostile text is visible %d times, want at least 12", n)
	}
	if _, elements := benchtest.Markup(t, r.picture()); elements["script"]+elements["img"] > 0 || elements["svg"] != 1 {
		t.Errorf("the picture has elements %v, want one SVG without script or image", elements)
	}
}

// A run that failed at once has a page without plots. An old report, with fewer
// fields, has plots.
func TestPageOfSmallReports(t *testing.T) {
	empty := &Report{Scenario: "stream", Failed: "no server"}
	old := specimen()
	old.Series = nil
	for i := range old.Latencies {
		old.Latencies[i].Curve = nil
	}
	for i := range old.Samples {
		old.Samples[i].P99us = nil
	}
	for _, c := range []struct {
		r     *Report
		plots int
		want  string
	}{{empty, 0, "the run failed: no server"}, {old, 6, "acknowledged"}} {
		page, err := c.r.page()
		if err != nil {
			t.Fatal(err)
		}
		if visible, elements := benchtest.Markup(t, page); elements["svg"] != c.plots || !strings.Contains(visible, c.want) {
			t.Errorf("page has %d plots, want %d and the text %q:\n%s", elements["svg"], c.plots, c.want, visible)
		}
		benchtest.Markup(t, c.r.picture())
	}
}

// A curve has the percentiles of its histogram, as far as the number of values
// allows.
func TestCurve(t *testing.T) {
	for _, n := range []int64{0, 1, 2, 10, 12_345} {
		h := hdrhistogram.New(1, MaxLatencyUs, latencyDigits)
		for i := range n {
			_ = h.RecordValue(i + 1)
		}
		points := curveOf(h)
		if n == 0 {
			if points != nil {
				t.Errorf("curve of an empty histogram = %v, want nil", points)
			}
			continue
		}
		last := points[len(points)-1]
		if last.Percentile != 100 || last.Us != h.Max() || last.tail(n) != float64(n) {
			t.Errorf("curve of %d values ends at %+v, want 100 %% and the maximum", n, last)
		}
		for i, p := range points {
			if i > 0 && (p.Percentile <= points[i-1].Percentile || p.Us < points[i-1].Us || p.tail(n) < points[i-1].tail(n)) {
				t.Errorf("curve of %d values falls from %+v to %+v", n, points[i-1], p)
			}
			if p.Us != h.ValueAtPercentile(p.Percentile) {
				t.Errorf("curve of %d values: %+v, want the histogram's %d", n, p, h.ValueAtPercentile(p.Percentile))
			}
			if p.Percentile == 99 && math.Abs(p.tail(n)-100) > 1e-6 {
				t.Errorf("tail of 99 %% = %g, want 100", p.tail(n))
			}
		}
	}
}

// Every process has a row, whatever its name. Figures with similar names stay
// figures.
func TestTable(t *testing.T) {
	r := specimen()
	r.AddFigure("server CPU per login", 200, "µs", Lower)
	r.AddFigure("server memory per connection", 4, "KiB", Lower)
	rest, processes := r.costs()
	if len(processes) != 4 || processes[0].Name != "node 1" || strings.Join(processes[0].Cells, " ") != "10.60 25 120 133" ||
		processes[3].Name != "generator" || processes[3].Cells[2] != "" {
		t.Errorf("processes = %+v, want 4 rows, node 1 first and the generator last", processes)
	}
	if len(rest) != 5 || rest[3].Name != "server CPU per login" {
		t.Errorf("other figures = %+v, want 5, the CPU per login at index 3", rest)
	}
	table := r.Table()
	for _, want := range []string{"--pairs 50 --window 64", "73.1k", "p99.9", "node 2", "database", "25  % of all CPU used", "faults: 0; refusals: 3"} {
		if !strings.Contains(table, want) {
			t.Errorf("table lacks %q:\n%s", want, table)
		}
	}
}
