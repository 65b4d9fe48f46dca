package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
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
	Series    []series  `json:"series,omitempty"`  // what the entries of each sample are
	Samples   []sample  `json:"samples,omitempty"` // one a second; more of a storm

	Refusals    map[string]int64 `json:"refusals,omitempty"` // by errno
	Faults      int64            `json:"faults"`             // promises broken
	FirstFaults []string         `json:"first_faults,omitempty"`
	Failed      string           `json:"failed,omitempty"` // why the run could not be done
	Interrupted bool             `json:"interrupted,omitempty"`
	Notes       []string         `json:"notes,omitempty"` // what could not be measured, and why

	Soak *soaked `json:"soak,omitempty"` // of soak: the server's processes over time
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
	Curve []point `json:"curve,omitempty"`
}

// series names what was sampled second by second: the figure that is its rate
// and the latency that is its delay.
type series struct {
	Rate    string `json:"rate"`
	Latency string `json:"latency"`
}

// sample is one second of a run, with one entry for each of the series. The
// latencies of a second in which nothing arrived are 0.
type sample struct {
	Seconds float64   `json:"seconds"`
	Rates   []float64 `json:"per_second"`
	P50us   []int64   `json:"p50_us,omitempty"`
	P90us   []int64   `json:"p90_us,omitempty"`
	P99us   []int64   `json:"p99_us"`
	P999us  []int64   `json:"p999_us,omitempty"`
}

// add adds the entry of one gauge, which counted h.
func (s *sample) add(h *hdrhistogram.Histogram) {
	q := h.ValueAtPercentilesSlice(quantiles)
	s.Rates = append(s.Rates, float64(h.TotalCount())/max(s.Seconds, 1e-9))
	s.P50us, s.P90us = append(s.P50us, q[0]), append(s.P90us, q[1])
	s.P99us, s.P999us = append(s.P99us, q[2]), append(s.P999us, q[3])
}

// series are the names of what was sampled. A report of old has none: rates
// were its first figures, in the order of its latencies.
func (r *report) series() []series {
	if len(r.Series) > 0 || len(r.Samples) == 0 {
		return r.Series
	}
	var all []series
	for i := range min(len(r.Samples[0].Rates), len(r.Figures), len(r.Latencies)) {
		all = append(all, series{r.Figures[i].Name, r.Latencies[i].Name})
	}
	return all
}

// entry is the i-th of values; 0 where a report lacks it.
func entry[T int64 | float64](values []T, i int) T {
	if i < len(values) {
		return values[i]
	}
	return 0
}

// quantiles are the percentiles that reports name, beside the maximum.
var quantiles = []float64{50, 90, 99, 99.9}

func newReport(scenario string, settings map[string]string) *report {
	return &report{Scenario: scenario, Settings: settings, Began: time.Now().UTC(), Machine: thisMachine()}
}

func (r *report) figure(name string, value float64, unit, better string) {
	r.Figures = append(r.Figures, figure{name, value, unit, better})
}

func (r *report) latency(name string, h *hdrhistogram.Histogram) {
	q := h.ValueAtPercentilesSlice(quantiles)
	r.Latencies = append(r.Latencies, latency{name, h.TotalCount(), h.Mean(), q[0], q[1], q[2], q[3], h.Max(), curve(h)})
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

// good says whether the run may count: the server kept its promises, and did
// all that it was asked, and has not grown. That it asked for a pause is no
// failure.
func (r *report) good() bool { return r.Failed == "" && r.Faults == 0 && len(r.Soak.grown()) == 0 }

// verdict says why a run isn't good.
func (r *report) verdict() string {
	switch {
	case r.Failed != "":
		return "the run failed: " + r.Failed
	case r.Faults > 0:
		return fmt.Sprintf("the server broke its promises, %d times", r.Faults)
	case len(r.Soak.grown()) > 0:
		return "the server has grown: " + strings.Join(r.Soak.grown(), "; ")
	}
	return "the run is good"
}

// outcome is verdict, or that the run was interrupted.
func (r *report) outcome() string {
	if r.Interrupted {
		return "interrupted"
	}
	return r.verdict()
}
