package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"chatd/proto"
)

// A shouter goes on, refused or kicked, and both are counted; nothing is while
// nobody measures.
func TestShouterTakesNoNotice(t *testing.T) {
	f := newFake(t)
	f.ack = func(n int64, r proto.Response) []proto.Response {
		switch {
		case n%100 == 0:
			return []proto.Response{{Op: proto.KICK, Reason: proto.Abuse}}
		case n%3 == 0:
			r.Errno, r.RetryAfter, r.Seq = proto.TooFast, time.Hour.Milliseconds(), 0
		}
		return []proto.Response{r}
	}
	r := &rig{server: &server{target: &target{}, addrs: []string{f.addr()}}, progress: newProgress(io.Discard), report: &report{}, faults: &faults{}, clock: newClock()}
	b := &bully{Kind: "chat", Bullies: 1, Conns: 1, Window: 8, Size: 40}
	got := &gotten{}
	all, err := b.gather(t.Context(), r, newRecruits(r.server), got)
	defer func() {
		for _, s := range all {
			s.leave()
		}
	}()
	if err != nil {
		t.Fatal(err)
	}
	got.count(&got.sent, 1)
	if n := got.sent.Load(); n != 0 {
		t.Errorf("%d counted before anything is measured", n)
	}
	got.on.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		all[0].shout(ctx)
	}()
	for end := time.Now().Add(time.Minute); got.kicked.Load() < 2 || got.refused.Load() < 50 || got.answered.Load() < 100; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("kicked %d, refused %d, acknowledged %d", got.kicked.Load(), got.refused.Load(), got.answered.Load())
			break
		}
	}
	cancel()
	<-done
}

// Turns keep apart what was measured alone and beside, and each turn has its
// own p99; what comes between is nobody's.
func TestBullyTurns(t *testing.T) {
	l := &load{}
	alone, beside, between := newTurns(l, "alone"), newTurns(l, "beside"), newTurns(&load{}, "")
	meter := alone.pushes.meter()
	between.begin(alone)
	turn := func(tn *turns, us ...int64) {
		meter.add([]int64{900_000_000}) // between
		tn.begin(between)
		between.pushes.collect(nil)
		meter.drain(newHistogram(), nil)
		for _, v := range us {
			meter.add([]int64{v * 1000})
		}
		for _, g := range l.gauges {
			g.collect(nil)
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
	rep := &report{}
	b := &bully{Most: 2}
	b.tell(rep, alone, beside, &gotten{}, time.Second)
	if a, z := alone.pushes.total.TotalCount(), beside.pushes.total.TotalCount(); a != 3 || z != 2 {
		t.Errorf("%d alone, %d beside", a, z)
	}
	i := slices.IndexFunc(rep.Figures, func(f figure) bool { return f.Name == bullyRatio })
	if i < 0 || rep.Figures[i].Value < 2.7 || rep.Figures[i].Value > 2.8 { // of 3 and 2.5
		t.Errorf("%+v", rep.Figures)
	}
	if err := b.judge(rep); err == nil || !strings.Contains(err.Error(), "--most is 2") {
		t.Errorf("error %v", err)
	}
	b.Most = 3
	if err := b.judge(rep); err != nil {
		t.Error(err)
	}
}
