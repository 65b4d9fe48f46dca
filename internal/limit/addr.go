package limit

import (
	"net/netip"
	"strings"
	"sync"
)

// Source returns the key under which limits count an address: an IPv6 address
// counts as its /64, because a client usually has all of that.
func Source(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

// Contains reports whether one of the ranges contains the address.
func Contains(ranges []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, p := range ranges {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Forwarded returns the rightmost address in X-Forwarded-For headers, joined by
// commas, that isn't one of the proxies. Addresses to the left of it may be
// forged. ok is false if there is none. Use it only if the headers come from one
// of the proxies.
func Forwarded(header string, proxies []netip.Prefix) (addr netip.Addr, ok bool) {
	parts := strings.Split(header, ",")
	for i := len(parts) - 1; i >= 0; i-- {
		s := strings.TrimSpace(parts[i])
		if s == "" {
			continue
		}
		addr, err := netip.ParseAddr(s)
		if err != nil {
			ap, err := netip.ParseAddrPort(s)
			if err != nil {
				return netip.Addr{}, false
			}
			addr = ap.Addr()
		}
		addr = addr.Unmap().WithZone("")
		if !Contains(proxies, addr) {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// Open counts what each address has open at once, such as connections, up to a
// bound. It uses memory only for addresses that have something open. Any
// goroutine may use it. Its methods lock a mutex for a short time.
type Open struct {
	mu   sync.Mutex
	most int                // 0: no limit
	open map[netip.Addr]int // by Source
}

// NewOpen returns an Open whose bound is most for each address. If most is 0,
// there is no limit.
func NewOpen(most int) *Open { return &Open{most: most, open: make(map[netip.Addr]int)} }

// SetMost changes the bound. What is open beyond a lower one stays.
func (o *Open) SetMost(most int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.most = most
}

// Join counts one more for the address. It returns false if the address has
// reached the bound. The zero Addr has no limit.
func (o *Open) Join(addr netip.Addr) bool {
	if !addr.IsValid() {
		return true
	}
	key := Source(addr)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.most > 0 && o.open[key] >= o.most { // without a bound, too: it may get one
		return false
	}
	o.open[key]++
	return true
}

// Leave counts one less for the address. Call it once for each Join that has
// returned true.
func (o *Open) Leave(addr netip.Addr) {
	if !addr.IsValid() {
		return
	}
	key := Source(addr)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open[key]--; o.open[key] <= 0 {
		delete(o.open, key)
	}
}

// Len returns the number of addresses that have something open.
func (o *Open) Len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.open)
}
