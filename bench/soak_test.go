package main

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"
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

// A soak of a real server finds its rate, looks at the process until the end,
// and says that it is flat or what has grown.
func TestSoakRealServer(t *testing.T) {
	folder := t.TempDir()
	_, stdout, stderr := chatbench(t, "soak", "--users", "20", "--members", "4", "--rate", "200", "--duration", "1s", "--warmup", "100ms",
		"--every", "100ms", "--leave", "20", "--away", "50ms", "--chatd", chatd(t), "--dir", folder, "--json", "-")
	var rep report
	if err := json.Unmarshal([]byte(stdout), &rep); err != nil || rep.Failed != "" || rep.Faults > 0 || rep.Soak == nil {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	p := rep.Soak.Processes
	if len(p) != 1 || !p[0].Node || len(p[0].Looks) == 0 {
		t.Fatalf("%+v", p)
	}
	for _, l := range p[0].Looks {
		for k := range measures {
			if l.of(measureKind(k)) <= 0 {
				t.Errorf("%s is %g: %+v", measures[k].name, l.of(measureKind(k)), l)
			}
		}
	}
	if last := p[0].Looks[len(p[0].Looks)-1]; last.At < 1 {
		t.Errorf("the last look was before the end, at %g s", last.At)
	}
	gone(t, folder, rep.Server.Address)
}

// Of a server whose process is unknown nothing could be said.
func TestSoakNeedsTheProcess(t *testing.T) {
	f := newFake(t)
	code, stdout, _ := chatbench(t, "soak", "--addr", f.addr(), "--rate", "100")
	if code != exitBad || !strings.Contains(stdout, "--pid") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}

// What the people of a soak get acknowledged when they say all that they can is
// the measure of what a server is soaked with, and stays out of the report.
func TestSoakCalibrates(t *testing.T) {
	srv, err := newServer(t.Context(), &target{Spawn: spawnSQLite, Chatd: chatd(t), Dir: t.TempDir()}, &progress{w: io.Discard}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := srv.stop(); err != nil {
			t.Error(err)
		}
	}()
	r := &rig{server: srv, progress: &progress{w: io.Discard}, report: &report{}, faults: &faults{}, clock: newClock()}
	s := &soak{Users: 40, Members: 20, Leave: 2, Away: time.Second, Size: 40, Patience: 15 * time.Second}
	reached, err := s.calibrate(t.Context(), r, 500*time.Millisecond)
	if n, first := r.faults.summary(); err != nil || reached <= 0 || n > 0 || len(r.report.Figures) > 0 {
		t.Fatalf("%g per second, %v, %q, %+v", reached, err, first, r.report)
	}
}
