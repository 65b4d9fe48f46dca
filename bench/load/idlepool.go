package load

import (
	"context"
	"fmt"
	"time"

	"chatd/proto"
)

// keepAliveTick is the time between two rounds of keep-alives.
const keepAliveTick = 100 * time.Millisecond

// IdlePool is all idle connections. It is for one goroutine at a time.
type IdlePool struct {
	conns  []*Conn    // nil: not up
	intake readBuffer // for whichever is read
	next   int
}

// NewIdlePool returns room for n connections, of which none is up.
func NewIdlePool(n int) *IdlePool { return &IdlePool{conns: make([]*Conn, n)} }

// Put takes over connection number i. Several goroutines may call it at once,
// each with a number of its own.
func (p *IdlePool) Put(i int, c *Conn) {
	c.releaseBuffer()
	p.conns[i] = c
}

// Close ends all connections.
func (p *IdlePool) Close() {
	for _, c := range p.conns {
		if c != nil {
			c.Abort()
		}
	}
}

// Reset ends all connections, which may then be replaced.
func (p *IdlePool) Reset() {
	p.Close()
	clear(p.conns)
}

// KeepAlive has each connection send a PING once in every, spread evenly, until
// ctx ends. A connection that doesn't answer is an error.
func (p *IdlePool) KeepAlive(ctx context.Context, every time.Duration) error {
	if every == 0 {
		<-ctx.Done()
		return nil
	}
	var due float64
	for Sleep(ctx, keepAliveTick) == nil {
		for due += float64(len(p.conns)) * keepAliveTick.Seconds() / every.Seconds(); due >= 1; due-- {
			if err := p.ping(p.next); err != nil {
				return err
			}
			p.next = (p.next + 1) % len(p.conns)
		}
	}
	return nil
}

// CheckAll has every connection answer once more; each that doesn't is a fault.
func (p *IdlePool) CheckAll(faults *Faults) {
	for i := range p.conns {
		if err := p.ping(i); err != nil {
			faults.addf("%v", err)
		}
	}
}

// ping sends a PING and waits for its PONG.
func (p *IdlePool) ping(i int) error {
	c := p.conns[i]
	if p.intake.buf == nil {
		p.intake.buf = make([]byte, readSize)
	}
	p.intake.start, p.intake.end = 0, 0
	c.readBuffer = &p.intake
	defer c.releaseBuffer()
	err := c.nc.SetDeadline(time.Now().Add(callTimeout))
	if err == nil {
		err = c.ping()
	}
	if err == nil {
		_, err = c.await(proto.PONG)
	}
	if err != nil {
		return fmt.Errorf("connection %d is lost: %w", i, err)
	}
	return nil
}
