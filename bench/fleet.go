package main

import (
	"context"
	"fmt"
	"time"

	"chatd/proto"
)

// keepEvery is the time between two rounds of keep-alives.
const keepEvery = 100 * time.Millisecond

// fleet is all idle connections. It is for one goroutine at a time.
type fleet struct {
	conns  []*conn // nil: not up
	intake intake  // for whichever is read
	next   int
}

// newFleet returns room for n connections, of which none is up.
func newFleet(n int) *fleet { return &fleet{conns: make([]*conn, n)} }

// put takes over connection number i. Several goroutines may call it at once,
// each with a number of its own.
func (f *fleet) put(i int, c *conn) {
	c.shelve()
	f.conns[i] = c
}

// abort ends all connections.
func (f *fleet) abort() {
	for _, c := range f.conns {
		if c != nil {
			c.abort()
		}
	}
}

// cut ends all connections, which may then be replaced.
func (f *fleet) cut() {
	f.abort()
	clear(f.conns)
}

// keep has each connection send a PING once in every, spread evenly, until
// ctx ends. A connection that doesn't answer is an error.
func (f *fleet) keep(ctx context.Context, every time.Duration) error {
	if every == 0 {
		<-ctx.Done()
		return nil
	}
	var due float64
	for sleep(ctx, keepEvery) == nil {
		for due += float64(len(f.conns)) * keepEvery.Seconds() / every.Seconds(); due >= 1; due-- {
			if err := f.ping(f.next); err != nil {
				return err
			}
			f.next = (f.next + 1) % len(f.conns)
		}
	}
	return nil
}

// roll has every connection answer once more; each that doesn't is a fault.
func (f *fleet) roll(faults *faults) {
	for i := range f.conns {
		if err := f.ping(i); err != nil {
			faults.addf("%v", err)
		}
	}
}

// ping sends a PING and waits for its PONG.
func (f *fleet) ping(i int) error {
	c := f.conns[i]
	if f.intake.buf == nil {
		f.intake.buf = make([]byte, readSize)
	}
	f.intake.start, f.intake.end = 0, 0
	c.intake = &f.intake
	defer c.shelve()
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
