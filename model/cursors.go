package model

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
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

func (c *cursors) run() {
	tick := time.NewTicker(c.db.o.CursorInterval)
	defer tick.Stop()
	for {
		select {
		case <-c.wake:
			c.writeDue(context.Background())
		case <-tick.C:
			c.writeDue(context.Background())
			if err := c.writeAll(context.Background()); err != nil {
				c.db.o.Logger.Error("cursors not written, will be tried again", "err", err)
			}
			if err := c.db.s.tidy(context.Background()); err != nil {
				c.db.m.tidyFailed.Inc()
				c.db.o.Logger.Warn("store not tidied", "err", err)
			}
		case <-c.stop:
			c.writeDue(context.Background())
			c.done <- c.writeAll(context.Background())
			return
		}
	}
}

// close writes all and ends the goroutine.
func (c *cursors) close() error {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	close(c.stop)
	return <-c.done
}

// writeDue writes the users that have asked for it, and answers them.
func (c *cursors) writeDue(ctx context.Context) {
	c.mu.Lock()
	users, waiting := c.due, c.waiting
	c.due, c.waiting = nil, nil
	c.mu.Unlock()
	if len(users) == 0 {
		return
	}
	var rows []row
	for _, u := range users {
		rows = c.take(rows, u)
	}
	err := c.write(ctx, rows)
	if err != nil {
		c.db.o.Logger.Error("cursors not written, will be tried again", "err", err)
	}
	for _, w := range waiting {
		w <- err
	}
}

func (c *cursors) writeAll(ctx context.Context) error {
	var rows []row
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		users := make([]int64, 0, len(s.users))
		for u := range s.users {
			users = append(users, u)
		}
		s.mu.Unlock()
		for _, u := range users {
			rows = c.take(rows, u)
		}
	}
	return c.write(ctx, rows)
}

// take moves what a user has pending to rows.
func (c *cursors) take(rows []row, user int64) []row {
	s := c.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[user]
	if u == nil || u.writing != nil { // named twice
		return rows
	}
	u.writing, u.cells, u.urgent = u.cells, nil, false
	for k, p := range u.writing {
		rows = append(rows, row{user, k, p})
	}
	if u.writing == nil {
		delete(s.users, user)
	}
	return rows
}

// write writes rows that were taken, some thousand to a transaction, so that
// appends need not wait long. What could not be written is pending again.
func (c *cursors) write(ctx context.Context, rows []row) (failed error) {
	for len(rows) > 0 {
		part := rows[:min(len(rows), cursorRows)]
		rows = rows[len(part):]
		c.db.m.cursorWrites.Inc()
		err := c.db.write(ctx, func(tx *sqlx.Tx) error { return c.db.writeCursors(ctx, tx, part) })
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("write %d cursors: %w", len(part), err))
			c.db.m.cursorFailed.Add(len(part))
		} else {
			c.db.m.cursorRows.Add(len(part))
		}
		for i := range part {
			c.settle(&part[i], err == nil)
		}
	}
	return failed
}

// settle ends the writing of one row.
func (c *cursors) settle(r *row, written bool) {
	s := c.shard(r.user)
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[r.user]
	delete(u.writing, r.cell)
	newer, again := u.cells[r.cell]
	switch {
	case written:
		c.count.Add(-1)
	case again:
		c.count.Add(-1) // one cell where there were two
		u.cells[r.cell] = span{r.first, max(r.last, newer.last)}
	default:
		if u.cells == nil {
			u.cells = make(map[cell]span)
		}
		u.cells[r.cell] = r.span
	}
	if len(u.writing) == 0 {
		u.writing = nil
		if len(u.cells) == 0 {
			delete(s.users, r.user)
		}
	}
}

// writeCursors writes rows in as few statements as they fit in.
func (db *DB) writeCursors(ctx context.Context, tx *sqlx.Tx, rows []row) error {
	var args [cellKinds][]any
	for i := range rows {
		r := &rows[i]
		switch r.kind {
		case cellDelivered:
			args[r.kind] = append(args[r.kind], r.user, r.device, r.conv, r.last)
		case cellRead:
			args[r.kind] = append(args[r.kind], r.user, r.conv, r.last)
		case cellUsed:
			args[r.kind] = append(args[r.kind], r.user, r.device, r.last)
		}
	}
	for kind, how := range [cellKinds]struct {
		sql   func(rows int) string
		width int
	}{
		cellDelivered: {db.d.raiseDelivered, 4},
		cellRead:      {db.d.raiseRead, 3},
		cellUsed:      {db.d.raiseUsed, 3},
	} {
		err := inChunks(args[kind], how.width, db.d.maxRows, func(rows int, args []any) error {
			_, err := tx.ExecContext(ctx, how.sql(rows), args...)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// inChunks calls do with the rows in all, each of width arguments, cut into
// powers of two of at most max rows. What is left over is filled up with the
// last row again: few forms of statement, for few to prepare.
func inChunks(all []any, width, max int, do func(rows int, args []any) error) error {
	for len(all) > 0 {
		n := min(len(all)/width, max)
		args := all[:n*width]
		all = all[n*width:]
		rows := 1
		for rows < n {
			rows *= 2
		}
		if rows > n {
			last := args[len(args)-width:]
			args = append(make([]any, 0, rows*width), args...)
			for ; n < rows; n++ {
				args = append(args, last...)
			}
		}
		if err := do(rows, args); err != nil {
			return err
		}
	}
	return nil
}
