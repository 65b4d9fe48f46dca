package report

import (
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// perDecade is how many points of a curve lie between 90 % and 99 %, 99 % and
// 99.9 %, and so on: as far apart as their values differ in a plot.
const perDecade = 10

// CurvePoint is one of a latency's curve: so many percent took at most so long.
type CurvePoint struct {
	Percentile float64 `json:"percentile"`
	Us         int64   `json:"us"`
}

// curveOf is the whole of h: evenly spread over 1/(1-q), where the tail is as
// wide as the rest, and as far as h has counted enough to tell. Its last point
// is the maximum.
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
		// Rounded, or 99.9 would be written as 99.90000000000001.
		percentiles = append(percentiles, math.Round((100-100/tail)*1e9)/1e9)
	}
	var points []CurvePoint
	for i, us := range h.ValueAtPercentilesSlice(percentiles) {
		points = append(points, CurvePoint{percentiles[i], us})
	}
	return append(points, CurvePoint{100, h.Max()})
}

// curve is the latency's, or as much of it as a report of old has.
func (l *Latency) curve() []CurvePoint {
	if len(l.Curve) > 0 {
		return l.Curve
	}
	if l.Count == 0 {
		return nil
	}
	return []CurvePoint{{50, l.P50}, {90, l.P90}, {99, l.P99}, {99.9, l.P999}, {100, l.Max}}
}

// tail is 1/(1-q), which a plot's x is the logarithm of: 10 for 90 %, 100 for
// 99 %. One of n has none above it.
func (p CurvePoint) tail(n int64) float64 {
	if p.Percentile >= 100 {
		return max(1, float64(n))
	}
	return 100 / (100 - p.Percentile)
}

// Latencies are recorded in microseconds with two digits: 1 % is finer than
// what one run differs from the next, and the histogram of a connection stays
// small enough for the cache.
const (
	MaxLatencyUs  = 120_000_000
	latencyDigits = 2
)

func NewHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, MaxLatencyUs, latencyDigits)
}
