package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"chatd/bench/report"
	"chatd/bench/target"
	"chatd/proto"
)

const (
	SampleInterval = time.Second
	// SetupConcurrency are users that are made at the same time: enough to keep
	// the server's hashing busy.
	SetupConcurrency = 16
	// keepAliveInterval is how often at least a receiver sends a frame: a server ends
	// a connection that sends nothing.
	keepAliveInterval = 20 * time.Second
	// ClientPingInterval is how often clients send PING.
	ClientPingInterval = 30 * time.Second
)

// Generator is traffic through rooms: what the scenarios in which people talk have
// in common. They bring the rooms, load brings time.
type Generator struct {
	*Env
	Config
	Sampler
	rooms   []*Room
	senders []*sender
	workers []func() error // one goroutine each; they end by themselves after stop
	conns   []*Conn

	schedule   *schedule    // nil: a closed loop
	lateness   *Metric      // of pace
	drive      func() error // the worker who keeps to pace; nil: speak
	wakeAll    func()       // wakes the workers whose connections are none of conns
	MixedCosts bool         // no gauge counts what all costs are of

	Running context.Context // ends with the first error of a worker
	done    chan struct{}   // closed once all workers have
	err     error           // of the first worker, once ended is closed

	stopped   atomic.Bool // nothing new is sent
	abandoned atomic.Bool // what is still on the way is given up

	lastArrival time.Time // of the last tick with anything in it
}

// NewGenerator returns a generator without any rooms.
func NewGenerator(env *Env, c Config) *Generator { return &Generator{Env: env, Config: c} }

// Quota is how many messages pair i of a counted run sends; -1: until stop.
func (g *Generator) Quota(i int) int64 {
	if g.Count == 0 {
		return -1
	}
	n, pairs := g.Count, int64(g.SenderCount)
	if int64(i) < n%pairs {
		return n/pairs + 1
	}
	return n / pairs
}

// AddMetric adds one.
func (g *Generator) AddMetric(name, delay string) *Metric {
	m := NewMetric(name, delay)
	g.metrics = append(g.metrics, m)
	return m
}

// AddPairs makes --pairs rooms of two new users each.
func (g *Generator) AddPairs(ctx context.Context, accounts *Accounts, op proto.Op, stored bool, acks, pushes *Metric) error {
	rooms := make([]*Room, g.SenderCount)
	err := ForEach(ctx, g.SenderCount, SetupConcurrency, g.Progress, "users", func(ctx context.Context, i int) (err error) {
		rooms[i], err = newPairRoom(ctx, g, accounts, i, op, stored)
		return err
	})
	for _, r := range rooms {
		if r != nil {
			g.AddRoom(r, acks, pushes)
		}
	}
	return err
}

// Measure runs the workers: through the warm-up, the measured time, and until
// what was on the way has arrived. Counted runs are measured from beginning to
// end. The error is the first of a worker.
func (g *Generator) Measure(ctx context.Context) error {
	g.Start(ctx)
	limit := MaxDuration
	if g.Count == 0 {
		g.Observe("warm-up", g.Warmup, nil)
		g.discard()
		limit = g.Duration
	}
	before, started := g.Server.Usage(g.Report), time.Now()
	g.lastAt = started
	g.Observe("measured", limit, nil)
	g.Tick("", 0)
	elapsed, after := time.Since(started), g.Server.Usage(g.Report)
	err := g.Finish()
	g.summarize(elapsed, before, after)
	return err
}

// Start starts the workers. From then on finish must be called.
func (l *Generator) Start(ctx context.Context) {
	l.refused = make(map[int32]int64)
	if l.Interval == 0 {
		l.Interval = SampleInterval
	}
	g, running := errgroup.WithContext(ctx)
	l.Running, l.done = running, make(chan struct{})
	if l.Rate > 0 {
		l.lateness = NewMetric("", "behind schedule")
		l.schedule = newSchedule(l.Clock, l.Rate, max(len(l.senders), 1), l.lateness.NewRecorder())
		if l.drive == nil {
			l.drive = l.sendOnSchedule
		}
		g.Go(l.drive)
	}
	for _, w := range l.workers {
		g.Go(w)
	}
	go func() {
		l.err = g.Wait()
		close(l.done)
	}()
}

// sendOnSchedule has each voice send when it is time.
func (g *Generator) sendOnSchedule() error {
	return g.schedule.run(g.Count, &g.stopped, func(n int64) error {
		s := g.senders[n%int64(len(g.senders))]
		if err := s.send(); err != nil {
			return s.member.wrapError("send", err)
		}
		return nil
	})
}

// Finish stops the workers and waits for what is on the way. The error is the
// first of a worker.
func (g *Generator) Finish() error {
	g.stopped.Store(true)
	var stopping sync.WaitGroup
	stopping.Go(func() { // may have to wait for a write
		for _, s := range g.senders {
			s.stop()
		}
	})
	g.drain()
	stopping.Wait()
	for _, r := range g.rooms {
		if g.err == nil {
			r.checkComplete()
		}
	}
	return g.err
}

