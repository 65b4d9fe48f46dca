package report

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/aclements/go-moremath/mathx"
	"github.com/aclements/go-moremath/stats"
	"golang.org/x/perf/benchmath"
)

const (
	// minRounds is how many rounds each side needs before rounds say anything
	// about noise. With fewer, all rounds agree by chance too often.
	minRounds = 3
	// minSeconds is how many one-second samples each run needs before they say
	// anything about noise.
	minSeconds = 5
	resamples  = 2000
	// confidence is higher than the usual 95 % because a comparison has some
	// twenty lines: at 95 % one of them would report a change that isn't there.
	confidence = 0.99
)

// interval is the range in which noise alone may move a ratio.
type interval struct {
	low, high float64
}

// excludesOne reports whether the ratio differs from 1 by more than noise.
func (i interval) excludesOne() bool { return i.low > 1 || i.high < 1 }

// Median returns the median of values, of which there must be at least one.
func Median(values []float64) float64 {
	// NewSample sorts in place.
	s := benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
	return benchmath.AssumeNothing.Summary(s, confidence).Center
}

// pairedInterval compares rounds in which a[i] and b[i] ran one right after the
// other, so that slow drift of the machine affects both alike. It returns the
// median ratio of b to a, and the least and greatest ratio of any round.
//
// benchmath compares unpaired samples only: it would count the drift as noise.
func pairedInterval(a, b []float64) (ratio float64, i interval) {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = b[i] / a[i]
	}
	return Median(ratios), interval{slices.Min(ratios), slices.Max(ratios)}
}

// unpairedInterval compares runs that don't belong together. It returns the
// ratio of the medians, and the least and greatest ratio of any run of b to any
// run of a. The interval excludes 1 exactly where a Mann-Whitney U test reaches
// the smallest p-value that so many runs allow.
func unpairedInterval(a, b []float64) (ratio float64, i interval) {
	return Median(b) / Median(a), interval{slices.Min(b) / slices.Max(a), slices.Max(b) / slices.Min(a)}
}

// pairedChance returns the probability that n ratios are all above 1, or all
// below, if a and b don't differ.
func pairedChance(n int) float64 { return math.Pow(2, float64(1-n)) }

// unpairedChance returns the probability that all n runs of one side are above
// all m runs of the other, or all below, if the sides don't differ.
func unpairedChance(n, m int) float64 { return 2 / mathx.Choose(n+m, n) }

// bootstrapInterval estimates how far the ratio of the means of b and a may be
// off. a and b are the per-second samples of one run each. It returns the interval
// as factors of that ratio, and false if there are too few samples or all are 0.
//
// The method is a circular block bootstrap (Politis and Romano 1992). It resamples
// blocks of neighboring seconds, because a second resembles the one before it. A
// block is as long as the cube root of the number of samples. The percentile interval is
// widened for few samples as Hesterberg (2015) describes. The same samples
// always give the same interval. benchmath has no bootstrap, and its tests
// assume independent samples, which successive seconds aren't.
func bootstrapInterval(a, b []float64) (i interval, ok bool) {
	if len(a) < minSeconds || len(b) < minSeconds {
		return interval{}, false
	}
	center := stats.Mean(b) / stats.Mean(a)
	if !(center > 0) || math.IsInf(center, 0) {
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

// smallSampleFactor returns how much wider a bootstrap interval of n samples
// has to be. Samples lie closer to their own mean than to the true one, and
// their variance is itself an estimate, which Student's t accounts for.
func smallSampleFactor(n float64) float64 {
	const upper = 1 - (1-confidence)/2
	t := stats.InvCDF(stats.TDist{V: n - 1})(upper)
	z := stats.InvCDF(stats.StdNormal)(upper)
	return math.Sqrt(n/(n-1)) * t / z
}

// resampledMean returns the mean of len(values) values, drawn in blocks that
// begin anywhere. The last value is followed by the first.
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
