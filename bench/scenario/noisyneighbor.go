package scenario

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"chatd/bench/load"
	"chatd/bench/report"
	"chatd/bench/target"
	"chatd/proto"
)

const (
	// recoveryTime is the unmeasured time after noisy senders stop, in which
	// their outstanding messages are answered. There is none before they start:
	// what they do until rate limits take effect is most of the damage on a
	// server that has limits.
	recoveryTime = 500 * time.Millisecond
	// quietWindow is the window of a quiet sender. It is large, so that
	// messages are sent when due.
	quietWindow = 64
	// maxNoisyUsers and maxNoisyConns bound the noisy senders. A user has at
	// most 8 devices.
	maxNoisyUsers, maxNoisyConns = 64, 8
	// maxNoisyPeers is the most members of a group by default, less the noisy user.
	maxNoisyPeers = 10_000
	// storedForSync is how many messages a noisy user stores, to read them.
	storedForSync = proto.MaxSyncMessages
	maxRounds     = 100
)

// NoisyNeighbor measures what users who send as fast as they can do to the
// latencies of others.
type NoisyNeighbor struct {
	Pairs      int           `name:"pairs" default:"10" help:"Pairs of quiet users. One sends, the other receives."`
	Rate       float64       `name:"rate" default:"200" help:"Messages per second that all quiet pairs send, at fixed times."`
	Kind       string        `name:"kind" default:"chat" enum:"chat,event,sync,conversations,friend,register" help:"What noisy users send: chat, which is stored; event; sync, which reads 200 messages; conversations, which reads 100 conversations; friend, which adds and removes a friend in turns; or register, which registers new users."`
	Peers      int           `name:"peers" default:"1" help:"With --kind event: if above 1, members of a group that get the events. With --kind conversations: other users that each noisy user has written to."`
	NoisyUsers int           `name:"bullies" default:"1" help:"Noisy users."`
	Conns      int           `name:"conns" default:"1" help:"Connections of each noisy user, each with a full window."`
	Window     int           `name:"window" default:"256" help:"Messages or requests that each of these connections keeps in flight."`
	Size       int           `name:"size" default:"100" help:"Bytes of text in each message."`
	Rounds     int           `name:"rounds" default:"5" help:"How many times to measure the quiet pairs alone and beside the noisy users, in turns."`
	Turn       time.Duration `name:"turn" default:"4s" help:"Measured time of each turn, at most 10m."`
	Patience   time.Duration `name:"patience" default:"15s" help:"How long to wait for missing messages at the end before they count as lost."`
	Most       float64       `name:"most" default:"0" help:"Fail if the quiet pairs' end to end p99 beside noisy users is more than this many times the one alone. 0: only report it."`
}

func (*NoisyNeighbor) Name() string { return "bully" }

func (n *NoisyNeighbor) Help() string {
	return `Quiet pairs send stored messages at a low rate in an open loop, in turns alone and beside
noisy users. Those send as fast as they can with a full window, ignore the waits that the
server asks for, and reconnect at once when they are kicked.

Measured: the quiet pairs' latencies in both cases, the median ratio of their p99 over all
rounds, and what the noisy users achieved. Noisy users share the CPU with the quiet pairs:
"behind schedule" shows how late the quiet pairs' messages were sent because of that.

Checked: the quiet pairs' conversations, as in "stream".

Started servers run with --no-limits. --limits gives them their default limits.`
}

func (n *NoisyNeighbor) Check() error {
	t := n.quietTraffic()
	t.Duration, t.Warmup = n.Turn, 0
	var bad flagErrors
	if err := t.validate(proto.MaxMsg, quietWindow); err != nil {
		bad = append(bad, err)
	}
	bad.check(n.Rate > 0, "--rate: %g is not above 0, but the quiet pairs send in an open loop", n.Rate)
	bad.check(n.Kind != "event" || n.Size <= proto.MaxData, "--size: %d is more than the %d bytes that an event may have", n.Size, proto.MaxData)
	bad.inRange("--bullies", n.NoisyUsers, 1, maxNoisyUsers)
	bad.inRange("--conns", n.Conns, 1, maxNoisyConns)
	bad.inRange("--peers", n.Peers, 1, maxNoisyPeers)
	bad.inRange("--window", n.Window, 1, maxStreamWindow)
	bad.inRange("--rounds", n.Rounds, 1, maxRounds)
	bad.checkDuration("--turn", n.Turn)
	bad.check(n.Most == 0 || n.Most >= 1, "--most: %g is neither 0 nor 1 or more", n.Most)
	return bad.join()
}