// Observe ticks for d, or until the run is interrupted, the workers have ended
// or until is closed. It ends early where nothing has arrived for as long as
// is waited for anything.
func (g *Generator) Observe(what string, d time.Duration, until <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	ticker := time.NewTicker(min(g.Interval, g.Patience))
	defer ticker.Stop()
	now := time.Now()
	end := now.Add(d)
	g.lastAt, g.lastArrival = now, now
	for {
		select {
		case <-g.done:
			return
		case <-g.Running.Done():
			return
		case <-until:
			return
		case <-timer.C:
			return
		case <-ticker.C:
			g.Tick(what, time.Until(end))
			if time.Since(g.lastArrival) >= g.Patience {
				return
			}
		}
	}
}

// drain waits for what is on the way, and after --patience gives it up. The
// workers have ended when it returns.
func (g *Generator) drain() {
	g.Progress.Show("waiting for what is on the way")
	timer := time.NewTimer(g.Patience)
	defer timer.Stop()
	select {
	case <-g.done:
	case <-timer.C:
	}
	g.abandoned.Store(true)
	for _, c := range g.conns {
		_ = c.nc.SetDeadline(pastDeadline) // closed: its worker is awake already
	}
	if g.wakeAll != nil {
		g.wakeAll()
	}
	<-g.done
}

// pastDeadline is a deadline that has passed.
var pastDeadline = time.Unix(1, 0)

// read reads once, as c's does. It is woken where wakeAt or nudge have ended
// the wait; what has changed is to be looked at after it.
func (g *Generator) read(c *Conn) (woken bool, err error) {
	err = c.fill()
	if err == nil || !isTimeout(err) || g.abandoned.Load() {
		return false, err
	}
	g.wakeReaderAt(c, time.Time{})
	return true, nil
}

// wakeReaderAt has who reads c woken at t, or never. Any goroutine may call it.
func (g *Generator) wakeReaderAt(c *Conn, t time.Time) {
	_ = c.nc.SetReadDeadline(t) // closed: the next read says so
	if g.abandoned.Load() {     // drain's must not be lost
		_ = c.nc.SetDeadline(pastDeadline)
	}
}

// wakeReader wakes who reads c. Any goroutine may call it.
func (g *Generator) wakeReader(c *Conn) { g.wakeReaderAt(c, pastDeadline) }

// isTimeout says whether err is a deadline's: drain's, where cut is set.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// missingText says what has been given up.
func (g *Generator) missingText(n int64, what string) string {
	return fmt.Sprintf("%d %s still missing after %s", n, what, g.Patience)
}

// CloseAll ends all connections.
func (g *Generator) CloseAll() {
	for _, c := range g.conns {
		c.Close()
	}
}

// discard forgets what the warm-up saw. Refusals in it are forgotten too;
// faults never are.
func (g *Generator) discard() {
	for _, m := range g.metrics {
		m.Collect(g.refused)
		m.Total.Reset()
	}
	if g.schedule != nil {
		g.lateness.Collect(g.refused)
		g.lateness.Total.Reset()
		g.schedule.waited.Store(0)
	}
	clear(g.refused)
	g.samples = nil
}

// Tick collects what was measured since the last one, and shows it.
func (g *Generator) Tick(what string, left time.Duration) {
	s, anything := g.Take()
	if anything {
		g.lastArrival = g.lastAt
	}
	if g.schedule != nil {
		g.lateness.Collect(g.refused)
	}
	if what == "" {
		return
	}
	text := what + ":" + g.summary(&s)
	if g.schedule != nil {
		text += fmt.Sprintf(" behind %s;", report.FormatMicros(g.lateness.tick.Max()))
	}
	faults, _ := g.Faults.Summary()
	g.Progress.Show("%s errors %d; %s left", text, faults+g.refusals(), left.Round(time.Second))
}

func (g *Generator) refusals() (n int64) {
	for _, c := range g.refused {
		n += c
	}
	return n
}

// ReportSchedule says how well an open loop kept its schedule.
func (g *Generator) ReportSchedule(rep *report.Report) {
	if g.schedule != nil {
		g.schedule.addTo(rep, g.lateness)
	}
}

// summarize writes the report's figures.
func (g *Generator) summarize(elapsed time.Duration, before, after target.Usage) {
	rep := g.Report
	rep.Seconds = elapsed.Seconds()
	for _, m := range g.metrics {
		rep.AddFigure(m.RateName, float64(m.Total.TotalCount())/elapsed.Seconds(), "per second", report.Higher)
	}
	g.AddTo(rep)
	g.ReportSchedule(rep)
	var messages int64
	if !g.MixedCosts {
		messages = g.metrics[len(g.metrics)-1].Total.TotalCount()
	}
	target.AddCost(rep, before, after, messages, elapsed)
}
