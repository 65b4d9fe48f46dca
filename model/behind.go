package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"chatd/model/sqldb"

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
			if err := c.db.sql.Tidy(context.Background()); err != nil {
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
	var away error
	for len(rows) > 0 {
		part := rows[:min(len(rows), cursorRows)]
		rows = rows[len(part):]
		if away != nil {
			c.db.m.cursorFailed.Add(len(part))
			for i := range part {
				c.settle(&part[i], false)
			}
			continue
		}
		c.db.m.cursorWrites.Inc()
		err := c.db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return c.db.writeCursors(ctx, tx, part) })
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("write %d cursors: %w", len(part), err))
			c.db.m.cursorFailed.Add(len(part))
			if c.db.d.IsDisconnected(err) {
				away = err // the rest would only wait as long
			}
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
	// In order: two nodes that write the same rows don't wait for each other.
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.device, b.device), cmp.Compare(a.conv, b.conv))
	})
	last, err := db.lastRead(ctx, tx, rows)
	if err != nil {
		return err
	}
	var args [cellKinds][]any
	for i := range rows {
		r := &rows[i]
		switch r.kind {
		case cellDelivered:
			args[r.kind] = append(args[r.kind], r.user, r.device, r.conv, r.last)
		case cellRead:
			args[r.kind] = append(args[r.kind], r.user, r.conv, min(r.last, last[r.conv]))
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
		err := sqldb.InBatches(args[kind], how.width, db.d.MaxRows, func(rows int, args []any) error {
			_, err := tx.ExecContext(ctx, how.sql(rows), args...)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lastRead gives the heads of the conversations that rows say were read.
func (db *DB) lastRead(ctx context.Context, tx *sqlx.Tx, rows []row) (map[int64]int64, error) {
	last := make(map[int64]int64)
	var args []any
	for i := range rows {
		r := &rows[i]
		if _, ok := last[r.conv]; r.kind == cellRead && !ok {
			last[r.conv] = 0
			args = append(args, r.conv)
		}
	}
	err := sqldb.InBatches(args, 1, db.d.MaxRows, func(n int, args []any) error {
		var heads []struct {
			ID   int64 `db:"id"`
			Last int64 `db:"last_seq"`
		}
		err := tx.SelectContext(ctx, &heads, `SELECT id, last_seq FROM conversations WHERE id IN (`+sqldb.Repeated("?", n)+`)`, args...)
		for _, h := range heads {
			last[h.ID] = h.Last
		}
		return err
	})
	return last, err
}
