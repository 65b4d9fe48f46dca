package reactor

import (
	"chatd/internal/limit"
	"net/netip"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Limits per address don't count closed connections, count an IPv6 /64 as one
// address, and use bounded memory however many addresses connect.
func TestAddrLimits(t *testing.T) {
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
			t.Errorf("admit(%s) = %v, want %v", step.addr, err, step.want)
		}
	}
	l.leave(b)
	if err := l.admit(a, now); err != nil {
		t.Errorf("after one connection has left: admit = %v, want nil", err)
	}
	l.leave(a)
	if err := l.admit(a, now); err != errAddrRate {
		t.Errorf("fourth connection in a second: admit = %v, want %v", err, errAddrRate)
	}
	if err := l.admit(a, now.Add(time.Second)); err != nil {
		t.Errorf("a second later: admit = %v, want nil", err)
	}
	for _, addr := range []netip.Addr{a, a, other, v4, mapped} {
		l.leave(addr)
	}
	l.leave(netip.Addr{})
	if n := l.open.Len(); n != 0 {
		t.Errorf("after all have left: %d addresses have connections, want none", n)
	}
	for i := range 3 * maxRates {
		if err := l.admit(netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}), now); err != nil {
			t.Fatal(err)
		}
	}
	if n := l.rates.Load().Len(); n > maxRates {
		t.Errorf("the rates of %d addresses are tracked, want at most %d", n, maxRates)
	}
	if n := count.addrForgotten.Get(); n == 0 {
		t.Error("forgotten addresses counted = 0, want more")
	}
}
