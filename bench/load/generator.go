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
	// SampleInterval is the default of Sampler.Interval.
	SampleInterval = time.Second
	// SetupConcurrency is how many users are set up at the same time. It keeps
	// a server's password hashing busy.
	SetupConcurrency = 16
	// keepAliveInterval is the longest time a receiver sends nothing. The
	// server closes idle connections.
	keepAliveInterval = 20 * time.Second
	// ClientPingInterval is how often clients send PING.
	ClientPingInterval = 30 * time.Second
)

// Generator sends messages through rooms and measures them. A scenario adds
// rooms and metrics and then calls Measure, or Start, Observe and Finish. Its
// methods are for one goroutine unless they say otherwise.
type Generator struct {
	*Env
	Config
	Sampler
	rooms   []*Room
	senders []*sender
	workers []func() error // each runs in a goroutine and returns by itself after stop
	conns   []*Conn

	schedule   *schedule    // nil: closed loop
	lateness   *Metric      // how late the schedule's messages were sent
	drive      func() error // runs the schedule; nil: sendOnSchedule
	wakeAll    func()       // wakes workers whose connections aren't in conns
	MixedCosts bool         // don't report CPU per message: no single metric counts all messages

	Running context.Context // canceled by the first error of a worker
	done    chan struct{}   // closed when all workers have returned
	err     error           // the first of a worker; valid once done is closed

	stopped   atomic.Bool // nothing new is sent
	abandoned atomic.Bool // messages in flight are given up

	lastArrival time.Time // time of the last Tick that saw any message
}

// NewGenerator returns a generator without any rooms.
func NewGenerator(env *Env, c Config) *Generator { return &Generator{Env: env, Config: c} }

// Quota returns how many messages sender i of a counted run sends, or -1 if the
// run isn't counted.
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

// AddMetric adds a metric to what is sampled.
func (g *Generator) AddMetric(rateName, latencyName string) *Metric {
	m := NewMetric(rateName, latencyName)
	g.metrics = append(g.metrics, m)
	return m
}

// AddPairs adds Config.SenderCount rooms of two new users each.
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

// Measure runs the warm-up and the measured time, waits for messages in flight
// and writes the figures. Counted runs have no warm-up. It returns the first
// error of a worker.
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

// Start starts the workers. The caller must call Finish afterwards.
func (g *Generator) Start(ctx context.Context) {
	g.refused = make(map[int32]int64)
	if g.Interval == 0 {
		g.Interval = SampleInterval
	}
	workers, running := errgroup.WithContext(ctx)
	g.Running, g.done = running, make(chan struct{})
	if g.Rate > 0 {
		g.lateness = NewMetric("", "behind schedule")
		g.schedule = newSchedule(g.Clock, g.Rate, max(len(g.senders), 1), g.lateness.NewRecorder())
		if g.drive == nil {
			g.drive = g.sendOnSchedule
		}
		workers.Go(g.drive)
	}
	for _, w := range g.workers {
		workers.Go(w)
	}
	go func() {
		g.err = workers.Wait()
		close(g.done)
	}()
}

// sendOnSchedule lets each sender send when its next message is due.
func (g *Generator) sendOnSchedule() error {
	return g.schedule.run(g.Count, &g.stopped, func(n int64) error {
		s := g.senders[n%int64(len(g.senders))]
		if err := s.send(); err != nil {
			return s.member.wrapError("send", err)
		}
		return nil
	})
}

// Finish stops the senders and waits for messages in flight. It returns the
// first error of a worker.
func (g *Generator) Finish() error {
	g.stopped.Store(true)
	var stopping sync.WaitGroup
	stopping.Go(func() { // stop may block on a write
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

// Observe samples for d. It returns early if the run is interrupted, all
// workers have returned, until is closed, or nothing has arrived for
// Config.Patience.
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

// drain waits for messages in flight, for Config.Patience at most. All workers
// have returned when it does.
func (g *Generator) drain() {
	g.Progress.Show("waiting for messages in flight")
	timer := time.NewTimer(g.Patience)
	defer timer.Stop()
	select {
	case <-g.done:
	case <-timer.C:
	}
	g.abandoned.Store(true)
	for _, c := range g.conns {
		_ = c.nc.SetDeadline(pastDeadline) // fails if closed: then its worker has noticed
	}
	if g.wakeAll != nil {
		g.wakeAll()
	}
	<-g.done
}

// pastDeadline wakes a blocked read or write.
var pastDeadline = time.Unix(1, 0)

// read reads once from c. woken reports that wakeReader or wakeReaderAt ended
// the wait.
func (g *Generator) read(c *Conn) (woken bool, err error) {
	err = c.fill()
	if err == nil || !isTimeout(err) || g.abandoned.Load() {
		return false, err
	}
	g.wakeReaderAt(c, time.Time{})
	return true, nil
}

// wakeReaderAt wakes the reader of c at t; the zero time is never. Any
// goroutine may call it.
func (g *Generator) wakeReaderAt(c *Conn, t time.Time) {
	_ = c.nc.SetReadDeadline(t) // fails if closed: the next read fails, too
	if g.abandoned.Load() {     // keep the deadline that drain has set
		_ = c.nc.SetDeadline(pastDeadline)
	}
}

// wakeReader wakes the reader of c. Any goroutine may call it.
func (g *Generator) wakeReader(c *Conn) { g.wakeReaderAt(c, pastDeadline) }

// isTimeout reports whether err is an expired deadline. With abandoned set it
// is drain's.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// missingText describes messages that didn't arrive in time.
func (g *Generator) missingText(n int64, what string) string {
	return fmt.Sprintf("%d %s still missing after %s", n, what, g.Patience)
}

// CloseAll closes the connections of all rooms.
func (g *Generator) CloseAll() {
	for _, c := range g.conns {
		c.Close()
	}
}

// discard drops the samples and refusals of the warm-up, but no faults.
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

// Tick takes a sample and shows it; what "" shows nothing.
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

// ReportSchedule writes how well an open loop kept its schedule.
func (g *Generator) ReportSchedule(rep *report.Report) {
	if g.schedule != nil {
		g.schedule.addTo(rep, g.lateness)
	}
}

// summarize writes the figures.
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
