package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatd/bench/load"
	"chatd/bench/report"
	"chatd/bench/target"
	"chatd/proto"
)

const (
	// maxSoak is how long a soak may last.
	maxSoak = 48 * time.Hour
	// soakGroups is the part of all messages that goes to groups.
	soakGroups = 0.1
	// soakShare is the part of what a server reaches that it is soaked with:
	// it must be busy, and must never have to refuse.
	soakShare = 0.5
	// A calibration is a stream with these, and then the day itself; it finds a rate,
	// no figure.
	calibratePairs  = 50
	calibrateWindow = 16
	calibrateFor    = 5 * time.Second
	// What fills all windows may take a slow store so long.
	calibratePatience = 2 * time.Minute
)

// Soak is the scenario of a long time: does a server stay as it was?
type Soak struct {
	Rate     float64       `name:"rate" default:"0" help:"Messages per second in all. 0: half of what the same people get acknowledged first, within five seconds, when they say all that they can."`
	Users    int           `name:"users" default:"200" help:"Users, in pairs of friends; each is in one group."`
	Members  int           `name:"members" default:"20" help:"Members of each group, which get a tenth of all messages."`
	Leave    float64       `name:"leave" default:"2" help:"Users per second who lose their connection, and come back by token."`
	Away     time.Duration `name:"away" default:"2s" help:"How long they are away on average, at most 1m."`
	Size     int           `name:"size" default:"100" help:"Text of each message."`
	Duration time.Duration `name:"duration" default:"30m" help:"How long the server is watched, at most 48h."`
	Warmup   time.Duration `name:"warmup" default:"2m" help:"How long the load runs before that: caches fill."`
	Every    time.Duration `name:"every" default:"10s" help:"How often the server's processes are looked at."`
	Patience time.Duration `name:"patience" default:"15s" help:"What is on the way may take so long at the end; then it is lost."`
}

func (*Soak) Name() string { return "soak" }

func (s *Soak) Help() string {
	return `Friends write to each other and to their groups, and some lose their connection and come
back: an open loop as in "mix", for a long time and at a rate that keeps the server busy.
Every --every the server's processes are looked at: memory, memory that is no page of a
file, Go's heap goal (what lives, doubled), goroutines, file descriptors.

At the end the median of the first third is compared with that of the last. A node that is
not flat fails the run (exit code 1). Flat is what has grown by no more than
` + report.SoakBounds() + `
MariaDB and Redis are looked at and not judged: they fill the memory that they were given.
What a user is to get is checked as in "mix".`
}

func (s *Soak) Check() error {
	m := s.mixFor(s.Rate)
	bad := flagErrors{}
	if err := m.Check(); err != nil {
		bad = append(bad, err)
	}
	bad.check(s.Rate == 0 || s.Rate > 0 && s.Rate <= maxRate, "--rate: %g is neither 0 nor above it and at most %d", s.Rate, maxRate)
	bad.check(s.Leave >= 0 && s.Leave <= maxRate, "--leave: %g is not between 0 and %d", s.Leave, maxRate)
	bad.check(s.Duration > 0 && s.Duration <= maxSoak, "--duration: %s is not above 0 and at most %s", s.Duration, maxSoak)
	bad.check(s.Warmup >= 0 && s.Warmup <= maxSoak, "--warmup: %s is not between 0 and %s", s.Warmup, maxSoak)
	bad.check(s.Every > 0 && s.Duration/3 >= s.Every, "--every: %s; each third of --duration needs a look at least", s.Every)
	return bad.join()
}

// mixFor is the day that a soak is, with rates as mix has them: per second and
// 1000 users. Its times are checked here.
func (s *Soak) mixFor(rate float64) *Mix {
	per := 1000 / float64(max(s.Users, 1))
	return &Mix{Users: s.Users, Members: s.Members, Chats: (1 - soakGroups) * max(rate, 0) * per, Groups: soakGroups * max(rate, 0) * per,
		Leave: max(s.Leave, 0) * per, Away: s.Away, Size: s.Size, Duration: time.Second, Patience: s.Patience}
}

func (s *Soak) Run(ctx context.Context, env *load.Env) error {
	if !env.Server.HasProcesses() {
		return errors.New("soak: the server's processes are unknown: give each with --pid, and --http for its heap and goroutines")
	}
	rate := s.Rate
	if rate == 0 {
		reached, err := s.calibrate(ctx, env, calibrateFor)
		if err != nil {
			return fmt.Errorf("calibrate: %w", err)
		}
		rate = soakShare * reached
		env.Report.AddNote("saying all that they could, they got %s messages per second acknowledged: --rate %.0f", report.FormatCount(reached), rate)
	}
	m := s.mixFor(rate)
	m.Duration, m.Warmup = s.Duration, s.Warmup
	w := target.NewMonitor(env.Server, s.Every)
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	m.started = func() { w.Start(watching, s.Warmup) }
	err := m.Run(ctx, env)
	cancel()
	watchErr := w.Wait()
	env.Report.Soak = w.Result()
	if err == nil && watchErr != nil {
		err = fmt.Errorf("watch the server: %w", watchErr)
	}
	return err
}

// calibrate says how many messages per second the server acknowledges when as
// many are asked for as a closed loop of pairs reaches: that is mostly more than it can
// carry, as a message to a group goes to many. Both are measured for so long. What they
// report is dropped, but for broken promises.
func (s *Soak) calibrate(ctx context.Context, env *load.Env, d time.Duration) (float64, error) {
	inner := *env
	inner.Report = &report.Report{}
	reached, err := s.closedLoop(ctx, &inner, d)
	if err != nil {
		return 0, err
	}
	m := s.mixFor(reached)
	m.Duration, m.Warmup, m.Patience = d, d/5, calibratePatience
	inner.Report = &report.Report{}
	if err := m.Run(ctx, &inner); err != nil {
		return 0, err
	}
	if n, first := env.Faults.Summary(); n > 0 {
		return 0, fmt.Errorf("%d faults already: %s", n, first[0])
	}
	for _, f := range inner.Report.Figures {
		if f.Name == load.Acknowledged && f.Value > 0 {
			return f.Value, ctx.Err()
		}
	}
	return 0, errors.New("nothing was acknowledged")
}

// closedLoop says how many messages per second the server acknowledges of pairs
// who always have some on the way.
func (s *Soak) closedLoop(ctx context.Context, env *load.Env, d time.Duration) (float64, error) {
	g := load.NewGenerator(env, load.Config{SenderCount: calibratePairs, Window: calibrateWindow, Size: s.Size, Duration: d, Warmup: d / 5, Patience: s.Patience})
	defer g.CloseAll()
	acks, pushes := g.AddMetric(load.Acknowledged, "ack"), g.AddMetric("delivered", "end to end")
	if err := g.AddPairs(ctx, load.NewAccounts(env.Server), proto.ONE_CHAT, true, acks, pushes); err != nil {
		return 0, err
	}
	if err := g.Measure(ctx); err != nil {
		return 0, err
	}
	return float64(acks.Total.TotalCount()) / env.Report.Seconds, nil
}
