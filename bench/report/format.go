package report

import "strconv"

// FormatCount formats v with three or four digits: 840, 12.3k, 2.61M.
func FormatCount(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'f', 2, 64) + "M"
	case v >= 1e4:
		return strconv.FormatFloat(v/1e3, 'f', 1, 64) + "k"
	case v >= 100 || v == float64(int64(v)):
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// FormatMicros formats a latency in microseconds with three digits.
func FormatMicros(us int64) string {
	v, unit := float64(us), "µs"
	switch {
	case us >= 1_000_000:
		v, unit = v/1e6, "s"
	case us >= 1_000:
		v, unit = v/1e3, "ms"
	default:
		return strconv.FormatInt(us, 10) + unit
	}
	digits := 0
	for top := 100.0; digits < 2 && v < top; top /= 10 {
		digits++
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + unit
}

// countTick and microsTick format round values without trailing zeros.
func countTick(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'g', 6, 64) + "M"
	case v >= 1e3:
		return strconv.FormatFloat(v/1e3, 'g', 6, 64) + "k"
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}

func microsTick(us float64) string {
	switch {
	case us >= 1e6:
		return strconv.FormatFloat(us/1e6, 'g', 6, 64) + " s"
	case us >= 1e3:
		return strconv.FormatFloat(us/1e3, 'g', 6, 64) + " ms"
	case us == 0:
		return "0"
	}
	return strconv.FormatFloat(us, 'g', 6, 64) + " µs"
}