func (n *NoisyNeighbor) quietTraffic() trafficFlags {
	return trafficFlags{pairFlags: pairFlags{Pairs: n.Pairs, messageFlags: messageFlags{Size: n.Size, Duration: load.MaxDuration, Patience: n.Patience}},
		Window: quietWindow, Rate: n.Rate}
}

// turns holds what the quiet users saw in all turns of one kind.
type turns struct {
	acks, pushes *load.Metric
	p99          []float64 // of pushes, one per turn
	all          [2]*hdrhistogram.Histogram
}

func newTurns(g *load.Generator, what string) *turns {
	return &turns{acks: g.AddMetric("acknowledged "+what, "ack "+what), pushes: g.AddMetric("delivered "+what, "end to end "+what),
		all: [2]*hdrhistogram.Histogram{report.NewHistogram(), report.NewHistogram()}}
}

// begin takes over the recorders, which other turns have used until now.
func (t *turns) begin(from *turns) {
	t.acks.Recorders, from.acks.Recorders = from.acks.Recorders, nil
	t.pushes.Recorders, from.pushes.Recorders = from.pushes.Recorders, nil
}

// end adds a turn to the sums.
func (t *turns) end() {
	if t.pushes.Total.TotalCount() > 0 {
		t.p99 = append(t.p99, float64(t.pushes.Total.ValueAtPercentile(99)))
	}
	for i, m := range []*load.Metric{t.acks, t.pushes} {
		t.all[i].Merge(m.Total)
		m.Total.Reset()
	}
}

// close stores the sums in the metrics, for the report.
func (t *turns) close() { t.acks.Total, t.pushes.Total = t.all[0], t.all[1] }

func (n *NoisyNeighbor) Run(ctx context.Context, env *load.Env) error {
	t := n.quietTraffic()
	g := load.NewGenerator(env, t.config())
	g.MixedCosts = true
	defer g.CloseAll()
	accounts := load.NewAccounts(env.Server)
	alone, beside := newTurns(g, "alone"), newTurns(g, "beside")
	between := newTurns(&load.Generator{}, "") // the time between turns, which is dropped
	if err := g.AddPairs(ctx, accounts, proto.ONE_CHAT, true, alone.acks, alone.pushes); err != nil {
		return err
	}
	between.begin(alone)
	counters := &load.NoisyCounters{}
	senders, err := n.loginSenders(ctx, env, accounts, counters)
	defer func() {
		for _, s := range senders {
			s.Close()
		}
	}()
	if err != nil {
		return fmt.Errorf("noisy user: %w", err)
	}

	g.Start(ctx)
	began, started := env.Server.Usage(env.Report), time.Now()
	var noisyTime time.Duration
	g.Observe("settling", 2*recoveryTime, nil)
	for i := range 2 * n.Rounds {
		if g.Running.Err() != nil {
			break
		}
		// A B, B A, …: drift of the machine affects both alike.
		if i%4 == 0 || i%4 == 3 {
			n.runTurn(g, alone, between, "alone")
			continue
		}
		noisy, stopNoise := context.WithCancel(g.Running)
		var sending sync.WaitGroup
		for _, s := range senders {
			sending.Go(func() { s.Run(noisy) })
		}
		counters.Counting.Store(true)
		at := time.Now()
		n.runTurn(g, beside, between, "beside")
		noisyTime += time.Since(at)
		counters.Counting.Store(false)
		stopNoise()
		sending.Wait()
		g.Observe("noise ends", recoveryTime, nil)
		g.Tick("", 0)
	}
	elapsed, after := time.Since(started), env.Server.Usage(env.Report)
	err = g.Finish()
	alone.close()
	beside.close()
	env.Report.Seconds = elapsed.Seconds()
	g.AddTo(env.Report)
	g.ReportSchedule(env.Report)
	n.addFigures(env.Report, alone, beside, counters, noisyTime)
	target.AddCost(env.Report, began, after, 0, elapsed)
	if err != nil || ctx.Err() != nil {
		return err
	}
	return n.checkMost(env.Report)
}

func (n *NoisyNeighbor) runTurn(g *load.Generator, t, between *turns, what string) {
	t.begin(between)
	g.Observe(what, n.Turn, nil)
	g.Tick("", 0)
	t.end()
	between.begin(t)
}

