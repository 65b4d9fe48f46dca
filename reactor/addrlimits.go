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
	perAddr int // open connections; 0: no limit
	rates   *limit.Table[netip.Addr]

	mu    sync.Mutex
	conns map[netip.Addr]int // open connections by limitKey
}

func newAddrLimits(perAddr int, connects limit.Rate, forgotten *metrics.Counter) *addrLimits {
	return &addrLimits{perAddr: perAddr, conns: make(map[netip.Addr]int),
		rates: limit.NewTable[netip.Addr](connects, maxRates, func(n int) { forgotten.Add(n) })}
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
	if !l.join(key) {
		return errAddrFull
	}
	if l.rates.Take(key, now, 1) > 0 {
		l.leave(addr)
		return errAddrRate
	}
	return nil
}

// join counts a connection. It returns false if its address has too many.
func (l *addrLimits) join(key netip.Addr) bool {
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

// leave removes an admitted connection from the count. It does nothing for an
// invalid address.
func (l *addrLimits) leave(addr netip.Addr) {
	if l.perAddr == 0 || !addr.IsValid() {
		return
	}
	key := limitKey(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns[key]--; l.conns[key] <= 0 {
		delete(l.conns, key)
	}
}
