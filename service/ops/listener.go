package ops

import (
	"net"
	"sync"

	"github.com/VictoriaMetrics/metrics"
)

// boundedListener closes the connections that it accepts beyond its limit, so
// that this port can't use up the file descriptors that chat clients need.
type boundedListener struct {
	net.Listener
	slots   chan struct{} // holds one value per open connection
	refused *metrics.Counter
}

func newBoundedListener(l net.Listener, limit int, refused *metrics.Counter) *boundedListener {
	return &boundedListener{Listener: l, slots: make(chan struct{}, limit), refused: refused}
}

// Accept returns the next connection within the limit.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &boundedConn{Conn: c, release: sync.OnceFunc(func() { <-l.slots })}, nil
		default:
			l.refused.Inc()
			_ = c.Close() // no request was read from it
		}
	}
}

type boundedConn struct {
	net.Conn
	release func() // frees the slot; only the first call has an effect
}

func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}
