package reactor

import (
	"errors"
	"net/netip"
	"sync/atomic"
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
	open      *limit.Open
	rates     atomic.Pointer[limit.Table[netip.Addr]]
}

func newAddrLimits(perAddr int, connects limit.Rate, forgotten *metrics.Counter) *addrLimits {
	l := &addrLimits{forgotten: forgotten, open: limit.NewOpen(perAddr)}
	l.set(perAddr, connects)
	return l
}

// set changes the limits. The rates of all addresses start anew. Connections beyond
// a lower limit stay open.
func (l *addrLimits) set(perAddr int, connects limit.Rate) {
	l.open.SetMost(perAddr)
	l.rates.Store(limit.NewTable[netip.Addr](connects, maxRates, func(n int) { l.forgotten.Add(n) }))
}

// admit counts a new connection from addr, or returns errAddrFull or errAddrRate.
// Call leave when an admitted connection ends.
func (l *addrLimits) admit(addr netip.Addr, now time.Time) error {
	if !l.open.Join(addr) {
		return errAddrFull
	}
	if l.rates.Load().Take(limit.Source(addr), now, 1) > 0 {
		l.leave(addr)
		return errAddrRate
	}
	return nil
}

// leave removes an admitted connection from the count. It does nothing for an
// invalid address.
func (l *addrLimits) leave(addr netip.Addr) { l.open.Leave(addr) }
