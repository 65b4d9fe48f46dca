package load

import (
	"context"
	"fmt"
	"time"

	"chatd/proto"
)

// keepAliveTick is the time between two batches of PINGs.
const keepAliveTick = 100 * time.Millisecond

// IdlePool is a set of idle connections. Unless said otherwise, only one
// goroutine at a time may use it.
type IdlePool struct {
	conns   []*Conn    // nil: not connected
	readBuf readBuffer // shared: only one connection is read at a time
	next    int
}

// NewIdlePool returns a pool with n empty slots.
func NewIdlePool(n int) *IdlePool { return &IdlePool{conns: make([]*Conn, n)} }

// Put puts a connection into slot i. It may be called concurrently for
// different slots.
func (p *IdlePool) Put(i int, c *Conn) {
	c.releaseBuffer()
	p.conns[i] = c
}

// Close closes all connections.
func (p *IdlePool) Close() {
	for _, c := range p.conns {
		if c != nil {
			c.Abort()
		}
	}
}

// Reset closes all connections and empties all slots.
func (p *IdlePool) Reset() {
	p.Close()
	clear(p.conns)
}

// KeepAlive has each connection send a PING once per interval, evenly spread,
// until ctx ends. It returns an error if a connection doesn't answer.
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

// CheckAll pings every connection. Those that don't answer count as faults.
func (p *IdlePool) CheckAll(faults *Faults) {
	for i := range p.conns {
		if err := p.ping(i); err != nil {
			faults.addf("%v", err)
		}
	}
}

func (p *IdlePool) ping(i int) error {
	c := p.conns[i]
	if p.readBuf.buf == nil {
		p.readBuf.buf = make([]byte, readSize)
	}
	p.readBuf.start, p.readBuf.end = 0, 0
	c.readBuffer = &p.readBuf
	defer c.releaseBuffer()
	err := c.nc.SetDeadline(time.Now().Add(callTimeout))
	if err == nil {
		err = c.ping()
	}
	if err == nil {
		_, err = c.await(proto.PONG)
	}
	if err != nil {
		return fmt.Errorf("idle connection %d: %w", i, err)
	}
	return nil
}
