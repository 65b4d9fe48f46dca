package model

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// run is the one goroutine that writes cursors, and tidies the store.
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
		err := c.db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return c.db.writeCursors(ctx, tx, part) })
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
