package report

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/aclements/go-moremath/stats"
	"golang.org/x/perf/benchmath"
)

// seconds returns samples around a mean, each similar to the one before it.
func seconds(rnd *rand.Rand, n int, mean, noise, memory float64) []float64 {
	values := make([]float64, n)
	deviation := rnd.NormFloat64()
	for i := range values {
		deviation = memory*deviation + math.Sqrt(1-memory*memory)*rnd.NormFloat64()
		values[i] = mean * (1 + noise*deviation)
	}
	return values
}

// The bootstrap rarely reports a difference between equal servers, and nearly
// always reports a real one.
func TestBootstrapInterval(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	const trials = 100
	for _, c := range []struct {
		n          int
		memory     float64
		alarms     int // limit of false alarms
		difference float64
	}{
		{10, 0, 4, 1.2}, {10, 0.3, 10, 1.2}, {30, 0, 4, 1.1}, {30, 0.3, 6, 1.1}, {100, 0.5, 8, 1.1},
	} {
		var alarms, seen int
		for range trials {
			a, b := seconds(rnd, c.n, 1000, 0.05, c.memory), seconds(rnd, c.n, 1000, 0.05, c.memory)
			s, ok := bootstrapInterval(a, b)
			if !ok || s.low > 1 || s.high < 1 {
				t.Fatalf("bootstrapInterval = %+v, %v; want an interval that contains 1", s, ok)
			}
			ratio := stats.Mean(b) / stats.Mean(a)
			if (interval{s.low * ratio, s.high * ratio}).excludesOne() {
				alarms++
			}
			if ratio *= c.difference; (interval{s.low * ratio, s.high * ratio}).excludesOne() {
				seen++
			}
		}
		t.Logf("%+v: %d false alarms, %d differences found", c, alarms, seen)
		if alarms > c.alarms || seen < trials*9/10 {
			t.Errorf("%d seconds, memory %g: %d false alarms, want at most %d; %d of %d differences found, want 9 in 10", c.n, c.memory, alarms, c.alarms, seen, trials)
		}
	}
}

// Too few samples give no interval.
func TestBootstrapIntervalTooFewSamples(t *testing.T) {
	for name, c := range map[string][2][]float64{
		"none":     {nil, nil},
		"few":      {{1, 2, 3, 4}, {1, 2, 3, 4, 5, 6}},
		"zeros":    {{0, 0, 0, 0, 0}, {1, 1, 1, 1, 1}},
		"no b":     {{1, 1, 1, 1, 1}, {0, 0, 0, 0, 0}},
		"infinite": {{1, 1, 1, 1, 1}, {1, 1, 1, 1, math.Inf(1)}},
	} {
		if s, ok := bootstrapInterval(c[0], c[1]); ok {
			t.Errorf("%s: bootstrapInterval = %+v, want none", name, s)
		}
	}
	same := []float64{5, 5, 5, 5, 5}
	if s, ok := bootstrapInterval(same, same); !ok || s != (interval{1, 1}) {
		t.Errorf("samples without noise: bootstrapInterval = %+v, %v; want 1 to 1", s, ok)
	}
}

// The interval is wider than a normal one by Student's t (4.604 for five samples
// at 99 %, 3.250 for ten, by the usual tables) and by the bias of the variance.
func TestSmallSampleFactor(t *testing.T) {
	const normal = 2.5758
	for n, want := range map[float64]float64{5: 4.604, 10: 3.250, 61: 2.660} {
		if got := smallSampleFactor(n) * normal / math.Sqrt(n/(n-1)); math.Abs(got-want) > 0.001 {
			t.Errorf("%g samples: Student's t = %g, want %g", n, got, want)
		}
	}
}

// Paired rounds show a difference that drift hides in unpaired ones. The
// chances are those of the statistical tests.
func TestRoundIntervals(t *testing.T) {
	ratio, s := pairedInterval([]float64{100, 50, 80}, []float64{110, 60, 84})
	if math.Abs(ratio-1.1) > 1e-9 || math.Abs(s.low-1.05) > 1e-9 || math.Abs(s.high-1.2) > 1e-9 || !s.excludesOne() {
		t.Errorf("pairedInterval = %g, %+v; want 1.1 and 1.05 to 1.2", ratio, s)
	}
	// Without pairs, drift hides the difference.
	if _, s := unpairedInterval([]float64{100, 50, 80}, []float64{110, 60, 84}); s.excludesOne() {
		t.Errorf("unpairedInterval = %+v, want one that contains 1", s)
	}
	if c := pairedChance(5); c != 0.0625 {
		t.Errorf("pairedChance(5) = %g, want 0.0625", c)
	}
	if c := unpairedChance(3, 3); math.Abs(c-0.1) > 1e-9 {
		t.Errorf("unpairedChance(3, 3) = %g, want 0.1", c)
	}
	// For runs that don't overlap, it is the p-value of a Mann-Whitney U test.
	low := benchmath.NewSample([]float64{1, 2, 3, 4}, &benchmath.DefaultThresholds)
	high := benchmath.NewSample([]float64{5, 6, 7}, &benchmath.DefaultThresholds)
	if c, p := unpairedChance(4, 3), benchmath.AssumeNothing.Compare(low, high).P; math.Abs(c-p) > 1e-9 {
		t.Errorf("unpairedChance(4, 3) = %g, want the p-value %g", c, p)
	}
	values := []float64{4, 1, 3, 2}
	if m := Median(values); m != 2.5 || values[0] != 4 {
		t.Errorf("Median = %g and values are now %v, want 2.5 and unchanged values", m, values)
	}
}
