package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"chatd/model/feed"
	"chatd/model/sqldb"
)

// run is the goroutine that writes cursors. It also keeps SQLite's write-ahead
// log small.
func (c *cursors) run() {
	ctx := context.Background()
	tick := time.NewTicker(c.db.o.CursorInterval)
	defer tick.Stop()
	reads := time.NewTicker(ReadInterval)
	defer reads.Stop()
	wal := walWatch{log: c.db.o.Logger}
	for {
		select {
		case <-c.wake:
			c.writeDue(ctx)
			c.sweepOne(ctx)
		case <-reads.C:
			c.readsDue()
		case <-tick.C:
			c.writeDue(ctx)
			if err := c.writeAll(ctx); err != nil {
				c.db.o.Logger.Error("cursors not written; will retry", "err", err)
			}
			if err := c.db.sql.Tidy(ctx); err != nil {
				c.db.m.tidyFailed.Inc()
				c.db.o.Logger.Warn("checkpoint of the write-ahead log failed; will retry", "err", err)
			}
			wal.check(c.db.sql.LogSize())
		case <-c.stop:
			c.writeDue(ctx)
			c.done <- c.writeAll(ctx)
			return
		}
	}
}

// readsDue makes the next transaction write the cursors of users who have read
// something since the last call. The others wait for the timer.
func (c *cursors) readsDue() {
	c.mu.Lock()
	for u := range c.reads {
		c.due = append(c.due, u)
	}
	n := len(c.reads)
	clear(c.reads)
	c.mu.Unlock()
	if n > 0 {
		c.wakeUp()
	}
}

// sweepOne deletes a page of the cursors that sweepLater was called for.
func (c *cursors) sweepOne(ctx context.Context) {
	c.mu.Lock()
	if len(c.sweeps) == 0 {
		c.mu.Unlock()
		return
	}
	user := c.sweeps[0]
	c.sweeps = c.sweeps[1:]
	more := len(c.sweeps) > 0
	c.mu.Unlock()
	if more {
		c.wakeUp()
	}
	c.db.sweep(ctx, user)
}

// close writes all pending values and ends the goroutine.
func (c *cursors) close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	close(c.stop)
	return <-c.done
}

// writeDue writes the values of users that are due, and completes the waiting
// calls of Flush.
func (c *cursors) writeDue(ctx context.Context) {
	c.mu.Lock()
	users, waiting := c.due, c.waiting
	c.due, c.waiting = nil, nil
	c.mu.Unlock()
	if len(users) == 0 {
		return
	}
	var rows []cursorRow
	for _, u := range users {
		rows = c.take(rows, u)
	}
	err := c.write(ctx, rows)
	if err != nil {
		c.db.o.Logger.Error("cursors not written; will retry", "err", err)
	}
	for _, w := range waiting {
		w <- err
	}
}

func (c *cursors) writeAll(ctx context.Context) error {
	var rows []cursorRow
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

// take moves a user's pending values to writing, and appends them to rows.
func (c *cursors) take(rows []cursorRow, user int64) []cursorRow {
	s := c.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[user]
	if u == nil || u.writing != nil { // this user was due twice
		return rows
	}
	u.writing, u.pending, u.due = u.pending, nil, false
	for k, p := range u.writing {
		rows = append(rows, cursorRow{user, k, p})
	}
	if u.writing == nil {
		delete(s.users, user)
	}
	return rows
}

// write writes rows that were taken. A transaction has at most maxCursorRows of
// them, so that appends don't wait long. Rows that can't be written become
// pending again.
func (c *cursors) write(ctx context.Context, rows []cursorRow) (failed error) {
	disconnected := false
	for len(rows) > 0 {
		batch := rows[:min(len(rows), maxCursorRows)]
		rows = rows[len(batch):]
		if disconnected { // don't run into the same timeout again
			c.db.m.cursorFailed.Add(len(batch))
			c.finish(batch, false)
			continue
		}
		c.db.m.cursorWrites.Inc()
		_, err := c.db.writeFeed(ctx, func(ctx context.Context, tx *sqlx.Tx) (changes, error) { return c.db.writeCursors(ctx, tx, batch) })
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("write %d cursors: %w", len(batch), err))
			c.db.m.cursorFailed.Add(len(batch))
			disconnected = c.db.d.IsDisconnected(err)
		} else {
			c.db.m.cursorRows.Add(len(batch))
		}
		c.finish(batch, err == nil)
	}
	return failed
}

