package plot

import (
	"math"
	"strconv"
)

// Tick is a labeled value on an axis.
type Tick struct {
	Value float64
	Label string
}

// Axis configures one axis of a chart.
type Axis struct {
	Log    bool
	Zero   bool                 // a linear axis starts at 0
	Format func(float64) string // formats a tick; nil: plain digits
	Ticks  []Tick               // nil: chosen from the data; ticks outside of it aren't drawn
}

type scale struct {
	log      bool
	lo, hi   float64 // values
	from, to float64 // coordinates
}

// at returns the coordinate of v. Values outside are drawn at the edge.
func (s scale) at(v float64) float64 {
	v = min(max(v, s.lo), s.hi)
	share := (v - s.lo) / (s.hi - s.lo)
	if s.log {
		share = math.Log(v/s.lo) / math.Log(s.hi/s.lo)
	}
	return s.from + share*(s.to-s.from)
}

// layout returns the scale for values between lo and hi, with about n ticks. If
// ticks are chosen from the data, the axis starts and ends at one.
func (a *Axis) layout(lo, hi float64, n int) (scale, []Tick) {
	if a.Zero {
		lo = min(lo, 0)
	}
	if a.Log && lo <= 0 {
		lo = min(1, hi)
	}
	if !(hi > lo) { // a single value gets some room around it
		switch {
		case a.Log && lo > 0:
			lo, hi = lo/2, lo*2
		default:
			hi = lo + max(1, math.Abs(lo))
		}
	}
	s := scale{log: a.Log, lo: lo, hi: hi}
	if a.Ticks != nil {
		var ticks []Tick
		for _, t := range a.Ticks {
			if t.Value >= lo && t.Value <= hi {
				ticks = append(ticks, t)
			}
		}
		return s, ticks
	}
	values := linearTicks(lo, hi, n)
	if a.Log {
		values = logTicks(lo, hi, n)
	}
	s.lo, s.hi = values[0], values[len(values)-1]
	format := a.Format
	if format == nil {
		format = func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
	}
	ticks := make([]Tick, len(values))
	for i, v := range values {
		ticks[i] = Tick{v, format(v)}
	}
	return s, ticks
}

// linearTicks returns about n round values that enclose lo and hi.
func linearTicks(lo, hi float64, n int) []float64 {
	step := roundUp((hi - lo) / float64(n) * .8) // rather one too many than too few
	var ticks []float64
	for i := math.Floor(lo / step); ; i++ {
		ticks = append(ticks, i*step)
		if i*step >= hi || len(ticks) > 4*n {
			return ticks
		}
	}
}

// roundUp returns the next of 1, 2, 5, 10, 20 … that isn't below v.
func roundUp(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= v {
			return m * power
		}
	}
	return 10 * power
}

// logTicks returns at most about n of 1, 2, 5, 10, 20 … that enclose lo and hi,
// or powers of ten or of a thousand if those are too many.
func logTicks(lo, hi float64, n int) []float64 {
	var ticks []float64
	for _, grain := range []struct {
		mantissas []float64
		powers    int
	}{{[]float64{1, 2, 5}, 1}, {[]float64{1}, 1}, {[]float64{1}, 3}} {
		ticks = ticks[:0]
		first := int(math.Floor(math.Log10(lo)/float64(grain.powers))) * grain.powers
	grain:
		for power := first; ; power += grain.powers {
			for _, m := range grain.mantissas {
				v := m * math.Pow10(power)
				if v <= lo {
					ticks = ticks[:0] // the axis starts at the last one below lo
				}
				ticks = append(ticks, v)
				if v >= hi {
					break grain
				}
			}
		}
		if len(ticks) <= n+2 {
			break
		}
	}
	return ticks
}
