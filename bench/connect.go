package main

import (
	"context"
	"errors"
	"time"
)

const (
	maxConns   = 1_000_000
	maxAtATime = 1024
)

// connect is the scenario of idle connections.
type connect struct {
	Conns    int           `name:"conns" default:"10000" help:"Connections, each of a user of its own."`
	AtATime  int           `name:"at-a-time" default:"64" help:"Connections that come up at the same time."`
	Duration time.Duration `name:"duration" default:"10s" help:"How long they are watched once all are up, at most 10m."`
	Ping     time.Duration `name:"ping" default:"30s" help:"How often each sends PING, as clients do; 0: never, which the server ends after its --idle-timeout."`
}

func (*connect) name() string { return "connect" }

func (c *connect) Help() string {
	return `Users are registered first, and log in once for their tokens. Then a started server is
started again, so that its memory is that of a server that has done nothing yet, and
all users connect and log in by token, as after a restart in the field.

Measured are connections per second, and the time from connecting to LOGIN_ACK; the
server's resident memory and live heap per connection, each after it has collected its
garbage (pages of files that it maps are the kernel's cache, and told apart); and the CPU time of --duration with nothing but PING. Checked is that every
connection still answers in the end. The kernel's memory for sockets (some 5 KiB for
each end) is in none of these figures.`
}

func (c *connect) validate() error {
	var bad complaints
	bad.checkConns("--conns", c.Conns, maxConns)
	bad.check(c.AtATime >= 1 && c.AtATime <= maxAtATime, "--at-a-time: %d is not between 1 and %d", c.AtATime, maxAtATime)
	bad.check(c.Duration > 0 && c.Duration <= maxDuration, "--duration: %s is not above 0 and at most %s", c.Duration, maxDuration)
	bad.check(c.Ping == 0 || c.Ping >= time.Second && c.Ping <= maxDuration, "--ping: %s is neither 0 nor between 1s and %s", c.Ping, maxDuration)
	return bad.join()
}

func (c *connect) run(ctx context.Context, r *rig) error {
	users, err := newRecruits(r.server).enroll(ctx, r.progress, 0, c.Conns)
	if err != nil {
		return err
	}
	r.progress.line("restarting the server")
	if err := r.server.restart(ctx); err != nil {
		return err
	}

	var before, after usage
	var heapBefore, heapAfter int64
	known := r.server.known()
	if known {
		r.progress.line("waiting for the server's memory to settle")
		if before, heapBefore, err = r.server.memory(ctx, r.report); err != nil {
			return err
		}
	}

	fleet := newFleet(c.Conns)
	defer fleet.abort()
	if err := c.comeUp(ctx, r, users, fleet); err != nil {
		return err
	}
	// From here on each of them has to be kept alive.
	ctx, cancel := context.WithCancel(ctx)
	kept := make(chan error, 1)
	go func() { kept <- fleet.keep(ctx, c.Ping) }()
	err = func() error {
		if known {
			r.progress.line("%d connections are up; waiting for the server's memory to settle", c.Conns)
			if after, heapAfter, err = r.server.memory(ctx, r.report); err != nil {
				return err
			}
			share := func(v int64) float64 { return float64(v) / 1024 / float64(c.Conns) }
			r.report.figure("server memory per connection", share(after.server.private-before.server.private), "KiB", lower)
			r.report.figure("the same with pages of files", share(after.server.rss-before.server.rss), "KiB", lower)
			for i, p := range after.parts {
				r.report.figure(p.name+" memory per connection", share(p.private-before.parts[i].private), "KiB", lower)
			}
			if heapAfter != 0 {
				r.report.figure("server live heap per connection", share(heapAfter-heapBefore), "KiB", lower)
			}
		}
		return c.watch(ctx, r)
	}()
	cancel()
	if err := errors.Join(err, <-kept); err != nil {
		return err
	}
	r.progress.line("every connection answers once more")
	fleet.roll(r.faults)
	return nil
}

// comeUp connects all users and logs them in.
func (c *connect) comeUp(ctx context.Context, r *rig, users []account, f *fleet) error {
	logins := newGauge("logins", "connect and log in")
	m := logins.meter()
	before, started := r.server.usage(r.report), time.Now()
	err := each(ctx, c.Conns, c.AtATime, r.progress, "connections", func(ctx context.Context, i int) error {
		began := r.clock.now()
		conn, err := enterByToken(ctx, r.server.addrOf(i), users[i])
		if err != nil {
			return err
		}
		m.add([]int64{r.clock.now() - began})
		f.put(i, conn)
		return nil
	})
	elapsed := time.Since(started)
	if err != nil {
		return err
	}
	after := r.server.usage(r.report)
	logins.collect(nil)
	r.report.figure("coming up", float64(c.Conns)/elapsed.Seconds(), "connections per second", higher)
	if after.server != nil && before.server != nil {
		cpu := (after.server.cpu - before.server.cpu).Seconds() / float64(c.Conns)
		r.report.figure("server CPU per login", cpu*1e6, "µs", lower)
	}
	r.report.latency(logins.delay, logins.total)
	return nil
}

// watch sees what the idle connections cost.
func (c *connect) watch(ctx context.Context, r *rig) error {
	before, started := r.server.usage(r.report), time.Now()
	for end := started.Add(c.Duration); time.Now().Before(end) && ctx.Err() == nil; {
		r.progress.line("%d connections idle: %s left", c.Conns, time.Until(end).Round(time.Second))
		_ = sleep(ctx, min(tickEvery, time.Until(end))) // cut short: seen above
	}
	elapsed := time.Since(started)
	r.report.Seconds = elapsed.Seconds()
	addCost(r.report, before, r.server.usage(r.report), 0, elapsed)
	return ctx.Err()
}
