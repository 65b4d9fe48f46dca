package bus

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errClosed is returned if the bus has been closed.
var errClosed = errors.New("bus: closed")

// connPool holds the connections for publishing and queries. Each is used by
// one caller at a time, so that no caller waits for the reply to another one's
// command. Its methods may be called from any goroutine; get and probe block.
type connPool struct {
	endpoint *endpoint
	slots    chan struct{} // has one value per connection in use

	mu         sync.Mutex
	idle       []*conn // the most recently used is last
	generation int     // connections of an earlier generation are not reused
	closed     bool
}

func (p *connPool) init(e *endpoint) {
	p.endpoint, p.slots = e, make(chan struct{}, maxConns)
}

// get returns an idle connection, or a new one if there is none. It blocks
// while maxConns are in use, and while connecting. The caller must return the
// connection with put.
func (p *connPool) get(ctx context.Context) (*conn, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c, err := p.takeOrDial(ctx)
	if err != nil {
		<-p.slots
	}
	return c, err
}

func (p *connPool) takeOrDial(ctx context.Context) (*conn, error) {
	p.mu.Lock()
	var expired []*conn
	if n := len(p.idle); n > 0 && time.Since(p.idle[n-1].idleSince) > idleTimeout {
		expired, p.idle = p.idle, nil // the others are idle for even longer; Redis may have closed them
	}
	var c *conn
	if n := len(p.idle); n > 0 {
		c, p.idle = p.idle[n-1], p.idle[:n-1]
	}
	generation, closed := p.generation, p.closed
	p.mu.Unlock()
	closeAll(expired)
	if closed {
		return nil, errClosed
	}
	if c != nil {
		return c, nil
	}
	c, err := p.endpoint.dial(ctx)
	if err != nil {
		return nil, err
	}
	c.generation = generation
	return c, nil
}

// put returns a connection to the pool, or closes it if reusable is false.
func (p *connPool) put(c *conn, reusable bool) {
	p.keepIdle(c, reusable)
	<-p.slots
}

func (p *connPool) keepIdle(c *conn, reusable bool) {
	p.mu.Lock()
	reusable = reusable && !p.closed && c.generation == p.generation && len(p.idle) < maxIdleConns
	if reusable {
		c.idleSince = time.Now()
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !reusable {
		_ = c.raw.Close() // no data on it is needed
	}
}

// probe tries to connect to Redis, and keeps the connection for later use.
func (p *connPool) probe(ctx context.Context) error {
	p.mu.Lock()
	generation := p.generation
	p.mu.Unlock()
	c, err := p.endpoint.dial(ctx)
	if err != nil {
		return err
	}
	c.generation = generation
	p.keepIdle(c, true)
	return nil
}

// reset closes the idle connections. Those in use are closed by put.
func (p *connPool) reset() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.generation++
	p.mu.Unlock()
	closeAll(idle)
}

// close is like reset, but get then returns errClosed.
func (p *connPool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.reset()
}

func closeAll(cs []*conn) {
	for _, c := range cs {
		_ = c.raw.Close() // no data on it is needed
	}
}
