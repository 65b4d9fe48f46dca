package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"chatd/proto"
)

const (
	tickEvery = time.Second
	// setupAtATime are users that are made at the same time: enough to keep
	// the server's hashing busy.
	setupAtATime = 16
	// keepAlive is how often at least a receiver sends a frame: a server ends
	// a connection that sends nothing.
	keepAlive = 20 * time.Second
	// clientPing is how often clients send PING.
	clientPing = 30 * time.Second
)

// load is traffic through rooms: what the scenarios in which people talk have
// in common. They bring the rooms, load brings time.
type load struct {
	*rig
	loadConfig
	sampler
	rooms   []*room
	voices  []*voice
	workers []func() error // one goroutine each; they end by themselves after stop
	conns   []*conn

	pace   *pace        // nil: a closed loop
	behind *gauge       // of pace
	drive  func() error // the worker who keeps to pace; nil: speak
	giveUp func()       // wakes the workers whose connections are none of conns
	mixed  bool         // no gauge counts what all costs are of

	running context.Context // ends with the first error of a worker
	ended   chan struct{}   // closed once all workers have
	failed  error           // of the first worker, once ended is closed

	stopped atomic.Bool // nothing new is sent
	cut     atomic.Bool // what is still on the way is given up

	aliveAt time.Time // of the last tick with anything in it
}

// newLoad returns a generator without any rooms.
func newLoad(r *rig, c loadConfig) *load { return &load{rig: r, loadConfig: c} }

// quota is how many messages pair i of a counted run sends; -1: until stop.
func (l *load) quota(i int) int64 {
	if l.count == 0 {
		return -1
	}
	n, pairs := l.count, int64(l.senders)
	if int64(i) < n%pairs {
		return n/pairs + 1
	}
	return n / pairs
}

// gauge adds one.
func (l *load) gauge(name, delay string) *gauge {
	g := newGauge(name, delay)
	l.gauges = append(l.gauges, g)
	return g
}

// pairs makes --pairs rooms of two new users each.
func (l *load) pairs(ctx context.Context, rs *recruits, op proto.Op, stored bool, acks, pushes *gauge) error {
	rooms := make([]*room, l.senders)
	err := each(ctx, l.senders, setupAtATime, l.progress, "users", func(ctx context.Context, i int) (err error) {
		rooms[i], err = newPair(ctx, l, rs, i, op, stored)
		return err
	})
	for _, r := range rooms {
		if r != nil {
			l.open(r, acks, pushes)
		}
	}
	return err
}

// measure runs the workers: through the warm-up, the measured time, and until
// what was on the way has arrived. Counted runs are measured from beginning to
// end. The error is the first of a worker.
func (l *load) measure(ctx context.Context) error {
	l.begin(ctx)
	limit := maxDuration
	if l.count == 0 {
		l.watch("warm-up", l.warmup, nil)
		l.discard()
		limit = l.duration
	}
	before, started := l.server.usage(l.report), time.Now()
	l.lastAt = started
	l.watch("measured", limit, nil)
	l.tick("", 0)
	elapsed, after := time.Since(started), l.server.usage(l.report)
	err := l.finish()
	l.summarize(elapsed, before, after)
	return err
}

// begin starts the workers. From then on finish must be called.
func (l *load) begin(ctx context.Context) {
	l.refused = make(map[int32]int64)
	if l.every == 0 {
		l.every = tickEvery
	}
	g, running := errgroup.WithContext(ctx)
	l.running, l.ended = running, make(chan struct{})
	if l.rate > 0 {
		l.behind = newGauge("", "behind schedule")
		l.pace = newPace(l.clock, l.rate, max(len(l.voices), 1), l.behind.meter())
		if l.drive == nil {
			l.drive = l.speak
		}
		g.Go(l.drive)
	}
	for _, w := range l.workers {
		g.Go(w)
	}
	go func() {
		l.failed = g.Wait()
		close(l.ended)
	}()
}

// speak has each voice send when it is time.
func (l *load) speak() error {
	return l.pace.keep(l.count, &l.stopped, func(n int64) error {
		v := l.voices[n%int64(len(l.voices))]
		if err := v.send(); err != nil {
			return v.member.broken("send", err)
		}
		return nil
	})
}

