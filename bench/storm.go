package main

import (
	"context"
	"errors"
	"time"

	"chatd/proto"
)

const (
	// stormEvery is how often a storm is sampled: it takes seconds.
	stormEvery = 250 * time.Millisecond
	// stormSize is the text of a message.
	stormSize = 100
	// stormWindow is how many messages a sender has on the way; what is due
	// beyond is late, and counts as that.
	stormWindow = 64
	// stormPatience is how long what is on the way may take at the end.
	stormPatience = 15 * time.Second
)

// storm is the scenario of many connections that are lost at once.
type storm struct {
	Conns    int           `name:"conns" default:"10000" help:"Connections that are cut, each of a user of its own."`
	AtATime  int           `name:"at-a-time" default:"256" help:"Connections that come back at the same time."`
	Chatting int           `name:"chatting" default:"20" help:"Pairs of further users, who stay and talk meanwhile."`
	Rate     float64       `name:"rate" default:"200" help:"Messages per second that all of these send together, whatever the server does."`
	Duration time.Duration `name:"duration" default:"5s" help:"How long they are watched before the cut, at most 10m."`
}

func (*storm) name() string { return "storm" }

func (s *storm) Help() string {
	return `Users log in by token and stay idle; pairs of others talk. After --duration all idle
connections are cut at once, as by a switch that fails, and come back by token,
--at-a-time of them at the same time. Where the server is too busy (errno 9) they wait as
long as it asks for.

The pairs' messages are sent at times that are laid down beforehand (--rate), not when
the last one has been answered; and a message's latency counts from its time, even where
it could only be sent later. A closed loop would send less while the server stalls, and
so hardly see it: what Gil Tene calls coordinated omission.

Measured are the seconds until all are back, connections per second meanwhile, and
"connect and log in"; and the pairs' latency from a message's time to the receiver's read,
"end to end before" the cut and "end to end during" the storm. Checked are the pairs'
conversations as in "stream", and that every connection answers at the end.`
}

func (s *storm) validate() error {
	var bad complaints
	bad.checkConns("--conns", s.Conns, maxConns)
	bad.between("--at-a-time", s.AtATime, 1, maxAtATime)
	bad.between("--chatting", s.Chatting, 1, maxPairs)
	bad.check(s.Rate > 0, "--rate: %g is not above 0: the storm is watched by an open loop", s.Rate)
	bad.checkRate(s.Rate, s.Chatting)
	bad.lasting("--duration", s.Duration)
	return bad.join()
}

func (s *storm) run(ctx context.Context, r *rig) error {
	l := newLoad(r, loadConfig{senders: s.Chatting, window: stormWindow, rate: s.Rate, size: stormSize, patience: stormPatience})
	l.every = stormEvery
	acks, back := l.gauge(acknowledged, "ack"), l.gauge("logins", "connect and log in")
	before, during := l.gauge("delivered before", "end to end before"), l.gauge("delivered during", "end to end during")
	defer l.closeAll()
	rs := newRecruits(r.server)
	users, err := rs.enroll(ctx, r.progress, 2*s.Chatting, s.Conns)
	if err != nil {
		return err
	}
	fleet := newFleet(s.Conns)
	defer fleet.abort()
	if err := s.comeUp(ctx, s.loginWorkers(r, nil), users, fleet); err != nil {
		return err
	}
	if err := l.pairs(ctx, rs, proto.ONE_CHAT, true, acks, before); err != nil {
		return err
	}

	l.begin(ctx)
	err = s.calm(l, fleet)
	// The rest of what was sent before the cut is the storm's.
	during.meters, before.meters = before.meters, nil
	if err == nil {
		err = s.cut(l, users, fleet, back)
	}
	broken := l.finish() // what broke the talk may well have ended the rest
	l.take()
	l.tell(r.report)
	l.tellPace(r.report)
	if broken != nil {
		return broken
	}
	if err != nil {
		return err
	}
	r.progress.line("every connection answers once more")
	fleet.roll(r.faults)
	return nil
}

// returners are who has users come back; g measures, unless it is nil.
func (s *storm) loginWorkers(r *rig, g *gauge) []*returner {
	all := make([]*returner, min(s.AtATime, s.Conns))
	for i := range all {
		all[i] = &returner{rig: r}
		if g != nil {
			all[i].whole = g.meter()
		}
	}
	return all
}

// comeUp has all users log in.
func (s *storm) comeUp(ctx context.Context, returners []*returner, users []account, f *fleet) error {
	return crowd(ctx, returners, s.Conns, func(ctx context.Context, rt *returner, i int) error {
		c, _, err := rt.enter(ctx, rt.server.addrOf(i), users[i])
		if err == nil {
			f.put(i, c)
		}
		return err
	})
}

// calm is the time before the cut.
func (s *storm) calm(l *load, f *fleet) error {
	ctx, cancel := context.WithCancel(l.running)
	kept, lost := make(chan error, 1), make(chan struct{})
	go func() {
		kept <- f.keep(ctx, clientPing)
		close(lost)
	}()
	l.watch("before", s.Duration, lost)
	l.tick("", 0)
	cancel()
	return errors.Join(<-kept, l.running.Err())
}

// cut ends all idle connections and has them come back.
func (s *storm) cut(l *load, users []account, f *fleet, back *gauge) error {
	began, started := l.server.usage(l.report), time.Now()
	f.cut()
	var err error
	done := make(chan struct{})
	returners := s.loginWorkers(l.rig, back)
	go func() {
		defer close(done)
		err = s.comeUp(l.running, returners, users, f)
	}()
	l.watch("during", maxDuration, done)
	<-done
	l.tick("", 0)
	elapsed := time.Since(started)
	if err != nil {
		return err
	}
	l.report.Seconds = elapsed.Seconds()
	l.report.figure("all back", elapsed.Seconds(), "s", lower)
	l.report.figure("coming back", float64(s.Conns)/elapsed.Seconds(), "connections per second", higher)
	addCost(l.report, began, l.server.usage(l.report), 0, elapsed)
	return nil
}
