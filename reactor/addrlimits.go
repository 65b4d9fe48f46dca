package reactor

import (
	"errors"
	"net/netip"
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
	open  *limit.Open
	rates *limit.Table[netip.Addr]
}

func newAddrLimits(perAddr int, connects limit.Rate, forgotten *metrics.Counter) *addrLimits {
	return &addrLimits{open: limit.NewOpen(perAddr),
		rates: limit.NewTable[netip.Addr](connects, maxRates, func(n int) { forgotten.Add(n) })}
}

// admit counts a new connection from addr, or returns errAddrFull or errAddrRate.
// Call leave when an admitted connection ends.
func (l *addrLimits) admit(addr netip.Addr, now time.Time) error {
	if !l.open.Join(addr) {
		return errAddrFull
	}
	if l.rates.Take(limit.Source(addr), now, 1) > 0 {
		l.leave(addr)
		return errAddrRate
	}
	return nil
}

// leave removes an admitted connection from the count. It does nothing for an
// invalid address.
func (l *addrLimits) leave(addr netip.Addr) { l.open.Leave(addr) }
