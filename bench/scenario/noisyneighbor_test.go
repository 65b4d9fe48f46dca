package scenario

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"chatd/bench/benchtest"
	"chatd/bench/load"
	"chatd/bench/report"
	"chatd/bench/target"
	"chatd/proto"
)

// A noisy sender continues after a refusal and after a KICK, and both are
// counted.
func TestNoisySenderContinues(t *testing.T) {
	f := benchtest.NewFakeServer(t)
	f.Ack = func(n int64, r proto.Response) []proto.Response {
		switch {
		case n%100 == 0:
			return []proto.Response{{Op: proto.KICK, Reason: proto.Abuse}}
		case n%3 == 0:
			r.Errno, r.RetryAfter, r.Seq = proto.TooFast, time.Hour.Milliseconds(), 0
		}
		return []proto.Response{r}
	}
	srv, err := target.Start(t.Context(), &target.Flags{Addr: f.Addr()}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	env := load.NewEnv(srv, report.NewProgress(io.Discard), &report.Report{})
	b := &NoisyNeighbor{Kind: "chat", NoisyUsers: 1, Conns: 1, Peers: 1, Window: 8, Size: 40}
	got := &load.NoisyCounters{}
	all, err := b.loginSenders(t.Context(), env, load.NewAccounts(env.Server), got)
	defer func() {
		for _, s := range all {
			s.Close()
		}
	}()
	if err != nil {
		t.Fatal(err)
	}
	got.Counting.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		all[0].Run(ctx)
	}()
	for end := time.Now().Add(time.Minute); got.Kicked.Load() < 2 || got.Refused.Load() < 50 || got.Acked.Load() < 100; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("after a minute: %d kicked, %d refused, %d acknowledged; want at least 2, 50 and 100", got.Kicked.Load(), got.Refused.Load(), got.Acked.Load())
			break
		}
	}
	cancel()
	<-done
}

// Turns alone and beside noisy users are counted separately, each with its own
// p99. The time between them is dropped.
func TestNoisyNeighborTurns(t *testing.T) {
	g := &load.Generator{}
	alone, beside, between := newTurns(g, "alone"), newTurns(g, "beside"), newTurns(&load.Generator{}, "")
	recorder := alone.pushes.NewRecorder()
	between.begin(alone)
	turn := func(tn *turns, us ...int64) {
		recorder.Add([]int64{900_000_000}) // between turns
		tn.begin(between)
		dropped := load.NewMetric("", "")
		dropped.Recorders = append(dropped.Recorders, recorder)
		dropped.Collect(nil)
		for _, v := range us {
			recorder.Add([]int64{v * 1000})
		}
		for _, m := range []*load.Metric{alone.acks, alone.pushes, beside.acks, beside.pushes} {
			m.Collect(nil)
		}
		tn.end()
		between.begin(tn)
	}
	turn(alone, 100, 100)
	turn(beside, 300)
	turn(beside, 500)
	turn(alone, 200)
	alone.close()
	beside.close()
	rep := &report.Report{}
	n := &NoisyNeighbor{Most: 2}
	n.addFigures(rep, alone, beside, &load.NoisyCounters{}, time.Second)
	if a, z := alone.pushes.Total.TotalCount(), beside.pushes.Total.TotalCount(); a != 3 || z != 2 {
		t.Errorf("%d latencies alone and %d beside, want 3 and 2", a, z)
	}
	i := slices.IndexFunc(rep.Figures, func(f report.Figure) bool { return f.Name == NoisyRatio })
	if i < 0 || rep.Figures[i].Value < 2.7 || rep.Figures[i].Value > 2.8 { // median of 3 and 2.5
		t.Errorf("figures = %+v, want %q of 2.75", rep.Figures, NoisyRatio)
	}
	if err := n.checkMost(rep); err == nil || !strings.Contains(err.Error(), "--most allows 2 times") {
		t.Errorf("checkMost with --most 2: error %v, want one", err)
	}
	n.Most = 3
	if err := n.checkMost(rep); err != nil {
		t.Errorf("checkMost with --most 3: %v", err)
	}
}
