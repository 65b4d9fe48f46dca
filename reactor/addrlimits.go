package reactor

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/internal/limit"
)

var (
	errAddrFull = errors.New("reactor: too many connections from this address")
	errAddrRate = errors.New("reactor: too many new connections per second from this address")
)

// maxRates is the number of addresses whose connection rate is tracked.
const maxRates = 1 << 16

// addrLimits limits connections per address. It is safe for concurrent use.
type addrLimits struct {
	forgotten *metrics.Counter

	mu      sync.Mutex
	perAddr int // open connections; 0: no limit
	rates   *limit.Table[netip.Addr]
	conns   map[netip.Addr]int // open connections by limitKey
}

func newAddrLimits(perAddr int, connects limit.Rate, forgotten *metrics.Counter) *addrLimits {
	l := &addrLimits{forgotten: forgotten, conns: make(map[netip.Addr]int)}
	l.set(perAddr, connects)
	return l
}

// set changes the limits. The rates of all addresses start anew. Connections beyond
// a lower limit stay open.
func (l *addrLimits) set(perAddr int, connects limit.Rate) {
	rates := limit.NewTable[netip.Addr](connects, maxRates, func(n int) { l.forgotten.Add(n) })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.perAddr, l.rates = perAddr, rates
}

// limitKey returns the key under which limits count an address: an IPv6 address
// counts as its /64, because a client usually has all of that.
func limitKey(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

// admit counts a new connection from addr, or returns errAddrFull or errAddrRate.
// Call leave when an admitted connection ends.
func (l *addrLimits) admit(addr netip.Addr, now time.Time) error {
	key := limitKey(addr)
	rates, ok := l.join(key)
	if !ok {
		return errAddrFull
	}
	if rates.Take(key, now, 1) > 0 {
		l.leave(addr)
		return errAddrRate
	}
	return nil
}

// join counts a connection, even without a limit, as there may be one later. It
// returns false if its address has too many.
func (l *addrLimits) join(key netip.Addr) (rates *limit.Table[netip.Addr], ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.perAddr > 0 && l.conns[key] >= l.perAddr {
		return nil, false
	}
	l.conns[key]++
	return l.rates, true
}

// leave removes an admitted connection from the count. It does nothing for an
// invalid address.
func (l *addrLimits) leave(addr netip.Addr) {
	if !addr.IsValid() {
		return
	}
	key := limitKey(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns[key]--; l.conns[key] <= 0 {
		delete(l.conns, key)
	}
}
