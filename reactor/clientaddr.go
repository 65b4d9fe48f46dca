package reactor

import (
	"net/netip"

	"chatd/internal/limit"
)

// setForwarded takes the client's address from X-Forwarded-For headers, if the
// connection comes from a trusted proxy or from the tunnel of this process. It
// returns an error if that address has reached a limit of connections.
func (c *Conn) setForwarded(t Turn, header string, tunnel bool) error {
	if header == "" || !tunnel && !c.l.r.trusted(c.addr) {
		return nil
	}
	addr, ok := limit.Forwarded(header, c.l.r.cfg.ProxyProtocol)
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

// trusted reports whether addr is a trusted proxy.
func (r *Reactor) trusted(addr netip.Addr) bool { return limit.Contains(r.cfg.ProxyProtocol, addr) }
