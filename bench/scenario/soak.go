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
	// soakGroups is the share of messages that go to groups.
	soakGroups = 0.1
	// soakShare is the share of the server's capacity that a soak uses. The
	// server must be busy but never refuse a message.
	soakShare = 0.5
	// Calibration is a Stream with these settings, followed by a Mix.
	calibratePairs  = 50
	calibrateWindow = 16
	calibrateFor    = 5 * time.Second
	// A slow store may need this long to store what all windows hold.
	calibratePatience = 2 * time.Minute
)

// Soak checks for leaks: memory, goroutines and file descriptors must not grow
// over a long time.
type Soak struct {
	Rate     float64       `name:"rate" default:"0" help:"Messages per second in all. 0: half of the rate that the server acknowledges in five seconds of overload, measured first."`
	Users    int           `name:"users" default:"200" help:"Users, in pairs of friends. Each is in one group."`
	Members  int           `name:"members" default:"20" help:"Members of each group. Groups get a tenth of all messages."`
	Leave    float64       `name:"leave" default:"2" help:"Users per second who lose their connection, and return by token."`
	Away     time.Duration `name:"away" default:"2s" help:"How long they stay offline on average, at most 1m."`
	Size     int           `name:"size" default:"100" help:"Bytes of text in each message."`
	Duration time.Duration `name:"duration" default:"30m" help:"Measured time, at most 48h."`
	Warmup   time.Duration `name:"warmup" default:"2m" help:"Unmeasured time before that, in which caches fill."`
	Every    time.Duration `name:"every" default:"10s" help:"How often the server's processes are sampled."`
	Patience time.Duration `name:"patience" default:"15s" help:"How long to wait for missing messages at the end before they count as lost."`
}

func (*Soak) Name() string { return "soak" }

func (s *Soak) Help() string {
	return `Friends send messages to each other and to their groups, and some lose their connection
and return: an open loop as in "mix", for a long time, at a rate that keeps the server busy.
The server's processes are sampled every --every: memory, memory without mapped files,
Go's heap goal (about twice the live heap), goroutines, file descriptors.

At the end the median of the last third is compared with that of the first third. A node that
has grown by more than a percentage plus a fixed amount fails the run (exit code 1):
` + report.SoakBounds() + `
MariaDB and Redis are sampled but not judged, since they fill the memory they are given.

Checked: what users receive, as in "mix".`
}

func (s *Soak) Check() error {
	m := s.mixFor(s.Rate)
	bad := flagErrors{}
	if err := m.Check(); err != nil {
		bad = append(bad, err)
	}
	bad.check(s.Rate == 0 || s.Rate > 0 && s.Rate <= maxRate, "--rate: %g is neither 0 nor above it and at most %d", s.Rate, maxRate)
	bad.check(s.Leave >= 0 && s.Leave <= maxRate, "--leave: %g is not between 0 and %d", s.Leave, maxRate)
	bad.check(s.Duration > 0 && s.Duration <= maxSoak, "--duration: %s is out of range: above 0, at most %s", s.Duration, maxSoak)
	bad.check(s.Warmup >= 0 && s.Warmup <= maxSoak, "--warmup: %s is not between 0 and %s", s.Warmup, maxSoak)
	bad.check(s.Every > 0 && s.Duration/3 >= s.Every, "--every: %s is too long: each third of --duration needs at least one sample", s.Every)
	return bad.join()
}

// mixFor returns the load of a soak. Mix counts rates per second and 1000
// users.
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
		env.Report.AddNote("under overload the server acknowledged %s messages per second, so --rate is %.0f", report.FormatCount(reached), rate)
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
		err = fmt.Errorf("sample the server: %w", watchErr)
	}
	return err
}

// calibrate returns how many messages per second the server acknowledges under
// overload. It first measures a closed loop of pairs, then asks a Mix for the
// same rate, which costs the server more because group messages go to many.
// Each of the two takes d. Faults count as in the run itself; the figures are
// dropped.
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
		return 0, fmt.Errorf("the server broke %d promises, first: %s", n, first[0])
	}
	for _, f := range inner.Report.Figures {
		if f.Name == load.Acknowledged && f.Value > 0 {
			return f.Value, ctx.Err()
		}
	}
	return 0, errors.New("no message was acknowledged")
}

// closedLoop returns how many messages per second of pairs the server
// acknowledges in a closed loop.
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
