package target

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"chatd/bench/report"
)

// Monitor samples a server's processes at a fixed interval.
type Monitor struct {
	server    *Server
	interval  time.Duration
	processes []report.SoakProcess
	warmupEnd time.Time
	done      chan struct{}
	err       error
}

func NewMonitor(s *Server, every time.Duration) *Monitor {
	w := &Monitor{server: s, interval: every, done: make(chan struct{})}
	for i, p := range s.processes() {
		w.processes = append(w.processes, report.SoakProcess{Name: p.name, Node: i < len(s.addrs)})
	}
	return w
}

// Start starts sampling in a goroutine. It samples until ctx ends, and once
// more then. The caller must call Wait.
func (w *Monitor) Start(ctx context.Context, warmup time.Duration) {
	w.warmupEnd = time.Now().Add(warmup)
	go func() {
		defer close(w.done)
		tick := time.NewTicker(w.interval)
		defer tick.Stop()
		for ctx.Err() == nil {
			if err := w.sample(ctx); err != nil && ctx.Err() == nil {
				w.err = err
				return
			}
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
		// One last sample. If the server is gone, the scenario reports that.
		_ = w.sample(context.WithoutCancel(ctx))
	}()
}

// Wait blocks until sampling has ended and returns why if it ended early.
func (w *Monitor) Wait() error {
	if !w.warmupEnd.IsZero() {
		<-w.done
	}
	return w.err
}

func (w *Monitor) sample(ctx context.Context) error {
	at := time.Since(w.warmupEnd).Seconds()
	for i, named := range w.server.processes() {
		p, err := readProcess(named.pid)
		if err != nil {
			return fmt.Errorf("%s: %w", named.name, err)
		}
		files, err := os.ReadDir("/proc/" + strconv.Itoa(named.pid) + "/fd")
		if err != nil {
			return fmt.Errorf("%s: %w", named.name, err)
		}
		l := report.SoakSample{At: at, Memory: mebibytes(p.RSS), Private: mebibytes(p.Private), Files: float64(len(files))}
		if i < len(w.server.httpURLs) {
			page, err := httpGet(ctx, w.server.httpURLs[i], "/metrics")
			if err != nil {
				return fmt.Errorf("%s: %w", named.name, err)
			}
			l.Heap = mebibytes(metricValue(page, "go_memstats_next_gc_bytes"))
			l.Goroutines = float64(metricValue(page, "go_goroutines"))
		}
		w.processes[i].Samples = append(w.processes[i].Samples, l)
	}
	return nil
}

// Result returns all samples. Wait must have returned.
func (w *Monitor) Result() *report.Soak {
	return &report.Soak{EverySeconds: w.interval.Seconds(), Processes: w.processes, Trends: report.NewTrends(w.processes)}
}
