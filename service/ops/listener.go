package ops

import (
	"net"
	"sync"

	"github.com/VictoriaMetrics/metrics"
)

// boundedListener closes what it accepts beyond its bound, so that the
// operator's port can't use up the file descriptors that the chat lives on.
type boundedListener struct {
	net.Listener
	free    chan struct{} // a place taken per open connection
	refused *metrics.Counter
}

func newBoundedListener(l net.Listener, bound int, refused *metrics.Counter) *boundedListener {
	return &boundedListener{Listener: l, free: make(chan struct{}, bound), refused: refused}
}

// Accept waits for a connection that there is a place for.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.free <- struct{}{}:
			return &boundedConn{Conn: c, release: sync.OnceFunc(func() { <-l.free })}, nil
		default:
			l.refused.Inc()
			_ = c.Close() // it was never served: nothing to lose
		}
	}
}

type boundedConn struct {
	net.Conn
	release func() // once, however often Close is called
}

func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}
