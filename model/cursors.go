package model

import (
	"context"
	"sync"
	"sync/atomic"
)

// What is written behind: never backwards, so that the last value is all
// that has to be kept.
const (
	cellDelivered = iota // a device's cursor
	cellRead             // how far a user has read
	cellUsed             // when a token was used: ms in place of a seq
	cellKinds
)

// cell names one value of a user.
type cell struct {
	kind   uint8
	device string
	conv   int64
}

// span is what is pending of a cell: its value, and the first since the last
// write.
type span struct{ first, last int64 }

const cursorShards = 64

// cursors holds what is to be written, and the one goroutine that does it.
type cursors struct {
	db     *DB
	shards [cursorShards]cursorShard
	count  atomic.Int64 // cells pending

	mu      sync.Mutex
	due     []int64      // users to be written now
	waiting []chan error // Flush calls to be answered after that
	ended   bool

	wake chan struct{}
	stop chan struct{}
	done chan error
}

type cursorShard struct {
	mu    sync.Mutex
	users map[int64]*pendingUser
}

// pendingUser is what one user has pending. While a transaction writes cells
// they stand in writing, still to be seen.
type pendingUser struct {
	cells, writing map[cell]span
	urgent         bool
}

// row is a cell on its way to the database.
type row struct {
	user int64
	cell
	span
}

func newCursors(db *DB) *cursors {
	c := &cursors{
		db:   db,
		wake: make(chan struct{}, 1),
		stop: make(chan struct{}),
		done: make(chan error, 1),
	}
	for i := range c.shards {
		c.shards[i].users = make(map[int64]*pendingUser)
	}
	db.m.gauge("chatd_model_cursors_pending", func() float64 { return float64(c.count.Load()) })
	go c.run()
	return c
}

// Deliver notes that a device has got all of a conversation up to seq. It
// never blocks, and it never goes back. Cursors beyond the last message count
// as the last; those of a device that is gone are dropped.
func (db *DB) Deliver(user int64, device string, conv, seq int64) {
	db.cursors.note(user, cell{cellDelivered, device, conv}, seq)
}

// Read notes that a user has read all of a conversation up to seq. It is
// otherwise as Deliver.
func (db *DB) Read(user, conv, seq int64) {
	db.cursors.note(user, cell{kind: cellRead, conv: conv}, seq)
}

// FlushSoon has what is pending of a user written with the next transaction of
// cursors. It never blocks.
func (db *DB) FlushSoon(user int64) {
	c := db.cursors
	if !c.has(user) {
		return
	}
	c.mu.Lock()
	c.due = append(c.due, user)
	c.mu.Unlock()
	c.poke()
}

// Flush writes what is pending of a user, and blocks until that is done. Calls
// at the same time share a transaction. Errors: ErrClosed.
func (db *DB) Flush(ctx context.Context, user int64) error {
	c := db.cursors
	if !c.has(user) {
		return nil
	}
	answer := make(chan error, 1)
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return ErrClosed
	}
	c.due = append(c.due, user)
	c.waiting = append(c.waiting, answer)
	c.mu.Unlock()
	c.poke()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *cursors) shard(user int64) *cursorShard { return &c.shards[uint64(user)%cursorShards] }

func (c *cursors) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// note takes a value. It never blocks for longer than a map takes.
func (c *cursors) note(user int64, k cell, v int64) {
	s := c.shard(user)
	s.mu.Lock()
	u := s.users[user]
	if u == nil {
		u = &pendingUser{}
		s.users[user] = u
	}
	p, known := u.cells[k]
	switch {
	case known && v <= p.last:
		s.mu.Unlock()
		return
	case known:
		p.last = v
	case c.count.Load() >= maxPending:
		// The next receipt covers what is dropped here.
		s.mu.Unlock()
		c.db.m.cursorDropped.Inc()
		return
	default:
		p = span{v, v}
		c.count.Add(1)
		if u.cells == nil {
			u.cells = make(map[cell]span)
		}
	}
	u.cells[k] = p
	urgent := k.kind == cellDelivered && p.last-p.first >= c.db.o.CursorBehind && !u.urgent
	if urgent {
		u.urgent = true
	}
	s.mu.Unlock()
	if urgent {
		c.mu.Lock()
		c.due = append(c.due, user)
		c.mu.Unlock()
		c.poke()
	}
}

func (c *cursors) has(user int64) bool {
	s := c.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.users[user] != nil
}

// pendingOf is what a user has waiting of one cell, or 0. As with pending, ask
// before reading the database.
func (c *cursors) pendingOf(user int64, k cell) int64 {
	s := c.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[user]
	if u == nil {
		return 0
	}
	return max(u.writing[k].last, u.cells[k].last)
}

// pending is all that a user has waiting, for reads that must see it. Ask
// before reading the database: what is written in between is then seen twice,
// not never.
func (c *cursors) pending(user int64) map[cell]int64 {
	s := c.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[user]
	if u == nil {
		return nil
	}
	all := make(map[cell]int64, len(u.cells)+len(u.writing))
	for _, m := range []map[cell]span{u.writing, u.cells} {
		for k, p := range m {
			all[k] = max(all[k], p.last)
		}
	}
	return all
}
