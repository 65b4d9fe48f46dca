package scenario

import (
	"context"
	"errors"
	"time"

	"chatd/bench/load"
	"chatd/bench/report"
	"chatd/bench/target"
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

// Storm is the scenario of many connections that are lost at once.
type Storm struct {
	Conns    int           `name:"conns" default:"10000" help:"Connections that are cut, each of a user of its own."`
	AtATime  int           `name:"at-a-time" default:"256" help:"Connections that come back at the same time."`
	Chatting int           `name:"chatting" default:"20" help:"Pairs of further users, who stay and talk meanwhile."`
	Rate     float64       `name:"rate" default:"200" help:"Messages per second that all of these send together, whatever the server does."`
	Duration time.Duration `name:"duration" default:"5s" help:"How long they are watched before the cut, at most 10m."`
}

func (*Storm) Name() string { return "storm" }

func (s *Storm) Help() string {
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

func (s *Storm) Check() error {
	var bad flagErrors
	bad.checkConns("--conns", s.Conns, maxConns)
	bad.inRange("--at-a-time", s.AtATime, 1, maxAtATime)
	bad.inRange("--chatting", s.Chatting, 1, maxPairs)
	bad.check(s.Rate > 0, "--rate: %g is not above 0: the storm is watched by an open loop", s.Rate)
	bad.checkRate(s.Rate, s.Chatting)
	bad.checkDuration("--duration", s.Duration)
	return bad.join()
}

func (s *Storm) Run(ctx context.Context, env *load.Env) error {
	g := load.NewGenerator(env, load.Config{SenderCount: s.Chatting, Window: stormWindow, Rate: s.Rate, Size: stormSize, Patience: stormPatience})
	g.Interval = stormEvery
	acks, back := g.AddMetric(load.Acknowledged, "ack"), g.AddMetric("logins", "connect and log in")
	before, during := g.AddMetric("delivered before", "end to end before"), g.AddMetric("delivered during", "end to end during")
	defer g.CloseAll()
	accounts := load.NewAccounts(env.Server)
	users, err := accounts.RegisterAll(ctx, env.Progress, 2*s.Chatting, s.Conns)
	if err != nil {
		return err
	}
	fleet := load.NewIdlePool(s.Conns)
	defer fleet.Close()
	if err := s.loginAll(ctx, s.loginWorkers(env, nil), users, fleet); err != nil {
		return err
	}
	if err := g.AddPairs(ctx, accounts, proto.ONE_CHAT, true, acks, before); err != nil {
		return err
	}

	g.Start(ctx)
	err = s.beforeCut(g, fleet)
	// The rest of what was sent before the cut is the storm's.
	during.Recorders, before.Recorders = before.Recorders, nil
	if err == nil {
		err = s.cutAndReconnect(g, users, fleet, back)
	}
	broken := g.Finish() // what broke the talk may well have ended the rest
	g.Take()
	g.AddTo(env.Report)
	g.ReportSchedule(env.Report)
	if broken != nil {
		return broken
	}
	if err != nil {
		return err
	}
	env.Progress.Show("every connection answers once more")
	fleet.CheckAll(env.Faults)
	return nil
}

// returners are who has users come back; g measures, unless it is nil.
func (s *Storm) loginWorkers(env *load.Env, m *load.Metric) []*load.LoginWorker {
	all := make([]*load.LoginWorker, min(s.AtATime, s.Conns))
	for i := range all {
		all[i] = &load.LoginWorker{Env: env}
		if m != nil {
			all[i].FromConnect = m.NewRecorder()
		}
	}
	return all
}

// loginAll has all users log in.
func (s *Storm) loginAll(ctx context.Context, returners []*load.LoginWorker, users []load.Account, p *load.IdlePool) error {
	return load.ForEachLogin(ctx, returners, s.Conns, func(ctx context.Context, w *load.LoginWorker, i int) error {
		c, _, err := w.Login(ctx, w.Server.AddrOf(i), users[i])
		if err == nil {
			p.Put(i, c)
		}
		return err
	})
}

// beforeCut is the time before the cut.
func (s *Storm) beforeCut(g *load.Generator, p *load.IdlePool) error {
	ctx, cancel := context.WithCancel(g.Running)
	kept, lost := make(chan error, 1), make(chan struct{})
	go func() {
		kept <- p.KeepAlive(ctx, load.ClientPingInterval)
		close(lost)
	}()
	g.Observe("before", s.Duration, lost)
	g.Tick("", 0)
	cancel()
	return errors.Join(<-kept, g.Running.Err())
}

// cutAndReconnect ends all idle connections and has them come back.
func (s *Storm) cutAndReconnect(g *load.Generator, users []load.Account, p *load.IdlePool, back *load.Metric) error {
	began, started := g.Server.Usage(g.Report), time.Now()
	p.Reset()
	var err error
	done := make(chan struct{})
	returners := s.loginWorkers(g.Env, back)
	go func() {
		defer close(done)
		err = s.loginAll(g.Running, returners, users, p)
	}()
	g.Observe("during", load.MaxDuration, done)
	<-done
	g.Tick("", 0)
	elapsed := time.Since(started)
	if err != nil {
		return err
	}
	g.Report.Seconds = elapsed.Seconds()
	g.Report.AddFigure("all back", elapsed.Seconds(), "s", report.Lower)
	g.Report.AddFigure("coming back", float64(s.Conns)/elapsed.Seconds(), "connections per second", report.Higher)
	target.AddCost(g.Report, began, g.Server.Usage(g.Report), 0, elapsed)
	return nil
}
