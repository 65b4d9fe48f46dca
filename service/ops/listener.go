package ops

import (
	"net"
	"net/netip"
	"sync"

	"github.com/VictoriaMetrics/metrics"

	"chatd/internal/limit"
)

// boundedListener closes the connections that it accepts beyond its limits, so
// that this port can't use up the file descriptors that chat clients need, and
// one address can't use up this port.
type boundedListener struct {
	net.Listener
	slots   chan struct{} // holds one value per open connection
	perAddr *limit.Open
	proxies []netip.Prefix // have no limit per address
	refused *metrics.Counter
}

func newBoundedListener(l net.Listener, b *bounds, proxies []netip.Prefix, refused *metrics.Counter) *boundedListener {
	return &boundedListener{Listener: l, slots: make(chan struct{}, b.conns), perAddr: limit.NewOpen(b.connsPerAddr), proxies: proxies, refused: refused}
}

// Accept returns the next connection within the limits.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := addrOf(c.RemoteAddr())
		if limit.Contains(l.proxies, addr) {
			addr = netip.Addr{}
		}
		if release := l.admit(addr); release != nil {
			return &boundedConn{Conn: c, release: release}, nil
		}
		l.refused.Inc()
		_ = c.Close() // no request was read from it
	}
}

// admit counts a connection, and returns the function that ends that: only its
// first call has an effect. It returns nil if there are too many connections. The
// zero Addr has no limit of its own.
func (l *boundedListener) admit(addr netip.Addr) (release func()) {
	if !l.perAddr.Join(addr) {
		return nil
	}
	select {
	case l.slots <- struct{}{}:
	default:
		l.perAddr.Leave(addr)
		return nil
	}
	return sync.OnceFunc(func() {
		l.perAddr.Leave(addr)
		<-l.slots
	})
}

type boundedConn struct {
	net.Conn
	release func()
}

func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}

// addrOf returns the IP address of a TCP address, or the zero Addr.
func addrOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}