// finish ends the writing of rows.
func (c *cursors) finish(rows []cursorRow, written bool) {
	for i := range rows {
		c.finishRow(&rows[i], written)
	}
}

func (c *cursors) finishRow(r *cursorRow, written bool) {
	s := c.shard(r.user)
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[r.user]
	delete(u.writing, r.cursorKey)
	newer, again := u.pending[r.cursorKey]
	switch {
	case written:
		c.count.Add(-1)
	case again:
		c.count.Add(-1) // it was counted twice: in writing and in pending
		u.pending[r.cursorKey] = cursorValue{r.first, max(r.last, newer.last)}
	default:
		if u.pending == nil {
			u.pending = make(map[cursorKey]cursorValue)
		}
		u.pending[r.cursorKey] = r.cursorValue
	}
	if len(u.writing) == 0 {
		u.writing = nil
		if len(u.pending) == 0 {
			delete(s.users, r.user)
		}
	}
}

// writeCursors writes rows in as few statements as possible. It returns what users have
// read, if other processes may have to tell that to their clients.
func (db *DB) writeCursors(ctx context.Context, tx *sqlx.Tx, rows []cursorRow) (c changes, err error) {
	// Sorted, so that all nodes lock rows in the same order: no deadlocks.
	slices.SortFunc(rows, func(a, b cursorRow) int {
		return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.device, b.device), cmp.Compare(a.conv, b.conv))
	})
	heads, err := db.readHeads(ctx, tx, rows)
	if err != nil {
		return c, err
	}
	var args [cursorKinds][]any
	for i := range rows {
		r := &rows[i]
		switch r.kind {
		case deliveredSeq:
			args[r.kind] = append(args[r.kind], r.user, r.device, r.conv, r.last)
		case readSeq:
			h := heads[r.conv]
			seq := min(r.last, h.Last)
			args[r.kind] = append(args[r.kind], r.user, r.conv, seq)
			if seq > 0 && db.several() {
				read := feed.Read{Conv: r.conv, User: r.user, Seq: seq, Alone: h.Blocks&(loBlocksHi|hiBlocksLo) != 0}
				if h.Lo != 0 {
					read.Peer = h.Lo + h.Hi - r.user
				}
				c.reads = append(c.reads, read)
			}
		case usedTime:
			args[r.kind] = append(args[r.kind], r.user, r.device, r.last)
		}
	}
	for kind, stmt := range [cursorKinds]struct {
		sql   func(rows int) string
		width int
	}{
		deliveredSeq: {db.d.raiseDelivered, 4},
		readSeq:      {db.d.raiseRead, 3},
		usedTime:     {db.d.raiseUsed, 3},
	} {
		err := sqldb.InBatches(args[kind], stmt.width, db.d.MaxRows, func(rows int, args []any) error {
			_, err := tx.ExecContext(ctx, stmt.sql(rows), args...)
			return err
		})
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

// readHead is what writeCursors needs of a conversation.
type readHead struct {
	ID     int64 `db:"id"`
	Last   int64 `db:"last_seq"`
	Lo     int64 `db:"lo"` // of a pair
	Hi     int64 `db:"hi"`
	Blocks int64 `db:"blocks"`
}

// readHeads returns the conversations of the rows of readSeq.
func (db *DB) readHeads(ctx context.Context, tx *sqlx.Tx, rows []cursorRow) (map[int64]readHead, error) {
	heads := make(map[int64]readHead)
	var args []any
	for i := range rows {
		r := &rows[i]
		if _, ok := heads[r.conv]; r.kind == readSeq && !ok {
			heads[r.conv] = readHead{}
			args = append(args, r.conv)
		}
	}
	err := sqldb.InBatches(args, 1, db.d.MaxRows, func(n int, args []any) error {
		var found []readHead
		err := tx.SelectContext(ctx, &found, `SELECT id, last_seq, COALESCE(user_lo, 0) AS lo, COALESCE(user_hi, 0) AS hi, blocks
			FROM conversations WHERE id IN (`+sqldb.Repeated("?", n)+`)`, args...)
		for _, h := range found {
			heads[h.ID] = h
		}
		return err
	})
	return heads, err
}
