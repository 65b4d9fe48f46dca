package reactor

import (
	"net/netip"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"pgregory.net/rapid"

	"chatd/internal/limit"
)

// Whatever is added, moved and removed, each timer runs once, never early,
// and in the first look after its time, across turns of the wheel and long
// pauses.
func TestWheel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w wheel
		start := time.Unix(1_000_000, 0)
		w.init(start)
		now := start
		timers := make([]*timer, 20)
		due := map[*timer]time.Time{}
		for i := range timers {
			timers[i] = &timer{}
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			tm := rapid.SampledFrom(timers).Draw(t, "timer")
			d := time.Duration(rapid.IntRange(0, 300_000).Draw(t, "ms")) * time.Millisecond
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1:
				w.add(tm, now.Add(d))
				due[tm] = now.Add(d)
			case 2:
				w.remove(tm)
				delete(due, tm)
			case 3:
				now = now.Add(d / 3)
				w.advance(now, func(tm *timer) {
					at, ok := due[tm]
					if !ok {
						t.Fatal("ran twice, or after it was removed")
					}
					if now.Before(at) {
						t.Fatal("ran", at.Sub(now), "early")
					}
					delete(due, tm)
					if d%2 == 0 { // timers may add and remove others as they run
						w.add(tm, now.Add(d))
						due[tm] = now.Add(d)
						other := timers[int(d/time.Millisecond)%len(timers)]
						w.remove(other)
						delete(due, other)
					}
				})
				for _, at := range due {
					if now.Sub(at) > 2*wheelTick {
						t.Fatal("is", now.Sub(at), "late")
					}
				}
			}
		}
	})
}

// The limits forget who is gone, take an IPv6 /64 for one, and stay bounded
// however many addresses come.
func TestLimits(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	count := newCounters(metrics.NewSet())
	l := newLimits(2, limit.PerSecond(3, time.Second, now), count.addrForgotten)
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff")
	other := netip.MustParseAddr("2001:db8:0:1::1")
	mapped, v4 := netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("192.0.2.1")
	for _, step := range []struct {
		addr netip.Addr
		want error
	}{{a, nil}, {b, nil}, {a, errAddrFull}, {other, nil}, {mapped, nil}, {v4, nil}, {mapped, errAddrFull}} {
		if err := l.admit(step.addr, now); err != step.want {
			t.Errorf("%s: got %v, want %v", step.addr, err, step.want)
		}
	}
	l.leave(b)
	if err := l.admit(a, now); err != nil {
		t.Error("after one left:", err)
	}
	l.leave(a)
	if err := l.admit(a, now); err != errAddrRate {
		t.Error("the fourth in a second:", err)
	}
	if err := l.admit(a, now.Add(time.Second)); err != nil {
		t.Error("a second later:", err)
	}
	for _, addr := range []netip.Addr{a, a, other, v4, mapped} {
		l.leave(addr)
	}
	l.leave(netip.Addr{})
	if len(l.conns) != 0 {
		t.Error("everyone has left, and these are remembered:", l.conns)
	}
	for i := range 3 * maxRates {
		if err := l.admit(netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}), now); err != nil {
			t.Fatal(err)
		}
	}
	if n := l.rates.Len(); n > maxRates {
		t.Error(n, "addresses are remembered")
	}
	if n := count.addrForgotten.Get(); n == 0 {
		t.Error("that addresses were forgotten is not counted")
	}
}
