package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"chatd/proto"
)

const (
	// bullySettle is what passes, unmeasured, after a bully's turn: what it had
	// on the way is answered by then. Its beginning is measured: what comes before
	// the limits take hold is most of what it does to a server that has some.
	bullySettle = 500 * time.Millisecond
	// bullyWindow is what a quiet sender may have on the way: what is due is
	// sent, however late the server is.
	bullyWindow = 64
	// maxBullies and maxBullyConns bound who shouts: a user has 8 devices.
	maxBullies, maxBullyConns = 64, 8
)

// bully is the scenario of one who shouts among the quiet.
type bully struct {
	Pairs    int           `name:"pairs" default:"10" help:"Pairs of quiet users: one writes to the other."`
	Rate     float64       `name:"rate" default:"200" help:"Messages per second that all quiet ones together write, each at its time."`
	Kind     string        `name:"kind" default:"chat" enum:"chat,event,sync" help:"What a bully sends: chat, which is stored; event; or sync, which reads 200 messages of the log."`
	Bullies  int           `name:"bullies" default:"1" help:"Users who bully."`
	Conns    int           `name:"conns" default:"1" help:"Connections that each of them has, each with a full window."`
	Window   int           `name:"window" default:"256" help:"Messages, or requests, that each of these keeps on the way."`
	Size     int           `name:"size" default:"100" help:"Text of each message."`
	Rounds   int           `name:"rounds" default:"5" help:"How often the quiet ones are measured alone and beside the bullies, by turns."`
	Turn     time.Duration `name:"turn" default:"4s" help:"How long each turn is measured, at most 10m."`
	Patience time.Duration `name:"patience" default:"15s" help:"What is on the way may take so long at the end; then it is lost."`
	Most     float64       `name:"most" default:"0" help:"Fail where the quiet ones' p99, end to end, is more than so many times what it is alone. 0: only tell."`
}

func (*bully) name() string { return "bully" }

func (b *bully) Help() string {
	return `Quiet pairs write to each other at a low rate, stored messages in an open loop, by turns
alone and beside bullies: connections that send as fast as they can with a full window, take
no notice of the pauses that the server asks for, and come back at once when they are
kicked. Told are the quiet ones' latencies both ways, the ratio of their p99, as the median
of all rounds, and what the bullies got.

A started server has --no-limits; --limits gives it the limits that it has by default.
Checked are the quiet pairs' conversations, as in "stream". Bullies share this program's
CPU time, of which "behind schedule" is what the quiet ones' part had to wait for.`
}

func (b *bully) validate() error {
	t := b.quiet()
	t.Duration, t.Warmup = b.Turn, 0
	var bad complaints
	if err := t.validate(proto.MaxMsg, bullyWindow); err != nil {
		bad = append(bad, err)
	}
	bad.check(b.Rate > 0, "--rate: %g is not above 0: the quiet ones are an open loop", b.Rate)
	bad.check(b.Kind != "event" || b.Size <= proto.MaxData, "--size: %d; an event has at most %d", b.Size, proto.MaxData)
	bad.between("--bullies", b.Bullies, 1, maxBullies)
	bad.between("--conns", b.Conns, 1, maxBullyConns)
	bad.between("--window", b.Window, 1, maxStreamWindow)
	bad.between("--rounds", b.Rounds, 1, maxRounds)
	bad.lasting("--turn", b.Turn)
	bad.check(b.Most == 0 || b.Most >= 1, "--most: %g is neither 0 nor 1 or more", b.Most)
	return bad.join()
}

// quiet is the load of those who are.
func (b *bully) quiet() traffic {
	return traffic{talk: talk{Pairs: b.Pairs, flow: flow{Size: b.Size, Duration: maxDuration, Patience: b.Patience}},
		Window: bullyWindow, Rate: b.Rate}
}

// turns is what the quiet ones saw in all turns of a kind.
type turns struct {
	acks, pushes *gauge
	p99          []float64 // of pushes, turn by turn
	all          [2]*hdrhistogram.Histogram
}

func newTurns(l *load, what string) *turns {
	return &turns{acks: l.gauge("acknowledged "+what, "ack "+what), pushes: l.gauge("delivered "+what, "end to end "+what),
		all: [2]*hdrhistogram.Histogram{newHistogram(), newHistogram()}}
}

// begin has the meters of what came before count for these turns.
func (t *turns) begin(from *turns) {
	t.acks.meters, from.acks.meters = from.acks.meters, nil
	t.pushes.meters, from.pushes.meters = from.pushes.meters, nil
}

// end closes a turn.
func (t *turns) end() {
	if t.pushes.total.TotalCount() > 0 {
		t.p99 = append(t.p99, float64(t.pushes.total.ValueAtPercentile(99)))
	}
	for i, g := range []*gauge{t.acks, t.pushes} {
		t.all[i].Merge(g.total)
		g.total.Reset()
	}
}

// close leaves the sums in the gauges, for the report.
func (t *turns) close() { t.acks.total, t.pushes.total = t.all[0], t.all[1] }

