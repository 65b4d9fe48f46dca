package scenario

import (
	"context"
	"errors"
	"time"

	"chatd/bench/load"
	"chatd/bench/report"
	"chatd/bench/target"
)

const (
	maxConns   = 1_000_000
	maxAtATime = 1024
)

// Connect measures what idle connections cost.
type Connect struct {
	Conns    int           `name:"conns" default:"10000" help:"Connections, each of a different user."`
	AtATime  int           `name:"at-a-time" default:"64" help:"Connections that are being established at the same time."`
	Duration time.Duration `name:"duration" default:"10s" help:"How long to measure idle connections, at most 10m."`
	Ping     time.Duration `name:"ping" default:"30s" help:"How often each connection sends PING, as clients do. 0: never, so the server closes it after its --idle-timeout."`
}

func (*Connect) Name() string { return "connect" }

func (c *Connect) Help() string {
	return `Users are registered and log in once for their tokens. Then a server that chatbench has
started is restarted, so that its memory is that of a fresh server, and all users connect
and log in by token, as after a restart in production.

Measured: connections per second, and the time from connecting to LOGIN_ACK; the server's
resident memory and live heap per connection, after garbage collection; the CPU time of
--duration with nothing but PING. Memory of mapped files is the kernel's cache and is
reported separately. The kernel's socket buffers (about 5 KiB per end) are in no figure.

Checked: every connection answers at the end.`
}

func (c *Connect) Check() error {
	var bad flagErrors
	bad.checkConns("--conns", c.Conns, maxConns)
	bad.check(c.AtATime >= 1 && c.AtATime <= maxAtATime, "--at-a-time: %d is not between 1 and %d", c.AtATime, maxAtATime)
	bad.check(c.Duration > 0 && c.Duration <= load.MaxDuration, "--duration: %s is out of range: above 0, at most %s", c.Duration, load.MaxDuration)
	bad.check(c.Ping == 0 || c.Ping >= time.Second && c.Ping <= load.MaxDuration, "--ping: %s is neither 0 nor between 1s and %s", c.Ping, load.MaxDuration)
	return bad.join()
}

func (c *Connect) Run(ctx context.Context, env *load.Env) error {
	users, err := load.NewAccounts(env.Server).RegisterAll(ctx, env.Progress, 0, c.Conns)
	if err != nil {
		return err
	}
	env.Progress.Show("restarting the server")
	if err := env.Server.Restart(ctx); err != nil {
		return err
	}

	var before, after target.Usage
	var heapBefore, heapAfter int64
	known := env.Server.HasProcesses()
	if known {
		env.Progress.Show("waiting for the server's memory to settle")
		if before, heapBefore, err = env.Server.Memory(ctx, env.Report); err != nil {
			return err
		}
	}

	pool := load.NewIdlePool(c.Conns)
	defer pool.Close()
	if err := c.connectAll(ctx, env, users, pool); err != nil {
		return err
	}
	// From here on the connections need keep-alives.
	ctx, cancel := context.WithCancel(ctx)
	kept := make(chan error, 1)
	go func() { kept <- pool.KeepAlive(ctx, c.Ping) }()
	err = func() error {
		if known {
			env.Progress.Show("%d connections are up; waiting for the server's memory to settle", c.Conns)
			if after, heapAfter, err = env.Server.Memory(ctx, env.Report); err != nil {
				return err
			}
			share := func(v int64) float64 { return float64(v) / 1024 / float64(c.Conns) }
			env.Report.AddFigure("server memory per connection", share(after.Total.Private-before.Total.Private), "KiB", report.Lower)
			env.Report.AddFigure("the same with pages of files", share(after.Total.RSS-before.Total.RSS), "KiB", report.Lower)
			for i, p := range after.Processes {
				env.Report.AddFigure(p.Name+" memory per connection", share(p.Private-before.Processes[i].Private), "KiB", report.Lower)
			}
			if heapAfter != 0 {
				env.Report.AddFigure("server live heap per connection", share(heapAfter-heapBefore), "KiB", report.Lower)
			}
		}
		return c.observe(ctx, env)
	}()
	cancel()
	if err := errors.Join(err, <-kept); err != nil {
		return err
	}
	env.Progress.Show("checking that every connection answers")
	pool.CheckAll(env.Faults)
	return nil
}

func (c *Connect) connectAll(ctx context.Context, env *load.Env, users []load.Account, p *load.IdlePool) error {
	logins := load.NewMetric("logins", "connect and log in")
	r := logins.NewRecorder()
	before, started := env.Server.Usage(env.Report), time.Now()
	err := load.ForEach(ctx, c.Conns, c.AtATime, env.Progress, "connections", func(ctx context.Context, i int) error {
		began := env.Clock.Now()
		conn, err := load.LoginByToken(ctx, env.Server.AddrOf(i), users[i])
		if err != nil {
			return err
		}
		r.Add([]int64{env.Clock.Now() - began})
		p.Put(i, conn)
		return nil
	})
	elapsed := time.Since(started)
	if err != nil {
		return err
	}
	after := env.Server.Usage(env.Report)
	logins.Collect(nil)
	env.Report.AddFigure("coming up", float64(c.Conns)/elapsed.Seconds(), "connections per second", report.Higher)
	if after.Total != nil && before.Total != nil {
		cpu := (after.Total.CPU - before.Total.CPU).Seconds() / float64(c.Conns)
		env.Report.AddFigure("server CPU per login", cpu*1e6, "µs", report.Lower)
	}
	env.Report.AddLatency(logins.LatencyName, logins.Total)
	return nil
}

// observe measures the CPU time of idle connections.
func (c *Connect) observe(ctx context.Context, env *load.Env) error {
	before, started := env.Server.Usage(env.Report), time.Now()
	for end := started.Add(c.Duration); time.Now().Before(end) && ctx.Err() == nil; {
		env.Progress.Show("%d connections idle: %s left", c.Conns, time.Until(end).Round(time.Second))
		_ = load.Sleep(ctx, min(load.SampleInterval, time.Until(end))) // the loop condition sees an interruption
	}
	elapsed := time.Since(started)
	env.Report.Seconds = elapsed.Seconds()
	target.AddCost(env.Report, before, env.Server.Usage(env.Report), 0, elapsed)
	return ctx.Err()
}
