package reactor

import (
	"net/netip"
	"strings"
)

// setForwarded takes the client's address from X-Forwarded-For headers, if the
// connection comes from a trusted proxy. It returns an error if that address has
// reached a limit of connections.
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

// setAddr sets the client's address to one that a proxy has reported. From then on,
// limits count the connection for that address. It returns an error if they don't
// allow another connection.
func (c *Conn) setAddr(t Turn, addr netip.Addr) error {
	r := c.l.r
	if err := r.limits.admit(addr, c.l.now); err != nil {
		r.countRefused(err)
		return err
	}
	r.limits.leave(c.charged)
	c.addr, c.charged = addr, addr
	return nil
}

// forwarded returns the rightmost address in X-Forwarded-For headers that isn't a
// trusted proxy. Addresses to the left of it may be forged.
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

// trusted reports whether addr is a trusted proxy.
func (r *Reactor) trusted(addr netip.Addr) bool {
	for _, p := range r.cfg.ProxyProtocol {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
