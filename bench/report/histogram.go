package report

import (
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// perDecade is how many points a curve has between 90 % and 99 %, between 99 %
// and 99.9 %, and so on. It is as fine as the plot can show.
const perDecade = 10

// CurvePoint is one point of a latency curve: a percentile and its latency.
type CurvePoint struct {
	Percentile float64 `json:"percentile"`
	Us         int64   `json:"us"`
}

// curveOf returns the whole distribution, evenly spread over 1/(1-q), so that
// the tail is as detailed as the rest. It goes as far as the number of values
// allows and ends with the maximum.
func curveOf(h *hdrhistogram.Histogram) []CurvePoint {
	n := h.TotalCount()
	if n == 0 {
		return nil
	}
	var percentiles []float64
	for k := 0; ; k++ {
		tail := math.Pow(10, float64(k)/perDecade)
		if tail >= float64(n) {
			break
		}
		// Rounded so that 99.9 isn't written as 99.90000000000001.
		percentiles = append(percentiles, math.Round((100-100/tail)*1e9)/1e9)
	}
	var points []CurvePoint
	for i, us := range h.ValueAtPercentilesSlice(percentiles) {
		points = append(points, CurvePoint{percentiles[i], us})
	}
	return append(points, CurvePoint{100, h.Max()})
}

// curve returns the latency's curve. Old reports only have a few percentiles.
func (l *Latency) curve() []CurvePoint {
	if len(l.Curve) > 0 {
		return l.Curve
	}
	if l.Count == 0 {
		return nil
	}
	return []CurvePoint{{50, l.P50}, {90, l.P90}, {99, l.P99}, {99.9, l.P999}, {100, l.Max}}
}

// tail returns 1/(1-q), whose logarithm is the x of a plot: 10 for 90 %, 100
// for 99 %. The maximum of n values is at n.
func (p CurvePoint) tail(n int64) float64 {
	if p.Percentile >= 100 {
		return max(1, float64(n))
	}
	return 100 / (100 - p.Percentile)
}

// Latencies are recorded in microseconds with two digits. 1 % is finer than the
// difference between runs, and keeps the histograms in the CPU cache.
const (
	MaxLatencyUs  = 120_000_000
	latencyDigits = 2
)

func NewHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, MaxLatencyUs, latencyDigits)
}