// loginSenders logs in all noisy senders, and the receivers of each user. Even if it
// returns an error, the caller must close what it returns.
func (n *NoisyNeighbor) loginSenders(ctx context.Context, env *load.Env, accounts *load.Accounts, counters *load.NoisyCounters) (all []*load.NoisySender, err error) {
	number := 2 * n.Pairs
	for range n.NoisyUsers {
		from, me, _, err := accounts.Register(ctx, number, false)
		if err != nil {
			return all, err
		}
		group := int64(0)
		if n.Kind == string(load.NoiseEvent) && n.Peers > 1 {
			a, err := from.Call(ctx, &proto.Request{Op: proto.CREATE_GROUP, GroupName: fmt.Sprintf("bully %016x %d", accounts.RunID, number)})
			if err != nil {
				from.Abort()
				return all, err
			}
			group = a.GroupID
		}
		from.Abort()
		peers, sinks, err := n.loginPeers(ctx, env, accounts, me, number+1, group)
		first := &load.NoisySender{Sinks: sinks}
		all = append(all, first)
		if err != nil {
			return all, err
		}
		for i := range n.Conns {
			s := first
			if i > 0 {
				s = &load.NoisySender{}
				all = append(all, s)
			}
			s.Env, s.Kind, s.Size, s.Window, s.Counters = env, load.NoiseKind(n.Kind), n.Size, n.Window, counters
			s.Addr, s.Peer, s.Group = env.Server.AddrOf(number), peers[0], group
			if err := s.Login(ctx, accounts, me, fmt.Sprintf("bully %d", i)); err != nil {
				return all, err
			}
		}
		if err := n.fill(ctx, env, first, peers); err != nil {
			return all, err
		}
		number += 1 + n.Peers
	}
	return all, nil
}

// loginPeers registers the peers of a noisy user, lets them join its group, if it
// has one, and keeps those connected that its messages or events reach.
func (n *NoisyNeighbor) loginPeers(ctx context.Context, env *load.Env, accounts *load.Accounts, me load.Account, number int, group int64) ([]int64, []*load.Sink, error) {
	peers, sinks := make([]int64, n.Peers), make([]*load.Sink, n.Peers)
	err := load.ForEach(ctx, n.Peers, load.SetupConcurrency, env.Progress, "peers", func(ctx context.Context, i int) error {
		c, a, _, err := accounts.Register(ctx, number+i, false)
		if err != nil {
			return err
		}
		peers[i] = a.ID
		if group != 0 {
			if _, err := c.Call(ctx, &proto.Request{Op: proto.ADD_GROUP, GroupID: group}); err != nil {
				c.Abort()
				return err
			}
		}
		if i > 0 && group == 0 {
			c.Abort()
			return nil
		}
		if group == 0 && n.Kind != string(load.NoiseFriend) && env.Server.HasLimits() {
			if err := load.Befriend(ctx, c, me); err != nil {
				c.Abort()
				return err
			}
		}
		sinks[i] = load.NewSink(c)
		return nil
	})
	return peers, slices.DeleteFunc(sinks, func(s *load.Sink) bool { return s == nil }), err
}

// fill stores what a noisy user is going to read.
func (n *NoisyNeighbor) fill(ctx context.Context, env *load.Env, s *load.NoisySender, peers []int64) error {
	switch s.Kind {
	case load.NoiseSync:
		return s.Store(ctx, peers[0], storedForSync)
	case load.NoiseConversations:
		for i, p := range peers {
			env.Progress.ShowCount("conversations", i, len(peers))
			if err := s.Store(ctx, p, 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// addFigures writes the latencies of the quiet users and the counts of the
// noisy ones.
func (*NoisyNeighbor) addFigures(rep *report.Report, alone, beside *turns, counters *load.NoisyCounters, noisyTime time.Duration) {
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
		rep.AddNote("ratio of the end to end p99 beside noisy users to alone, by round: %.2f", ratios)
	}
	per := max(noisyTime.Seconds(), 1e-9)
	for _, f := range []struct {
		name string
		n    int64
		way  string
	}{{"sent", counters.Sent.Load(), report.Lower}, {"acknowledged", counters.Acked.Load(), report.Higher}, {"refused with errno 9", counters.Refused.Load(), report.Lower},
		{"refused otherwise", counters.Failed.Load(), report.Lower}} {
		rep.AddFigure("bullies: "+f.name, float64(f.n)/per, "per second", f.way)
	}
	rep.AddFigure("bullies: kicked", float64(counters.Kicked.Load()), "times", report.Lower)
}

// NoisyRatio is the figure that --most limits.
const NoisyRatio = "end to end p99, beside to alone, median of rounds"

// checkMost returns an error if NoisyRatio is above --most.
func (n *NoisyNeighbor) checkMost(rep *report.Report) error {
	for _, f := range rep.Figures {
		if f.Name == NoisyRatio && n.Most > 0 && f.Value > n.Most {
			return fmt.Errorf("with noisy users, the quiet pairs' p99 latency is %.2f times as high as without them; --most allows %g times", f.Value, n.Most)
		}
	}
	return nil
}