// finish stops the workers and waits for what is on the way. The error is the
// first of a worker.
func (l *load) finish() error {
	l.stopped.Store(true)
	var stopping sync.WaitGroup
	stopping.Go(func() { // may have to wait for a write
		for _, v := range l.voices {
			v.stop()
		}
	})
	l.drain()
	stopping.Wait()
	for _, r := range l.rooms {
		if l.failed == nil {
			r.check()
		}
	}
	return l.failed
}

// watch ticks for d, or until the run is interrupted, the workers have ended
// or until is closed. It ends early where nothing has arrived for as long as
// is waited for anything.
func (l *load) watch(what string, d time.Duration, until <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	ticker := time.NewTicker(min(l.every, l.patience))
	defer ticker.Stop()
	now := time.Now()
	end := now.Add(d)
	l.lastAt, l.aliveAt = now, now
	for {
		select {
		case <-l.ended:
			return
		case <-l.running.Done():
			return
		case <-until:
			return
		case <-timer.C:
			return
		case <-ticker.C:
			l.tick(what, time.Until(end))
			if time.Since(l.aliveAt) >= l.patience {
				return
			}
		}
	}
}

// drain waits for what is on the way, and after --patience gives it up. The
// workers have ended when it returns.
func (l *load) drain() {
	l.progress.line("waiting for what is on the way")
	timer := time.NewTimer(l.patience)
	defer timer.Stop()
	select {
	case <-l.ended:
	case <-timer.C:
	}
	l.cut.Store(true)
	for _, c := range l.conns {
		_ = c.nc.SetDeadline(longAgo) // closed: its worker is awake already
	}
	if l.giveUp != nil {
		l.giveUp()
	}
	<-l.ended
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// fill reads once, as c's does. It is woken where wakeAt or nudge have ended
// the wait; what has changed is to be looked at after it.
func (l *load) fill(c *conn) (woken bool, err error) {
	err = c.fill()
	if err == nil || !gaveUp(err) || l.cut.Load() {
		return false, err
	}
	l.wakeAt(c, time.Time{})
	return true, nil
}

// wakeAt has who reads c woken at t, or never. Any goroutine may call it.
func (l *load) wakeAt(c *conn, t time.Time) {
	_ = c.nc.SetReadDeadline(t) // closed: the next read says so
	if l.cut.Load() {           // drain's must not be lost
		_ = c.nc.SetDeadline(longAgo)
	}
}

// nudge wakes who reads c. Any goroutine may call it.
func (l *load) nudge(c *conn) { l.wakeAt(c, longAgo) }

// gaveUp says whether err is a deadline's: drain's, where cut is set.
func gaveUp(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// overdue says what has been given up.
func (l *load) overdue(n int64, what string) string {
	return fmt.Sprintf("%d %s still missing after %s", n, what, l.patience)
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
	if l.pace != nil {
		l.behind.collect(l.refused)
		l.behind.total.Reset()
		l.pace.held.Store(0)
	}
	clear(l.refused)
	l.samples = nil
}

// tick collects what was measured since the last one, and shows it.
func (l *load) tick(what string, left time.Duration) {
	s, anything := l.take()
	if anything {
		l.aliveAt = l.lastAt
	}
	if l.pace != nil {
		l.behind.collect(l.refused)
	}
	if what == "" {
		return
	}
	text := what + ":" + l.text(&s)
	if l.pace != nil {
		text += fmt.Sprintf(" behind %s;", micros(l.behind.tick.Max()))
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

// tellPace says how well an open loop kept its schedule.
func (l *load) tellPace(rep *report) {
	if l.pace != nil {
		l.pace.report(rep, l.behind)
	}
}

// summarize writes the report's figures.
func (l *load) summarize(elapsed time.Duration, before, after usage) {
	rep := l.report
	rep.Seconds = elapsed.Seconds()
	for _, g := range l.gauges {
		rep.figure(g.name, float64(g.total.TotalCount())/elapsed.Seconds(), "per second", higher)
	}
	l.tell(rep)
	l.tellPace(rep)
	var messages int64
	if !l.mixed {
		messages = l.gauges[len(l.gauges)-1].total.TotalCount()
	}
	addCost(rep, before, after, messages, elapsed)
}
