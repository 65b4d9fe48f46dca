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
	// stormEvery is the sampling interval. A storm takes only seconds.
	stormEvery = 250 * time.Millisecond
	// stormSize is the size of each text in bytes.
	stormSize = 100
	// stormWindow is the window of a sender. Messages beyond it are late, and
	// their latency shows that.
	stormWindow = 64
	// stormPatience is how long to wait for missing messages.
	stormPatience = 15 * time.Second
)

// Storm measures a reconnect storm: many connections are lost at once.
type Storm struct {
	Conns    int           `name:"conns" default:"10000" help:"Connections to cut, each of a different user."`
	AtATime  int           `name:"at-a-time" default:"256" help:"Users who reconnect at the same time."`
	Chatting int           `name:"chatting" default:"20" help:"Pairs of other users, who stay connected and send messages."`
	Rate     float64       `name:"rate" default:"200" help:"Messages per second that these pairs send in all, at fixed times."`
	Duration time.Duration `name:"duration" default:"5s" help:"Measured time before the cut, at most 10m."`
}

func (*Storm) Name() string { return "storm" }

func (s *Storm) Help() string {
	return `Users log in by token and stay idle, while pairs of others send messages. After --duration
all idle connections are cut at once, as by a failing switch. Their users return by token,
--at-a-time of them at a time. If the server is too busy (errno 9), they wait as long as it
asks.

The pairs send at fixed times (--rate), and a message's latency counts from its due time, even
if it was sent later. A closed loop would send less while the server stalls and hide the
stall, which Gil Tene calls coordinated omission.

Measured: seconds until all are back, connections per second meanwhile, and "connect and
log in"; the pairs' latencies from a message's due time to the receiver's read, "end to end
before" and "end to end during" the storm.

Checked: the pairs' conversations as in "stream"; every connection answers at the end.`
}

func (s *Storm) Check() error {
	var bad flagErrors
	bad.checkConns("--conns", s.Conns, maxConns)
	bad.inRange("--at-a-time", s.AtATime, 1, maxAtATime)
	bad.inRange("--chatting", s.Chatting, 1, maxPairs)
	bad.check(s.Rate > 0, "--rate: %g is not above 0, but the pairs send in an open loop", s.Rate)
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
	pool := load.NewIdlePool(s.Conns)
	defer pool.Close()
	if err := s.loginAll(ctx, s.loginWorkers(env, nil), users, pool); err != nil {
		return err
	}
	if err := g.AddPairs(ctx, accounts, proto.ONE_CHAT, true, acks, before); err != nil {
		return err
	}

	g.Start(ctx)
	err = s.beforeCut(g, pool)
	// Messages that are still in flight count for the storm.
	during.Recorders, before.Recorders = before.Recorders, nil
	if err == nil {
		err = s.cutAndReconnect(g, users, pool, back)
	}
	broken := g.Finish() // the first error of a sender may be the cause of err
	g.Take()
	g.AddTo(env.Report)
	g.ReportSchedule(env.Report)
	if broken != nil {
		return broken
	}
	if err != nil {
		return err
	}
	env.Progress.Show("checking that every connection answers")
	pool.CheckAll(env.Faults)
	return nil
}

// loginWorkers returns the workers that log users in. If m isn't nil, it
// measures the logins.
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

func (s *Storm) loginAll(ctx context.Context, workers []*load.LoginWorker, users []load.Account, p *load.IdlePool) error {
	return load.ForEachLogin(ctx, workers, s.Conns, func(ctx context.Context, w *load.LoginWorker, i int) error {
		c, _, err := w.Login(ctx, w.Server.AddrOf(i), users[i])
		if err == nil {
			p.Put(i, c)
		}
		return err
	})
}

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

// cutAndReconnect closes all idle connections and logs their users in again.
func (s *Storm) cutAndReconnect(g *load.Generator, users []load.Account, p *load.IdlePool, back *load.Metric) error {
	began, started := g.Server.Usage(g.Report), time.Now()
	p.Reset()
	var err error
	done := make(chan struct{})
	workers := s.loginWorkers(g.Env, back)
	go func() {
		defer close(done)
		err = s.loginAll(g.Running, workers, users, p)
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
