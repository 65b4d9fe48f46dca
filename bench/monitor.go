package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// watch looks at a server's processes until it is told to end.
type watch struct {
	server *server
	every  time.Duration
	all    []soakedProcess
	zero   time.Time // the warm-up's end
	done   chan struct{}
	err    error
}

func newWatch(s *server, every time.Duration) *watch {
	w := &watch{server: s, every: every, done: make(chan struct{})}
	for i, p := range s.processes() {
		w.all = append(w.all, soakedProcess{Name: p.name, Node: i < len(s.addrs)})
	}
	return w
}

// start begins to look, until ctx ends, and then once more. wait must follow.
func (w *watch) start(ctx context.Context, warmup time.Duration) {
	w.zero = time.Now().Add(warmup)
	go func() {
		defer close(w.done)
		tick := time.NewTicker(w.every)
		defer tick.Stop()
		for ctx.Err() == nil {
			if err := w.look(ctx); err != nil && ctx.Err() == nil {
				w.err = err
				return
			}
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
		// Once more; a server that is gone meanwhile is told of elsewhere.
		_ = w.look(context.WithoutCancel(ctx))
	}()
}

// wait is until it has ended; the error is why it ended early.
func (w *watch) wait() error {
	if !w.zero.IsZero() {
		<-w.done
	}
	return w.err
}

func (w *watch) look(ctx context.Context) error {
	at := time.Since(w.zero).Seconds()
	for i, named := range w.server.processes() {
		p, err := readProcess(named.pid)
		if err != nil {
			return fmt.Errorf("%s: %w", named.name, err)
		}
		files, err := os.ReadDir("/proc/" + strconv.Itoa(named.pid) + "/fd")
		if err != nil {
			return fmt.Errorf("%s: %w", named.name, err)
		}
		l := look{At: at, Memory: mebibytes(p.rss), Private: mebibytes(p.private), Files: float64(len(files))}
		if i < len(w.server.https) {
			page, err := get(ctx, w.server.https[i], "/metrics")
			if err != nil {
				return fmt.Errorf("%s: %w", named.name, err)
			}
			l.Heap = mebibytes(metric(page, "go_memstats_next_gc_bytes"))
			l.Goroutines = float64(metric(page, "go_goroutines"))
		}
		w.all[i].Looks = append(w.all[i].Looks, l)
	}
	return nil
}

// result is what was seen, once wait has returned.
func (w *watch) result() *soaked {
	return &soaked{EverySeconds: w.every.Seconds(), Processes: w.all, Trends: trends(w.all)}
}
