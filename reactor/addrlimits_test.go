package reactor

import (
	"chatd/internal/limit"
	"net/netip"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Address limits forget clients that are gone, count an IPv6 /64 as one
// client, and stay bounded however many addresses connect.
func TestLimits(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	count := newCounters(metrics.NewSet())
	l := newAddrLimits(2, limit.PerSecond(3, time.Second, now), count.addrForgotten)
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
		t.Errorf("a connection after one left: %v, want it admitted", err)
	}
	l.leave(a)
	if err := l.admit(a, now); err != errAddrRate {
		t.Errorf("the fourth connection in a second: %v, want %v", err, errAddrRate)
	}
	if err := l.admit(a, now.Add(time.Second)); err != nil {
		t.Errorf("a connection a second later: %v, want it admitted", err)
	}
	for _, addr := range []netip.Addr{a, a, other, v4, mapped} {
		l.leave(addr)
	}
	l.leave(netip.Addr{})
	if len(l.conns) != 0 {
		t.Errorf("all have left, and %d addresses are counted, want none: %v", len(l.conns), l.conns)
	}
	for i := range 3 * maxRates {
		if err := l.admit(netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}), now); err != nil {
			t.Fatal(err)
		}
	}
	if n := l.rates.Len(); n > maxRates {
		t.Errorf("%d addresses are remembered, want at most %d", n, maxRates)
	}
	if n := count.addrForgotten.Get(); n == 0 {
		t.Error("0 forgotten addresses counted, want more")
	}
}
