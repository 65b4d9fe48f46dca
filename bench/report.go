package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"chatd/proto"
)

// report is all that a run tells. Its JSON is what runs are compared by: names
// of figures and latencies stay as they are.
type report struct {
	Scenario string            `json:"scenario"`
	Settings map[string]string `json:"settings"` // the scenario's flags
	Began    time.Time         `json:"began"`
	Machine  machine           `json:"machine"`
	Server   description       `json:"server"`

	Seconds   float64   `json:"seconds"` // measured
	Figures   []figure  `json:"figures"`
	Latencies []latency `json:"latencies"`
	Samples   []sample  `json:"samples,omitempty"` // one a second

	Refusals    map[string]int64 `json:"refusals,omitempty"` // by errno
	Faults      int64            `json:"faults"`             // promises broken
	FirstFaults []string         `json:"first_faults,omitempty"`
	Failed      string           `json:"failed,omitempty"` // why the run could not be done
	Interrupted bool             `json:"interrupted,omitempty"`
	Notes       []string         `json:"notes,omitempty"` // what could not be measured, and why
}

// Which way a figure gets better.
const (
	higher = "higher"
	lower  = "lower"
)

// figure is one number with its unit.
type figure struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Better string  `json:"better"` // "higher" or "lower"
}

// latency is a distribution, in microseconds.
type latency struct {
	Name  string  `json:"name"`
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_us"`
	P50   int64   `json:"p50_us"`
	P90   int64   `json:"p90_us"`
	P99   int64   `json:"p99_us"`
	P999  int64   `json:"p999_us"`
	Max   int64   `json:"max_us"`
}

// sample is one second of a run, with one entry for each gauge.
type sample struct {
	Seconds float64   `json:"seconds"`
	Rates   []float64 `json:"per_second"`
	P99us   []int64   `json:"p99_us"`
}

func newReport(inv *invocation) *report {
	return &report{Scenario: inv.scenario.name(), Settings: inv.settings, Began: time.Now().UTC(), Machine: thisMachine()}
}

func (r *report) figure(name string, value float64, unit, better string) {
	r.Figures = append(r.Figures, figure{name, value, unit, better})
}

func (r *report) latency(name string, h *hdrhistogram.Histogram) {
	q := h.ValueAtPercentilesSlice([]float64{50, 90, 99, 99.9})
	r.Latencies = append(r.Latencies, latency{name, h.TotalCount(), h.Mean(), q[0], q[1], q[2], q[3], h.Max()})
}

func (r *report) refused(errno int32, n int64) {
	if n == 0 {
		return
	}
	if r.Refusals == nil {
		r.Refusals = make(map[string]int64)
	}
	r.Refusals[fmt.Sprint(errno)] += n
}

// note says what could not be measured; once, however often it is tried.
func (r *report) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(r.Notes, text) {
		r.Notes = append(r.Notes, text)
	}
}

// cost says what so many messages took of the machine.
func (r *report) cost(before, after usage, messages int64, elapsed time.Duration) {
	per := func(who string, cpu time.Duration) {
		if messages > 0 {
			r.figure(who+" CPU per million messages", cpu.Seconds()/float64(messages)*1e6, "s", lower)
		}
		r.figure(who+" CPU", cpu.Seconds()/elapsed.Seconds()*100, "% of a core", lower)
	}
	if after.server != nil && before.server != nil {
		per("server", after.server.cpu-before.server.cpu)
		r.figure("server memory", mebibytes(after.server.rss), "MiB", lower)
		r.figure("server memory, peak", mebibytes(after.server.peak), "MiB", lower)
	}
	per("generator", after.self-before.self)
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// good says whether the run may count: the server kept its promises, and did
// all that it was asked. That it asked for a pause is no failure.
func (r *report) good() bool { return r.Failed == "" && r.Faults == 0 }

// verdict says why a run isn't good.
func (r *report) verdict() string {
	switch {
	case r.Failed != "":
		return "the run failed: " + r.Failed
	case r.Faults > 0:
		return fmt.Sprintf("the server broke its promises, %d times", r.Faults)
	}
	return "the run is good"
}

// write writes the table to stdout and the JSON into file; "-" is stdout, in
// place of the table, and "" is nowhere.
func (r *report) write(stdout io.Writer, file string) error {
	if file != "-" {
		if _, err := io.WriteString(stdout, r.table()); err != nil {
			return err
		}
	}
	if file == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if file == "-" {
		_, err = stdout.Write(text)
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// table is the report for people.
func (r *report) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "chatbench %s, %s measured\n", r.Scenario, time.Duration(r.Seconds*float64(time.Second)).Round(time.Millisecond))
	b.WriteString("load:   ")
	for _, name := range slices.Sorted(maps.Keys(r.Settings)) {
		fmt.Fprintf(&b, " --%s %s", name, r.Settings[name])
	}
	fmt.Fprintf(&b, "\nmachine: %s\n", r.Machine)
	fmt.Fprintf(&b, "server:  %s\n\n", r.Server)

	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, f := range r.Figures {
		fmt.Fprintf(w, "%s\t%s\t  %s\n", f.Name, thousands(f.Value), f.Unit)
	}
	_ = w.Flush() // into memory
	if len(r.Latencies) > 0 {
		b.WriteByte('\n')
		w = tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "latency\tp50\tp90\tp99\tp99.9\tmax\tcount\t")
		for _, l := range r.Latencies {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t\n", l.Name,
				micros(l.P50), micros(l.P90), micros(l.P99), micros(l.P999), micros(l.Max), l.Count)
		}
		_ = w.Flush()
	}
	b.WriteByte('\n')
	for _, errno := range slices.Sorted(maps.Keys(r.Refusals)) {
		fmt.Fprintf(&b, "refused with errno %s: %d\n", errno, r.Refusals[errno])
	}
	for _, f := range r.FirstFaults {
		fmt.Fprintln(&b, "fault:", f)
	}
	for _, n := range r.Notes {
		fmt.Fprintln(&b, "note:", n)
	}
	if r.Refusals[fmt.Sprint(int32(proto.TooFast))] > 0 {
		fmt.Fprintln(&b, "note: the server asked for pauses (errno 9); latencies are those of what it took")
	}
	switch {
	case r.Interrupted:
		fmt.Fprintf(&b, "result: interrupted; faults: %d\n", r.Faults)
	default:
		fmt.Fprintf(&b, "result: %s; faults: %d\n", r.verdict(), r.Faults)
	}
	return b.String()
}
