package reactor

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

var errAddrRate = errors.New("reactor: connections from this address come too fast")

// maxRates is how many addresses' rates are remembered.
const maxRates = 1 << 14

// limits counts connections by address. Safe for any goroutine.
type limits struct {
	perAddr, perSec int

	mu    sync.Mutex
	conns map[netip.Addr]int
	rates map[netip.Addr]*rate.Limiter
}

func newLimits(perAddr, perSec int) *limits {
	return &limits{perAddr: perAddr, perSec: perSec,
		conns: make(map[netip.Addr]int), rates: make(map[netip.Addr]*rate.Limiter)}
}

// who is what one client can be taken for: with IPv6, whoever has one address
// has its whole /64.
func who(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

// admit counts a connection from addr, or says why there may not be one. Who
// was admitted must leave.
func (l *limits) admit(addr netip.Addr, now time.Time) error {
	if l.perAddr == 0 && l.perSec == 0 {
		return nil
	}
	key := who(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.perAddr > 0 && l.conns[key] >= l.perAddr {
		return errAddrFull
	}
	if l.perSec > 0 {
		r := l.rates[key]
		if r == nil {
			l.makeRoom(now)
			r = rate.NewLimiter(rate.Limit(l.perSec), l.perSec)
			l.rates[key] = r
		}
		if !r.AllowN(now, 1) {
			return errAddrRate
		}
	}
	if l.perAddr > 0 {
		l.conns[key]++
	}
	return nil
}

// makeRoom forgets addresses, those first whose rate says nothing any more.
func (l *limits) makeRoom(now time.Time) {
	if len(l.rates) < maxRates {
		return
	}
	for a, r := range l.rates {
		if r.TokensAt(now) >= float64(l.perSec) {
			delete(l.rates, a)
		}
	}
	// More than that many at once: better to forget half of them than to
	// look through all for each connection.
	for a := range l.rates {
		if len(l.rates) < maxRates/2 {
			return
		}
		delete(l.rates, a)
	}
}

// leave takes a connection that was admitted off the count. An invalid
// address is nobody.
func (l *limits) leave(addr netip.Addr) {
	if l.perAddr == 0 || !addr.IsValid() {
		return
	}
	key := who(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns[key]--; l.conns[key] <= 0 {
		delete(l.conns, key)
	}
}
