package reactor

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/limit"
)

var errAddrRate = errors.New("reactor: connections from this address come too fast")

// maxRates is how many addresses are remembered for how fast they connect.
const maxRates = 1 << 16

// limits counts connections by address. Safe for any goroutine.
type limits struct {
	perAddr int
	rates   *limit.Table[netip.Addr]

	mu    sync.Mutex
	conns map[netip.Addr]int // as many at most as there are connections
}

func newLimits(perAddr int, connects limit.Rate, forgotten *metrics.Counter) *limits {
	return &limits{perAddr: perAddr, conns: make(map[netip.Addr]int),
		rates: limit.NewTable[netip.Addr](connects, maxRates, func(n int) { forgotten.Add(n) })}
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
	key := who(addr)
	if !l.join(key) {
		return errAddrFull
	}
	if l.rates.Take(key, now, 1) > 0 {
		l.leave(addr)
		return errAddrRate
	}
	return nil
}

// join counts a connection, if there is room for it.
func (l *limits) join(key netip.Addr) bool {
	if l.perAddr == 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns[key] >= l.perAddr {
		return false
	}
	l.conns[key]++
	return true
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

var errAddrFull = errors.New("reactor: too many connections from this address")