func (b *bully) run(ctx context.Context, r *rig) error {
	t := b.quiet()
	l := newLoad(r, t.config())
	l.mixed = true
	defer l.closeAll()
	rs := newRecruits(r.server)
	alone, beside := newTurns(l, "alone"), newTurns(l, "beside")
	between := newTurns(&load{}, "") // is measured by nobody
	if err := l.pairs(ctx, rs, proto.ONE_CHAT, true, alone.acks, alone.pushes); err != nil {
		return err
	}
	between.begin(alone)
	got := &gotten{}
	shouters, err := b.gather(ctx, r, rs, got)
	defer func() {
		for _, s := range shouters {
			s.leave()
		}
	}()
	if err != nil {
		return fmt.Errorf("a bully: %w", err)
	}

	l.begin(ctx)
	began, started := r.server.usage(r.report), time.Now()
	var loud time.Duration
	l.watch("settling", 2*bullySettle, nil)
	for i := range 2 * b.Rounds {
		if l.running.Err() != nil {
			break
		}
		// A B, B A, …: what drifts meets both.
		if i%4 == 0 || i%4 == 3 {
			b.turn(l, alone, between, "alone")
			continue
		}
		calm, quieten := context.WithCancel(l.running)
		var shouting sync.WaitGroup
		for _, s := range shouters {
			shouting.Go(func() { s.shout(calm) })
		}
		got.on.Store(true)
		at := time.Now()
		b.turn(l, beside, between, "beside")
		loud += time.Since(at)
		got.on.Store(false)
		quieten()
		shouting.Wait()
		l.watch("a bully ends", bullySettle, nil)
		l.tick("", 0)
	}
	elapsed, after := time.Since(started), r.server.usage(r.report)
	err = l.finish()
	alone.close()
	beside.close()
	r.report.Seconds = elapsed.Seconds()
	l.tell(r.report)
	l.tellPace(r.report)
	b.tell(r.report, alone, beside, got, loud)
	addCost(r.report, began, after, 0, elapsed)
	if err != nil || ctx.Err() != nil {
		return err
	}
	return b.judge(r.report)
}

// turn measures one turn.
func (b *bully) turn(l *load, t, between *turns, what string) {
	t.begin(between)
	l.watch(what, b.Turn, nil)
	l.tick("", 0)
	t.end()
	between.begin(t)
}

// gather has all bullies log in, and each have a friend who listens. Beside an
// error, those that are there are to leave.
func (b *bully) gather(ctx context.Context, r *rig, rs *recruits, got *gotten) (all []*shouter, err error) {
	number := 2 * b.Pairs
	for range b.Bullies {
		to, peer, _, err := rs.enter(ctx, number, false)
		if err != nil {
			return all, err
		}
		ears := newListener(to)
		from, me, _, err := rs.enter(ctx, number+1, false)
		if err != nil {
			ears.leave()
			return all, err
		}
		from.abort()
		for i := range b.Conns {
			s := &shouter{rig: r, kind: b.Kind, size: b.Size, window: b.Window, got: got, addr: r.server.addrOf(number + 1), peer: peer.id}
			if i == 0 {
				s.ears = ears
			}
			all = append(all, s)
			if err := s.enter(ctx, rs, me, fmt.Sprintf("bully %d", i)); err != nil {
				return all, err
			}
		}
		number += 2
	}
	return all, nil
}

// tell says how the quiet ones fared, and what the bullies got.
func (b *bully) tell(rep *report, alone, beside *turns, got *gotten, loud time.Duration) {
	for i, what := range []string{"ack", "end to end"} {
		a, z := alone.all[i], beside.all[i]
		for _, q := range []float64{50, 99} {
			if v := a.ValueAtPercentile(q); v > 0 {
				rep.figure(fmt.Sprintf("%s p%g, beside to alone", what, q), float64(z.ValueAtPercentile(q))/float64(v), "times", lower)
			}
		}
	}
	if n := min(len(alone.p99), len(beside.p99)); n > 0 {
		ratios := make([]float64, n)
		for i := range ratios {
			ratios[i] = beside.p99[i] / max(alone.p99[i], 1)
		}
		rep.figure(bullyRatio, median(ratios), "times", lower)
		rep.note("p99 end to end beside a bully, to alone, round by round: %.2f", ratios)
	}
	per := max(loud.Seconds(), 1e-9)
	for _, f := range []struct {
		name string
		n    int64
		way  string
	}{{"sent", got.sent.Load(), lower}, {"acknowledged", got.answered.Load(), higher}, {"refused with errno 9", got.refused.Load(), lower},
		{"refused otherwise", got.other.Load(), lower}} {
		rep.figure("bullies: "+f.name, float64(f.n)/per, "per second", f.way)
	}
	rep.figure("bullies: kicked", float64(got.kicked.Load()), "times", lower)
}

// bullyRatio is the figure that --most is about.
const bullyRatio = "end to end p99, beside to alone, median of rounds"

// judge says whether the quiet ones were left in peace.
func (b *bully) judge(rep *report) error {
	for _, f := range rep.Figures {
		if f.Name == bullyRatio && b.Most > 0 && f.Value > b.Most {
			return fmt.Errorf("beside a bully the quiet ones' p99 is %.2f times what it is alone, and --most is %g", f.Value, b.Most)
		}
	}
	return nil
}
