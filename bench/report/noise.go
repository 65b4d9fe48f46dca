package report

import (
	"math"
	"math/rand/v2"
	"slices"
)

const (
	// minRounds are how many rounds can tell noise: of fewer, all would too
	// often lie on one side.
	minRounds = 3
	// minSeconds are how many samples of each run can tell noise.
	minSeconds = 5
	resamples  = 2000
	// confidence is high since a comparison has some twenty lines: at 95 % one
	// of them would be an alarm about nothing.
	confidence = 0.99
	normal     = 2.5758 // as many standard deviations are that
)

// interval is what a ratio may be by noise alone.
type interval struct {
	low, high float64
}

// excludesOne says whether the ratio's difference from 1 is more than noise.
func (s interval) excludesOne() bool { return s.low > 1 || s.high < 1 }

// Median of values, of which there must be one.
func Median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// pairedInterval is that of rounds in which a and b ran one right after the
// other: what drifts over minutes is the same for both of a round.
func pairedInterval(a, b []float64) (ratio float64, s interval) {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = b[i] / a[i]
	}
	return Median(ratios), interval{slices.Min(ratios), slices.Max(ratios)}
}

// unpairedInterval is that of runs of which none belongs to another: everything
// that one of them against any other would say.
func unpairedInterval(a, b []float64) (ratio float64, s interval) {
	return Median(b) / Median(a), interval{slices.Min(b) / slices.Max(a), slices.Max(b) / slices.Min(a)}
}

// chance is how often n pairs, or n runs against m, lie all on one side where
// there is no difference.
func pairedChance(n int) float64 { return math.Pow(2, float64(1-n)) }

func unpairedChance(n, m int) float64 {
	ways := 1.0
	for i := 1; i <= n; i++ {
		ways *= float64(m+i) / float64(i)
	}
	return 2 / ways
}

// bootstrapInterval is how far the ratio of the means of b and a may be from what
// it is, as factors, going by the seconds of a run each. It draws them again
// many times over, in blocks of neighbors, since a second is like the one
// before it: the circular block bootstrap of Politis and Romano (1992), with
// blocks of the cube root of n, and the percentile interval, expanded for few
// samples as Hesterberg (2015) has it. The same samples always give the same answer. It isn't ok where there
// are too few, or all of them are 0.
func bootstrapInterval(a, b []float64) (s interval, ok bool) {
	center := mean(b) / mean(a)
	if len(a) < minSeconds || len(b) < minSeconds || !(center > 0) || math.IsInf(center, 0) {
		return interval{}, false
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	logs := make([]float64, 0, resamples)
	for range resamples {
		if r := math.Log(resampledMean(b, rnd)/resampledMean(a, rnd)) - math.Log(center); !math.IsNaN(r) && !math.IsInf(r, 0) {
			logs = append(logs, r)
		}
	}
	if len(logs) < resamples/2 { // most seconds were empty
		return interval{}, false
	}
	slices.Sort(logs)
	wider := smallSampleFactor(float64(min(len(a), len(b))))
	outside := int(float64(len(logs)) * (1 - confidence) / 2)
	return interval{math.Exp(wider * logs[outside]), math.Exp(wider * logs[len(logs)-1-outside])}, true
}

// smallSampleFactor is how much wider the interval of n samples has to be than it
// comes out: they are nearer to their own mean than to the true one, and their
// own spread is uncertain, as in Student's t (here by its series in 1/ν).
func smallSampleFactor(n float64) float64 {
	v, z := n-1, normal
	t := z + (math.Pow(z, 3)+z)/(4*v) + (5*math.Pow(z, 5)+16*math.Pow(z, 3)+3*z)/(96*v*v) +
		(3*math.Pow(z, 7)+19*math.Pow(z, 5)+17*math.Pow(z, 3)-15*z)/(384*v*v*v)
	return math.Sqrt(n/v) * t / z
}

// resampledMean is the mean of as many values as there are, in blocks from anywhere;
// the last is followed by the first.
func resampledMean(values []float64, rnd *rand.Rand) float64 {
	n := len(values)
	block := int(math.Ceil(math.Cbrt(float64(n))))
	sum := 0.0
	for i := 0; i < n; {
		for at := rnd.IntN(n); i < n; at++ {
			sum += values[at%n]
			if i++; i%block == 0 {
				break
			}
		}
	}
	return sum / float64(n)
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
