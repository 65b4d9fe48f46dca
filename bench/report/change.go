package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// What a change can be.
const (
	Better       = "better"
	Worse        = "worse"
	WithinNoise  = "within noise"
	NoiseUnknown = "noise unknown" // nothing says how large it is
	NoRatio      = "no ratio"      // one of both is 0
)

// Where the noise is known from.
const (
	FromRounds  = "rounds"
	FromSeconds = "seconds"
)

// precision is that of latencies: a change of one step of the histogram is none.
const precision = 0.01

// microseconds is the unit of latencies.
const microseconds = "µs"

// change is what became of one figure or percentile from A to B.
type change struct {
	Name    string  `json:"name"`
	Unit    string  `json:"unit"`
	Better  string  `json:"better"`
	A       float64 `json:"a"` // medians, where there are several runs
	B       float64 `json:"b"`
	Ratio   float64 `json:"ratio,omitempty"` // of B to A
	Low     float64 `json:"low,omitempty"`   // what noise alone makes of the ratio
	High    float64 `json:"high,omitempty"`
	Noise   string  `json:"noise,omitempty"` // "rounds" or "seconds"
	Verdict string  `json:"verdict"`
}

// quantity is one thing that reports have a number for.
type quantity struct {
	name, unit, better string
	of                 func(r *Report) (float64, bool)
	samples            func(s *Sample, i int) float64 // of series i
	series             func(s Series) bool            // whether that is this quantity's
}

// quantities are those of r, in its order.
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
			// What the largest would have been, no sample of it says.
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

// seconds are a quantity's samples in all of these runs. Seconds in which
// nothing arrived have a rate, 0, and no latency.
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

// changes says what became of everything that both sides have. Where runs are
// paired, the i-th of A and of B ran one right after the other. What only one
// side has is named in missing.
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
			// A round that lacks it would shift the pairs.
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

// change judges one quantity by its values va and vb in the runs.
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
