package reactor

import (
	"net/netip"
	"strings"
)

// setForwarded makes the address that a trusted proxy tells of the client's
// own, if the connection comes from one. Its limits hold from here on.
func (c *Conn) setForwarded(t Turn, header string) error {
	if header == "" || !c.l.r.trusted(c.addr) {
		return nil
	}
	addr, ok := c.l.r.forwarded(header)
	if !ok {
		return nil
	}
	return c.setAddr(t, addr)
}

// setAddr is for whatever learns the real address behind a proxy.
func (c *Conn) setAddr(t Turn, addr netip.Addr) error {
	r := c.l.r
	if err := r.limits.admit(addr, c.l.now); err != nil {
		r.refused(err)
		return err
	}
	r.limits.leave(c.charged)
	c.addr, c.charged = addr, addr
	return nil
}

// forwarded is the rightmost address in an X-Forwarded-For that isn't one of
// the proxies we trust: what stands left of it anyone could have written.
func (r *Reactor) forwarded(header string) (netip.Addr, bool) {
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
		if !r.trusted(addr) {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

func (r *Reactor) trusted(addr netip.Addr) bool {
	for _, p := range r.cfg.Trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
