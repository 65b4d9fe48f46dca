package main

import (
	"strings"
	"testing"
)

// looksOf are n looks after a warm-up of two, as of says; i counts from 0.
func looksOf(n int, of func(i int) look) []look {
	looks := []look{{At: -2, Private: 900, Heap: 900, Goroutines: 9000, Files: 9000}, {At: -1, Private: 900}}
	for i := range n {
		l := of(i)
		l.At = float64(i)
		looks = append(looks, l)
	}
	return looks
}

// A node that leaks anything has to fail the run, and one that is only busy
// must not: else nobody would believe a soak.
func TestSoakVerdict(t *testing.T) {
	steady := look{Memory: 100, Private: 80, Heap: 40, Goroutines: 60, Files: 50}
	leak := func(add func(l *look, i float64)) func(i int) look {
		return func(i int) look {
			l := steady
			add(&l, float64(i))
			return l
		}
	}
	for _, c := range []struct {
		name string
		of   func(i int) look
		says string // "": flat
	}{
		{"steady", func(int) look { return steady }, ""},
		{"a store that is mapped grows", leak(func(l *look, i float64) { l.Memory += 10 * i }), ""},
		{"a burst", leak(func(l *look, i float64) {
			if int(i)%4 == 0 {
				l.Private, l.Heap, l.Goroutines, l.Files = 400, 400, 400, 400
			}
		}), ""},
		{"connections that come and go", leak(func(l *look, i float64) { l.Files += float64(int(i) % 5) }), ""},
		{"less than before", leak(func(l *look, i float64) { l.Private, l.Goroutines = 80-i, 60-i }), ""},
		{"private memory", leak(func(l *look, i float64) { l.Private += i }), "node 1, private memory: 84.5, and then 104.5 MiB"},
		{"heap", leak(func(l *look, i float64) { l.Heap += i }), "node 1, heap goal: 44.5, and then 64.5 MiB"},
		{"goroutines", leak(func(l *look, i float64) { l.Goroutines += i }), "node 1, goroutines: 64.5, and then 84.5"},
		{"file descriptors", leak(func(l *look, i float64) { l.Files += i }), "node 1, file descriptors: 54.5, and then 74.5"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			// The last ten have the same place in each third: 30 looks, medians of
			// 0 to 9 and of 20 to 29.
			rep := &report{Soak: &soaked{Processes: []soakedProcess{{Name: "node 1", Node: true, Looks: looksOf(30, c.of)}}}}
			rep.Soak.Trends = trends(rep.Soak.Processes)
			if len(rep.Soak.Trends) != int(measureKinds) {
				t.Errorf("%d trends: %+v", len(rep.Soak.Trends), rep.Soak.Trends)
			}
			if rep.good() != (c.says == "") || !strings.Contains(rep.verdict(), c.says) {
				t.Errorf("good: %v, %q; want %q", rep.good(), rep.verdict(), c.says)
			}
			if flat := !strings.Contains(rep.table(), "NOT FLAT"); flat != (c.says == "") {
				t.Errorf("flat: %v\n%s", flat, rep.table())
			}
		})
	}
}

// MariaDB fills its buffer pool for hours, as it is told to: that is no leak
// of the server's, and is shown all the same.
func TestSoakJudgesNodesAlone(t *testing.T) {
	all := []soakedProcess{{Name: "MariaDB", Looks: looksOf(9, func(i int) look { return look{Memory: float64(i), Private: float64(100 * i), Files: 20} })}}
	s := &soaked{Processes: all, Trends: trends(all)}
	var b strings.Builder
	s.table(&b)
	if len(s.grown()) > 0 || len(s.Trends) != 3 || !strings.Contains(b.String(), "not judged") {
		t.Errorf("%q, %+v\n%s", s.grown(), s.Trends, &b)
	}
}

// Too few looks for thirds are no verdict, and no crash.
func TestSoakWithoutLooks(t *testing.T) {
	for n := range 3 {
		if got := trends([]soakedProcess{{Name: "node 1", Node: true, Looks: looksOf(n, func(int) look { return look{Files: 1} })}}); len(got) > 0 {
			t.Errorf("%d looks: %+v", n, got)
		}
	}
}
