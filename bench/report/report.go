package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Report is the result of a run. Comparisons read its JSON, so the names of
// fields, figures and latencies must not change.
type Report struct {
	Scenario string            `json:"scenario"`
	Settings map[string]string `json:"settings"` // flags of the scenario
	Began    time.Time         `json:"began"`
	Machine  Machine           `json:"machine"`
	Server   ServerInfo        `json:"server"`

	Seconds   float64   `json:"seconds"` // measured time
	Figures   []Figure  `json:"figures"`
	Latencies []Latency `json:"latencies"`
	Series    []Series  `json:"series,omitempty"`  // names for the entries of each sample
	Samples   []Sample  `json:"samples,omitempty"` // one per second; more often for storm

	Refusals    map[string]int64 `json:"refusals,omitempty"` // by errno
	Faults      int64            `json:"faults"`             // broken promises
	FirstFaults []string         `json:"first_faults,omitempty"`
	Failed      string           `json:"failed,omitempty"` // why the run failed
	Interrupted bool             `json:"interrupted,omitempty"`
	Notes       []string         `json:"notes,omitempty"` // what couldn't be measured, and why

	Soak *Soak `json:"soak,omitempty"` // of soak only
}

// Which values of a figure are better.
const (
	Higher = "higher"
	Lower  = "lower"
)

// Figure is a number with a unit.
type Figure struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Better string  `json:"better"` // Higher or Lower
}

// Latency is a distribution of latencies in microseconds.
type Latency struct {
	Name  string       `json:"name"`
	Count int64        `json:"count"`
	Mean  float64      `json:"mean_us"`
	P50   int64        `json:"p50_us"`
	P90   int64        `json:"p90_us"`
	P99   int64        `json:"p99_us"`
	P999  int64        `json:"p999_us"`
	Max   int64        `json:"max_us"`
	Curve []CurvePoint `json:"curve,omitempty"`
}

// Series names what was sampled: the figure with the rate, and the latency.
type Series struct {
	Rate    string `json:"rate"`
	Latency string `json:"latency"`
}

// Sample covers one second of a run. It has one entry per series. Latencies are
// 0 if nothing arrived.
type Sample struct {
	Seconds float64   `json:"seconds"`
	Rates   []float64 `json:"per_second"`
	P50us   []int64   `json:"p50_us,omitempty"`
	P90us   []int64   `json:"p90_us,omitempty"`
	P99us   []int64   `json:"p99_us"`
	P999us  []int64   `json:"p999_us,omitempty"`
}

// Add adds the entry of one series, which recorded h.
func (s *Sample) Add(h *hdrhistogram.Histogram) {
	q := h.ValueAtPercentilesSlice(quantiles)
	s.Rates = append(s.Rates, float64(h.TotalCount())/max(s.Seconds, 1e-9))
	s.P50us, s.P90us = append(s.P50us, q[0]), append(s.P90us, q[1])
	s.P99us, s.P999us = append(s.P99us, q[2]), append(s.P999us, q[3])
}

// sampledSeries returns Series. Old reports have none: there the first figures
// are the rates, in the order of the latencies.
func (r *Report) sampledSeries() []Series {
	if len(r.Series) > 0 || len(r.Samples) == 0 {
		return r.Series
	}
	var all []Series
	for i := range min(len(r.Samples[0].Rates), len(r.Figures), len(r.Latencies)) {
		all = append(all, Series{r.Figures[i].Name, r.Latencies[i].Name})
	}
	return all
}

// valueAt returns values[i], or 0 if an old report lacks it.
func valueAt[T int64 | float64](values []T, i int) T {
	if i < len(values) {
		return values[i]
	}
	return 0
}

var quantiles = []float64{50, 90, 99, 99.9}

func New(scenario string, settings map[string]string) *Report {
	return &Report{Scenario: scenario, Settings: settings, Began: time.Now().UTC(), Machine: thisMachine()}
}

func (r *Report) AddFigure(name string, value float64, unit, better string) {
	r.Figures = append(r.Figures, Figure{name, value, unit, better})
}

func (r *Report) AddLatency(name string, h *hdrhistogram.Histogram) {
	q := h.ValueAtPercentilesSlice(quantiles)
	r.Latencies = append(r.Latencies, Latency{name, h.TotalCount(), h.Mean(), q[0], q[1], q[2], q[3], h.Max(), curveOf(h)})
}

func (r *Report) AddRefusals(errno int32, n int64) {
	if n == 0 {
		return
	}
	if r.Refusals == nil {
		r.Refusals = make(map[string]int64)
	}
	r.Refusals[fmt.Sprint(errno)] += n
}

// AddNote adds a note once, even if called again with the same text.
func (r *Report) AddNote(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(r.Notes, text) {
		r.Notes = append(r.Notes, text)
	}
}

// Good reports whether the run counts: it wasn't cut short by an error, the
// server kept its promises, and a soak saw no growth. Refusals are allowed.
func (r *Report) Good() bool { return r.Failed == "" && r.Faults == 0 && len(r.Soak.grown()) == 0 }

// Verdict says why the run isn't good.
func (r *Report) Verdict() string {
	switch {
	case r.Failed != "":
		return "the run failed: " + r.Failed
	case r.Faults > 0:
		return fmt.Sprintf("the server broke its promises %d times", r.Faults)
	case len(r.Soak.grown()) > 0:
		return "the server's resource use has grown: " + strings.Join(r.Soak.grown(), "; ")
	}
	return "the run is good"
}

// outcome returns Verdict, or that the run was interrupted.
func (r *Report) outcome() string {
	if r.Interrupted {
		return "interrupted"
	}
	return r.Verdict()
}
