package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Verdicts.
const (
	Better       = "better"
	Worse        = "worse"
	WithinNoise  = "within noise"
	NoiseUnknown = "noise unknown" // there is nothing to estimate it from
	NoRatio      = "no ratio"      // one value is 0
)

// What noise was estimated from.
const (
	FromRounds  = "rounds"
	FromSeconds = "seconds"
)

// precision is the relative width of a histogram bucket. A smaller change of a
// latency can't be measured.
const precision = 0.01

const microseconds = "µs"

// change compares one figure or percentile of A and B.
type change struct {
	Name    string  `json:"name"`
	Unit    string  `json:"unit"`
	Better  string  `json:"better"`
	A       float64 `json:"a"` // medians if there are several runs
	B       float64 `json:"b"`
	Ratio   float64 `json:"ratio,omitempty"` // B to A
	Low     float64 `json:"low,omitempty"`   // range of the ratio, given the noise
	High    float64 `json:"high,omitempty"`
	Noise   string  `json:"noise,omitempty"` // "rounds" or "seconds"
	Verdict string  `json:"verdict"`
}

// quantity is a number that reports contain.
type quantity struct {
	name, unit, better string
	of                 func(r *Report) (float64, bool)
	samples            func(s *Sample, i int) float64 // from sample s of series i
	series             func(s Series) bool            // whether the series belongs to this quantity
}

// quantities lists the quantities of r, in its order.
func quantities(r *Report) []quantity {
	var all []quantity
	for _, f := range r.Figures {
		all = append(all, quantity{name: f.Name, unit: f.Unit, better: f.Better,
			of: func(r *Report) (float64, bool) {
				i := slices.IndexFunc(r.Figures, func(g Figure) bool { return g.Name == f.Name && g.Unit == f.Unit })
				if i < 0 {
					return 0, false
				}
				return r.Figures[i].Value, true
			},
			samples: func(s *Sample, i int) float64 { return valueAt(s.Rates, i) },
			series:  func(s Series) bool { return s.Rate == f.Name }})
	}
	for _, l := range r.Latencies {
		for _, p := range []struct {
			name    string
			of      func(l *Latency) int64
			samples func(s *Sample) []int64
		}{
			{"p50", func(l *Latency) int64 { return l.P50 }, func(s *Sample) []int64 { return s.P50us }},
			{"p90", func(l *Latency) int64 { return l.P90 }, func(s *Sample) []int64 { return s.P90us }},
			{"p99", func(l *Latency) int64 { return l.P99 }, func(s *Sample) []int64 { return s.P99us }},
			{"p99.9", func(l *Latency) int64 { return l.P999 }, func(s *Sample) []int64 { return s.P999us }},
			// One sample's maximum says nothing about other maxima.
			{"max", func(l *Latency) int64 { return l.Max }, func(*Sample) []int64 { return nil }},
		} {
			all = append(all, quantity{name: l.Name + " " + p.name, unit: microseconds, better: Lower,
				of: func(r *Report) (float64, bool) {
					i := slices.IndexFunc(r.Latencies, func(m Latency) bool { return m.Name == l.Name && m.Count > 0 })
					if i < 0 {
						return 0, false
					}
					return float64(p.of(&r.Latencies[i])), true
				},
				samples: func(s *Sample, i int) float64 { return float64(valueAt(p.samples(s), i)) },
				series:  func(s Series) bool { return s.Latency == l.Name }})
		}
	}
	return all
}

// seconds returns the samples of a quantity from all runs. Seconds without a
// message count for rates, as 0, and not for latencies.
func (q *quantity) seconds(reports []*Report) []float64 {
	var values []float64
	for _, r := range reports {
		i := slices.IndexFunc(r.sampledSeries(), q.series)
		if i < 0 {
			continue
		}
		for j := range r.Samples {
			if v := q.samples(&r.Samples[j], i); v > 0 || q.unit != microseconds {
				values = append(values, v)
			}
		}
	}
	return values
}

// changes compares every quantity that both sides have. missing lists the
// quantities that only one side has. If runs are paired, run i of A and run i of B ran one
// right after the other.
func changes(a, b *Side, paired bool) (all []change, missing []string) {
	in := func(s *Side, q *quantity) (values []float64) {
		for _, r := range s.Reports {
			if v, ok := q.of(r); ok {
				values = append(values, v)
			}
		}
		return values
	}
	var onlyA, onlyB []string
	for _, q := range quantities(a.Reports[0]) {
		va, vb := in(a, &q), in(b, &q)
		switch {
		case len(vb) == 0:
			onlyA = append(onlyA, fmt.Sprintf("%s (%s)", q.name, q.unit))
		case len(va) > 0:
			// A run without the value would shift the pairs.
			together := paired && len(va) == len(a.Reports) && len(vb) == len(b.Reports)
			all = append(all, q.change(a, b, va, vb, together))
		}
	}
	for _, q := range quantities(b.Reports[0]) {
		if len(in(a, &q)) == 0 {
			onlyB = append(onlyB, fmt.Sprintf("%s (%s)", q.name, q.unit))
		}
	}
	if len(onlyA) > 0 {
		missing = append(missing, "only A has "+strings.Join(onlyA, ", "))
	}
	if len(onlyB) > 0 {
		missing = append(missing, "only B has "+strings.Join(onlyB, ", "))
	}
	return all, missing
}

// change compares one quantity, given its values in the runs of both sides.
func (q *quantity) change(a, b *Side, va, vb []float64, paired bool) change {
	c := change{Name: q.name, Unit: q.unit, Better: q.better, A: Median(va), B: Median(vb)}
	positive := func(values []float64) bool { return slices.Min(values) > 0 && !math.IsInf(slices.Max(values), 0) }
	if !positive(va) || !positive(vb) {
		c.Verdict = NoRatio
		return c
	}
	ratio, s := unpairedInterval(va, vb)
	if paired {
		ratio, s = pairedInterval(va, vb)
	}
	c.Ratio = ratio
	if len(va) >= minRounds && len(vb) >= minRounds {
		c.Noise = FromRounds
	} else if factors, ok := bootstrapInterval(q.seconds(a.Reports), q.seconds(b.Reports)); ok {
		c.Noise = FromSeconds
		s = interval{ratio * factors.low, ratio * factors.high}
	} else {
		c.Verdict = NoiseUnknown
		return c
	}
	if q.unit == microseconds {
		s.low, s.high = s.low*(1-precision), s.high*(1+precision)
	}
	c.Low, c.High = s.low, s.high
	switch {
	case !s.excludesOne():
		c.Verdict = WithinNoise
	case (s.low > 1) == (q.better == Higher):
		c.Verdict = Better
	default:
		c.Verdict = Worse
	}
	return c
}
