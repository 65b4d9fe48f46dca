package report

import (
	"strings"
	"testing"
)

// samplesOf returns n samples after a warm-up of two. of returns sample i.
func samplesOf(n int, of func(i int) SoakSample) []SoakSample {
	looks := []SoakSample{{At: -2, Private: 900, Heap: 900, Goroutines: 9000, Files: 9000}, {At: -1, Private: 900}}
	for i := range n {
		l := of(i)
		l.At = float64(i)
		looks = append(looks, l)
	}
	return looks
}

// A node that leaks anything fails the run, and one that is only busy doesn't.
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
		says string // "": nothing has grown
	}{
		{"steady", func(int) SoakSample { return steady }, ""},
		{"a store that is mapped grows", leak(func(l *SoakSample, i float64) { l.Memory += 10 * i }), ""},
		{"a burst", leak(func(l *SoakSample, i float64) {
			if int(i)%4 == 0 {
				l.Private, l.Heap, l.Goroutines, l.Files = 400, 400, 400, 400
			}
		}), ""},
		{"connections that come and go", leak(func(l *SoakSample, i float64) { l.Files += float64(int(i) % 5) }), ""},
		{"less than before", leak(func(l *SoakSample, i float64) { l.Private, l.Goroutines = 80-i, 60-i }), ""},
		{"private memory", leak(func(l *SoakSample, i float64) { l.Private += i }), "node 1, private memory: 84.5, and then 104.5 MiB"},
		{"heap", leak(func(l *SoakSample, i float64) { l.Heap += i }), "node 1, heap goal: 44.5, and then 64.5 MiB"},
		{"goroutines", leak(func(l *SoakSample, i float64) { l.Goroutines += i }), "node 1, goroutines: 64.5, and then 84.5"},
		{"file descriptors", leak(func(l *SoakSample, i float64) { l.Files += i }), "node 1, file descriptors: 54.5, and then 74.5"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			// Thirds of 30 samples: medians of 0 to 9 and of 20 to 29.
			rep := &Report{Soak: &Soak{Processes: []SoakProcess{{Name: "node 1", Node: true, Samples: samplesOf(30, c.of)}}}}
			rep.Soak.Trends = NewTrends(rep.Soak.Processes)
			if len(rep.Soak.Trends) != int(soakMetricCount) {
				t.Errorf("%d trends: %+v", len(rep.Soak.Trends), rep.Soak.Trends)
			}
			if rep.Good() != (c.says == "") || !strings.Contains(rep.Verdict(), c.says) {
				t.Errorf("good: %v, %q; want %q", rep.Good(), rep.Verdict(), c.says)
			}
			if flat := !strings.Contains(rep.Table(), "NOT FLAT"); flat != (c.says == "") {
				t.Errorf("flat: %v\n%s", flat, rep.Table())
			}
		})
	}
}

// MariaDB fills its buffer pool for hours. That is shown but isn't a leak of
// the server.
func TestSoakJudgesNodesAlone(t *testing.T) {
	all := []SoakProcess{{Name: "MariaDB", Samples: samplesOf(9, func(i int) SoakSample { return SoakSample{Memory: float64(i), Private: float64(100 * i), Files: 20} })}}
	s := &Soak{Processes: all, Trends: NewTrends(all)}
	var b strings.Builder
	s.table(&b)
	if len(s.grown()) > 0 || len(s.Trends) != 3 || !strings.Contains(b.String(), "not judged") {
		t.Errorf("%q, %+v\n%s", s.grown(), s.Trends, &b)
	}
}

// Too few samples for thirds give no verdict, and don't panic.
func TestSoakWithoutSamples(t *testing.T) {
	for n := range 3 {
		if got := NewTrends([]SoakProcess{{Name: "node 1", Node: true, Samples: samplesOf(n, func(int) SoakSample { return SoakSample{Files: 1} })}}); len(got) > 0 {
			t.Errorf("%d looks: %+v", n, got)
		}
	}
}
