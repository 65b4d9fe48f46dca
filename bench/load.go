package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	tickEvery = time.Second
	// setupAtATime are users that are made at the same time: enough to keep
	// the server's hashing busy.
	setupAtATime = 16
	// keepAlive is how often at least a receiver sends a frame: a server ends
	// a connection that sends nothing.
	keepAlive = 20 * time.Second
)

// load is traffic through pairs: what stream and event have in common. They
// bring the workers, load brings time.
type load struct {
	*rig
	traffic
	gauges  []*gauge
	workers []func() error // one goroutine each; they end by themselves after stop
	conns   []*conn

	stopped atomic.Bool // nothing new is sent
	cut     atomic.Bool // what is still on the way is given up

	refused map[int32]int64
	samples []sample
	lastAt  time.Time // of the last tick
	aliveAt time.Time // of the last tick with anything in it
}

// quota is how many messages pair i of a counted run sends; -1: until stop.
func (l *load) quota(i int) int64 {
	if l.Count == 0 {
		return -1
	}
	n, pairs := l.Count, int64(l.Pairs)
	if int64(i) < n%pairs {
		return n/pairs + 1
	}
	return n / pairs
}

// measure runs the workers: through the warm-up, the measured time, and until
// what was on the way has arrived. Counted runs are measured from beginning to
// end. The error is the first of a worker.
func (l *load) measure(ctx context.Context) error {
	l.refused = make(map[int32]int64)
	g, broken := errgroup.WithContext(ctx)
	for _, w := range l.workers {
		g.Go(w)
	}
	var failed error
	ended := make(chan struct{})
	go func() {
		failed = g.Wait()
		close(ended)
	}()

	limit := maxDuration
	if l.Count == 0 {
		l.watch(broken, ended, "warm-up", l.Warmup)
		l.discard()
		limit = l.Duration
	}
	before, started := l.server.usage(l.report), time.Now()
	l.lastAt = started
	l.watch(broken, ended, "measured", limit)
	l.tick("", 0)
	elapsed, after := time.Since(started), l.server.usage(l.report)

	l.stopped.Store(true)
	l.drain(ended)
	l.summarize(elapsed, before, after)
	return failed
}

// watch ticks for d, or until ctx or the workers have ended. It ends early
// where nothing has arrived for as long as is waited for anything.
func (l *load) watch(ctx context.Context, ended <-chan struct{}, what string, d time.Duration) {
	end := time.NewTimer(d)
	defer end.Stop()
	ticker := time.NewTicker(min(tickEvery, l.Patience))
	defer ticker.Stop()
	now := time.Now()
	until := now.Add(d)
	l.lastAt, l.aliveAt = now, now
	for {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case <-ticker.C:
			l.tick(what, time.Until(until))
			if time.Since(l.aliveAt) >= l.Patience {
				return
			}
		}
	}
}

// drain waits for what is on the way, and after --patience gives it up. The
// workers have ended when it returns.
func (l *load) drain(ended <-chan struct{}) {
	l.progress.line("waiting for what is on the way")
	timer := time.NewTimer(l.Patience)
	defer timer.Stop()
	select {
	case <-ended:
		return
	case <-timer.C:
	}
	l.cut.Store(true)
	for _, c := range l.conns {
		_ = c.nc.SetDeadline(time.Unix(1, 0)) // closed: its worker is awake already
	}
	<-ended
}

// gaveUp says whether err is a deadline's: drain's, where cut is set.
func gaveUp(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// overdue says what has been given up.
func (l *load) overdue(n int64, what string) string {
	return fmt.Sprintf("%d %s still missing after %s", n, what, l.Patience)
}

// closeAll ends all connections.
func (l *load) closeAll() {
	for _, c := range l.conns {
		c.close()
	}
}

// discard forgets what the warm-up saw. Refusals in it are forgotten too;
// faults never are.
func (l *load) discard() {
	for _, g := range l.gauges {
		g.collect(l.refused)
		g.total.Reset()
	}
	clear(l.refused)
	l.samples = nil
}

// tick collects what was measured since the last one, and shows it.
func (l *load) tick(what string, left time.Duration) {
	now := time.Now()
	since := now.Sub(l.lastAt)
	l.lastAt = now
	s := sample{Seconds: since.Seconds()}
	for _, g := range l.gauges {
		g.collect(l.refused)
		if g.tick.TotalCount() > 0 {
			l.aliveAt = now
		}
		s.add(g.tick)
	}
	if s.Seconds > tickEvery.Seconds()/2 || len(l.samples) == 0 { // else too short to say anything
		l.samples = append(l.samples, s)
	}
	if what == "" {
		return
	}
	text := what + ":"
	for i, g := range l.gauges {
		text += fmt.Sprintf(" %s %s/s, p99 %s;", g.name, thousands(s.Rates[i]), micros(s.P99us[i]))
	}
	faults, _ := l.faults.summary()
	l.progress.line("%s errors %d; %s left", text, faults+l.refusals(), left.Round(time.Second))
}

func (l *load) refusals() (n int64) {
	for _, c := range l.refused {
		n += c
	}
	return n
}

// summarize writes the report's figures.
func (l *load) summarize(elapsed time.Duration, before, after usage) {
	rep := l.report
	rep.Seconds = elapsed.Seconds()
	rep.Samples = l.samples
	for _, g := range l.gauges {
		rep.figure(g.name, float64(g.total.TotalCount())/elapsed.Seconds(), "per second", higher)
	}
	for _, g := range l.gauges {
		rep.latency(g.delay, g.total)
		rep.Series = append(rep.Series, series{g.name, g.delay})
	}
	for errno, n := range l.refused {
		rep.refused(errno, n)
	}
	rep.cost(before, after, l.gauges[len(l.gauges)-1].total.TotalCount(), elapsed)
}
