package scenario

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"chatd/bench/load"
	"chatd/bench/report"
	"chatd/bench/target"
	"chatd/proto"
)

const (
	// recoveryTime is what passes, unmeasured, after a bully's turn: what it had
	// on the way is answered by then. Its beginning is measured: what comes before
	// the limits take hold is most of what it does to a server that has some.
	recoveryTime = 500 * time.Millisecond
	// quietWindow is what a quiet sender may have on the way: what is due is
	// sent, however late the server is.
	quietWindow = 64
	// maxNoisyUsers and maxBullyConns bound who shouts: a user has 8 devices.
	maxNoisyUsers, maxNoisyConns = 64, 8
	maxRounds                    = 100
)

// NoisyNeighbor is the scenario of one who shouts among the quiet.
type NoisyNeighbor struct {
	Pairs      int           `name:"pairs" default:"10" help:"Pairs of quiet users: one writes to the other."`
	Rate       float64       `name:"rate" default:"200" help:"Messages per second that all quiet ones together write, each at its time."`
	Kind       string        `name:"kind" default:"chat" enum:"chat,event,sync" help:"What a bully sends: chat, which is stored; event; or sync, which reads 200 messages of the log."`
	NoisyUsers int           `name:"bullies" default:"1" help:"Users who bully."`
	Conns      int           `name:"conns" default:"1" help:"Connections that each of them has, each with a full window."`
	Window     int           `name:"window" default:"256" help:"Messages, or requests, that each of these keeps on the way."`
	Size       int           `name:"size" default:"100" help:"Text of each message."`
	Rounds     int           `name:"rounds" default:"5" help:"How often the quiet ones are measured alone and beside the bullies, by turns."`
	Turn       time.Duration `name:"turn" default:"4s" help:"How long each turn is measured, at most 10m."`
	Patience   time.Duration `name:"patience" default:"15s" help:"What is on the way may take so long at the end; then it is lost."`
	Most       float64       `name:"most" default:"0" help:"Fail where the quiet ones' p99, end to end, is more than so many times what it is alone. 0: only tell."`
}

func (*NoisyNeighbor) Name() string { return "bully" }

func (n *NoisyNeighbor) Help() string {
	return `Quiet pairs write to each other at a low rate, stored messages in an open loop, by turns
alone and beside bullies: connections that send as fast as they can with a full window, take
no notice of the pauses that the server asks for, and come back at once when they are
kicked. Told are the quiet ones' latencies both ways, the ratio of their p99, as the median
of all rounds, and what the bullies got.

A started server has --no-limits; --limits gives it the limits that it has by default.
Checked are the quiet pairs' conversations, as in "stream". Bullies share this program's
CPU time, of which "behind schedule" is what the quiet ones' part had to wait for.`
}

func (n *NoisyNeighbor) Check() error {
	t := n.quietTraffic()
	t.Duration, t.Warmup = n.Turn, 0
	var bad flagErrors
	if err := t.validate(proto.MaxMsg, quietWindow); err != nil {
		bad = append(bad, err)
	}
	bad.check(n.Rate > 0, "--rate: %g is not above 0: the quiet ones are an open loop", n.Rate)
	bad.check(n.Kind != "event" || n.Size <= proto.MaxData, "--size: %d; an event has at most %d", n.Size, proto.MaxData)
	bad.inRange("--bullies", n.NoisyUsers, 1, maxNoisyUsers)
	bad.inRange("--conns", n.Conns, 1, maxNoisyConns)
	bad.inRange("--window", n.Window, 1, maxStreamWindow)
	bad.inRange("--rounds", n.Rounds, 1, maxRounds)
	bad.checkDuration("--turn", n.Turn)
	bad.check(n.Most == 0 || n.Most >= 1, "--most: %g is neither 0 nor 1 or more", n.Most)
	return bad.join()
}

// quietTraffic is the load of those who are.
func (n *NoisyNeighbor) quietTraffic() trafficFlags {
	return trafficFlags{pairFlags: pairFlags{Pairs: n.Pairs, messageFlags: messageFlags{Size: n.Size, Duration: load.MaxDuration, Patience: n.Patience}},
		Window: quietWindow, Rate: n.Rate}
}

// turns is what the quiet ones saw in all turns of a kind.
type turns struct {
	acks, pushes *load.Metric
	p99          []float64 // of pushes, turn by turn
	all          [2]*hdrhistogram.Histogram
}

func newTurns(g *load.Generator, what string) *turns {
	return &turns{acks: g.AddMetric("acknowledged "+what, "ack "+what), pushes: g.AddMetric("delivered "+what, "end to end "+what),
		all: [2]*hdrhistogram.Histogram{report.NewHistogram(), report.NewHistogram()}}
}

// begin has the meters of what came before count for these turns.
func (t *turns) begin(from *turns) {
	t.acks.Recorders, from.acks.Recorders = from.acks.Recorders, nil
	t.pushes.Recorders, from.pushes.Recorders = from.pushes.Recorders, nil
}

// end closes a turn.
func (t *turns) end() {
	if t.pushes.Total.TotalCount() > 0 {
		t.p99 = append(t.p99, float64(t.pushes.Total.ValueAtPercentile(99)))
	}
	for i, m := range []*load.Metric{t.acks, t.pushes} {
		t.all[i].Merge(m.Total)
		m.Total.Reset()
	}
}

// close leaves the sums in the gauges, for the report.
func (t *turns) close() { t.acks.Total, t.pushes.Total = t.all[0], t.all[1] }

