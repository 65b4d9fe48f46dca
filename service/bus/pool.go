package bus

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errClosed is returned when the bus has been closed.
var errClosed = errors.New("bus: closed")

// pool has the connections for publishing and asking. Each is used by one
// caller at a time, so that none waits behind another one's stuck answer.
type pool struct {
	where  *where
	places chan struct{} // one for each connection in use

	mu     sync.Mutex
	idle   []*conn // the one used last at the end
	era    int     // connections of an earlier one are not used again
	closed bool
}

func (p *pool) init(w *where) {
	p.where, p.places = w, make(chan struct{}, maxConns)
}

// get returns a connection, a new one where none is idle. It blocks while too
// many are in use, and while connecting.
func (p *pool) get(ctx context.Context) (*conn, error) {
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c, err := p.take(ctx)
	if err != nil {
		<-p.places
	}
	return c, err
}

func (p *pool) take(ctx context.Context) (*conn, error) {
	p.mu.Lock()
	var old []*conn
	if n := len(p.idle); n > 0 && time.Since(p.idle[n-1].since) > idleTimeout {
		old, p.idle = p.idle, nil // all others are older still; Redis may have closed them
	}
	var c *conn
	if n := len(p.idle); n > 0 {
		c, p.idle = p.idle[n-1], p.idle[:n-1]
	}
	era, closed := p.era, p.closed
	p.mu.Unlock()
	closeAll(old)
	if closed {
		return nil, errClosed
	}
	if c != nil {
		return c, nil
	}
	c, err := p.where.dial(ctx)
	if err != nil {
		return nil, err
	}
	c.era = era
	return c, nil
}

// put takes a connection back; one that isn't good is closed.
func (p *pool) put(c *conn, good bool) {
	p.keep(c, good)
	<-p.places
}

func (p *pool) keep(c *conn, good bool) {
	p.mu.Lock()
	good = good && !p.closed && c.era == p.era && len(p.idle) < maxIdleConns
	if good {
		c.since = time.Now()
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !good {
		_ = c.raw.Close() // nothing of it is needed any more
	}
}

// probe finds out whether Redis can be asked, with a new connection, which is
// kept.
func (p *pool) probe(ctx context.Context) error {
	p.mu.Lock()
	era := p.era
	p.mu.Unlock()
	c, err := p.where.dial(ctx)
	if err != nil {
		return err
	}
	c.era = era
	p.keep(c, true)
	return nil
}

// renew closes what is idle, and has what is in use closed when it comes back.
func (p *pool) renew() {
	p.mu.Lock()
	old := p.idle
	p.idle = nil
	p.era++
	p.mu.Unlock()
	closeAll(old)
}

// close is renew for good.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.renew()
}

func closeAll(cs []*conn) {
	for _, c := range cs {
		_ = c.raw.Close() // nothing of it is needed any more
	}
}
