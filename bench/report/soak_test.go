package report

import (
	"strings"
	"testing"
)

// samplesOf returns two samples of a warm-up and n more. of returns sample i.
func samplesOf(n int, of func(i int) SoakSample) []SoakSample {
	looks := []SoakSample{{At: -2, Private: 900, Heap: 900, Goroutines: 9000, Files: 9000}, {At: -1, Private: 900}}
	for i := range n {
		l := of(i)
		l.At = float64(i)
		looks = append(looks, l)
	}
	return looks
}

// A node whose resource use grows steadily fails the run. One that varies
// doesn't.
func TestSoakVerdict(t *testing.T) {
	steady := SoakSample{Memory: 100, Private: 80, Heap: 40, Goroutines: 60, Files: 50}
	leak := func(add func(l *SoakSample, i float64)) func(i int) SoakSample {
		return func(i int) SoakSample {
			l := steady
			add(&l, float64(i))
			return l
		}
	}
	for _, c := range []struct {
		name string
		of   func(i int) SoakSample
		want string // part of the verdict; "": good
	}{
		{"steady", func(int) SoakSample { return steady }, ""},
		{"mapped files grow", leak(func(l *SoakSample, i float64) { l.Memory += 10 * i }), ""},
		{"a burst", leak(func(l *SoakSample, i float64) {
			if int(i)%4 == 0 {
				l.Private, l.Heap, l.Goroutines, l.Files = 400, 400, 400, 400
			}
		}), ""},
		{"connections open and close", leak(func(l *SoakSample, i float64) { l.Files += float64(int(i) % 5) }), ""},
		{"less than before", leak(func(l *SoakSample, i float64) { l.Private, l.Goroutines = 80-i, 60-i }), ""},
		{"private memory", leak(func(l *SoakSample, i float64) { l.Private += i }), "node 1, private memory: from 84.5 to 104.5 MiB"},
		{"heap", leak(func(l *SoakSample, i float64) { l.Heap += i }), "node 1, heap goal: from 44.5 to 64.5 MiB"},
		{"goroutines", leak(func(l *SoakSample, i float64) { l.Goroutines += i }), "node 1, goroutines: from 64.5 to 84.5"},
		{"file descriptors", leak(func(l *SoakSample, i float64) { l.Files += i }), "node 1, file descriptors: from 54.5 to 74.5"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			// Thirds of 30 samples: medians of 0 to 9 and of 20 to 29.
			rep := &Report{Soak: &Soak{Processes: []SoakProcess{{Name: "node 1", Node: true, Samples: samplesOf(30, c.of)}}}}
			rep.Soak.Trends = NewTrends(rep.Soak.Processes)
			if len(rep.Soak.Trends) != int(soakMetricCount) {
				t.Errorf("%d trends, want %d: %+v", len(rep.Soak.Trends), soakMetricCount, rep.Soak.Trends)
			}
			if rep.Good() != (c.want == "") || !strings.Contains(rep.Verdict(), c.want) {
				t.Errorf("good = %v, verdict %q; want %v and %q", rep.Good(), rep.Verdict(), c.want == "", c.want)
			}
			if flat := !strings.Contains(rep.Table(), "NOT FLAT"); flat != (c.want == "") {
				t.Errorf("table says flat: %v, want %v\n%s", flat, c.want == "", rep.Table())
			}
		})
	}
}

// MariaDB fills its buffer pool for hours. The report shows that, but it isn't
// a leak of the server.
func TestSoakJudgesOnlyNodes(t *testing.T) {
	all := []SoakProcess{{Name: "MariaDB", Samples: samplesOf(9, func(i int) SoakSample { return SoakSample{Memory: float64(i), Private: float64(100 * i), Files: 20} })}}
	s := &Soak{Processes: all, Trends: NewTrends(all)}
	var b strings.Builder
	s.table(&b)
	if len(s.grown()) > 0 || len(s.Trends) != 3 || !strings.Contains(b.String(), "not judged") {
		t.Errorf("grown %q and trends %+v, want none and 3 that aren't judged\n%s", s.grown(), s.Trends, &b)
	}
}

// With too few samples for three thirds there are no trends, and no panic.
func TestSoakWithoutSamples(t *testing.T) {
	for n := range 3 {
		if got := NewTrends([]SoakProcess{{Name: "node 1", Node: true, Samples: samplesOf(n, func(int) SoakSample { return SoakSample{Files: 1} })}}); len(got) > 0 {
			t.Errorf("trends of %d samples = %+v, want none", n, got)
		}
	}
}