func (n *NoisyNeighbor) Run(ctx context.Context, env *load.Env) error {
	t := n.quietTraffic()
	g := load.NewGenerator(env, t.config())
	g.MixedCosts = true
	defer g.CloseAll()
	accounts := load.NewAccounts(env.Server)
	alone, beside := newTurns(g, "alone"), newTurns(g, "beside")
	between := newTurns(&load.Generator{}, "") // is measured by nobody
	if err := g.AddPairs(ctx, accounts, proto.ONE_CHAT, true, alone.acks, alone.pushes); err != nil {
		return err
	}
	between.begin(alone)
	got := &load.NoisyCounters{}
	shouters, err := n.loginSenders(ctx, env, accounts, got)
	defer func() {
		for _, s := range shouters {
			s.Close()
		}
	}()
	if err != nil {
		return fmt.Errorf("a bully: %w", err)
	}

	g.Start(ctx)
	began, started := env.Server.Usage(env.Report), time.Now()
	var loud time.Duration
	g.Observe("settling", 2*recoveryTime, nil)
	for i := range 2 * n.Rounds {
		if g.Running.Err() != nil {
			break
		}
		// A B, B A, …: what drifts meets both.
		if i%4 == 0 || i%4 == 3 {
			n.runTurn(g, alone, between, "alone")
			continue
		}
		calm, quieten := context.WithCancel(g.Running)
		var shouting sync.WaitGroup
		for _, s := range shouters {
			shouting.Go(func() { s.Run(calm) })
		}
		got.Counting.Store(true)
		at := time.Now()
		n.runTurn(g, beside, between, "beside")
		loud += time.Since(at)
		got.Counting.Store(false)
		quieten()
		shouting.Wait()
		g.Observe("a bully ends", recoveryTime, nil)
		g.Tick("", 0)
	}
	elapsed, after := time.Since(started), env.Server.Usage(env.Report)
	err = g.Finish()
	alone.close()
	beside.close()
	env.Report.Seconds = elapsed.Seconds()
	g.AddTo(env.Report)
	g.ReportSchedule(env.Report)
	n.addFigures(env.Report, alone, beside, got, loud)
	target.AddCost(env.Report, began, after, 0, elapsed)
	if err != nil || ctx.Err() != nil {
		return err
	}
	return n.checkMost(env.Report)
}

// runTurn measures one turn.
func (n *NoisyNeighbor) runTurn(g *load.Generator, t, between *turns, what string) {
	t.begin(between)
	g.Observe(what, n.Turn, nil)
	g.Tick("", 0)
	t.end()
	between.begin(t)
}

// loginSenders has all bullies log in, and each have a friend who listens. Beside an
// error, those that are there are to leave.
func (n *NoisyNeighbor) loginSenders(ctx context.Context, env *load.Env, accounts *load.Accounts, got *load.NoisyCounters) (all []*load.NoisySender, err error) {
	number := 2 * n.Pairs
	for range n.NoisyUsers {
		to, peer, _, err := accounts.Register(ctx, number, false)
		if err != nil {
			return all, err
		}
		ears := load.NewSink(to)
		from, me, _, err := accounts.Register(ctx, number+1, false)
		if err != nil {
			ears.Close()
			return all, err
		}
		from.Abort()
		for i := range n.Conns {
			s := &load.NoisySender{Env: env, Kind: n.Kind, Size: n.Size, Window: n.Window, Counters: got, Addr: env.Server.AddrOf(number + 1), Peer: peer.ID}
			if i == 0 {
				s.Sink = ears
			}
			all = append(all, s)
			if err := s.Login(ctx, accounts, me, fmt.Sprintf("bully %d", i)); err != nil {
				return all, err
			}
		}
		number += 2
	}
	return all, nil
}

// addFigures says how the quiet ones fared, and what the bullies got.
func (b *NoisyNeighbor) addFigures(rep *report.Report, alone, beside *turns, got *load.NoisyCounters, loud time.Duration) {
	for i, what := range []string{"ack", "end to end"} {
		a, z := alone.all[i], beside.all[i]
		for _, q := range []float64{50, 99} {
			if v := a.ValueAtPercentile(q); v > 0 {
				rep.AddFigure(fmt.Sprintf("%s p%g, beside to alone", what, q), float64(z.ValueAtPercentile(q))/float64(v), "times", report.Lower)
			}
		}
	}
	if n := min(len(alone.p99), len(beside.p99)); n > 0 {
		ratios := make([]float64, n)
		for i := range ratios {
			ratios[i] = beside.p99[i] / max(alone.p99[i], 1)
		}
		rep.AddFigure(NoisyRatio, report.Median(ratios), "times", report.Lower)
		rep.AddNote("p99 end to end beside a bully, to alone, round by round: %.2f", ratios)
	}
	per := max(loud.Seconds(), 1e-9)
	for _, f := range []struct {
		name string
		n    int64
		way  string
	}{{"sent", got.Sent.Load(), report.Lower}, {"acknowledged", got.Acked.Load(), report.Higher}, {"refused with errno 9", got.Refused.Load(), report.Lower},
		{"refused otherwise", got.Failed.Load(), report.Lower}} {
		rep.AddFigure("bullies: "+f.name, float64(f.n)/per, "per second", f.way)
	}
	rep.AddFigure("bullies: kicked", float64(got.Kicked.Load()), "times", report.Lower)
}

// NoisyRatio is the figure that --most is about.
const NoisyRatio = "end to end p99, beside to alone, median of rounds"

// checkMost says whether the quiet ones were left in peace.
func (n *NoisyNeighbor) checkMost(rep *report.Report) error {
	for _, f := range rep.Figures {
		if f.Name == NoisyRatio && n.Most > 0 && f.Value > n.Most {
			return fmt.Errorf("beside a bully the quiet ones' p99 is %.2f times what it is alone, and --most is %g", f.Value, n.Most)
		}
	}
	return nil
}
