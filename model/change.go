package model

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"github.com/jmoiron/sqlx"

	"chatd/model/feed"
	"chatd/model/sqldb"
)

// changes collects the groups that a transaction changes, for the feed. The
// transaction must have locked their rows.
type changes struct{ spans []feed.Span }

// add records a group's membership version after the change, and its last seq.
func (c *changes) add(group, version, last int64) {
	c.spans = append(c.spans, feed.Span{Conv: group, Version: version, Members: true, First: last + 1, Last: last})
}

// writeChange runs do in a transaction, like write. In the same transaction, it
// writes a row of the feed with what do has added to changes.
func (db *DB) writeChange(ctx context.Context, do func(ctx context.Context, tx *sqlx.Tx, c *changes) error) error {
	lane := db.lanes.get(db.sql)
	defer db.lanes.put(lane)
	for attempt := 1; ; attempt++ {
		if lane.Stale() {
			if err := db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return lane.Open(ctx, tx) }); err != nil {
				return err
			}
		}
		err := db.writeOnLane(ctx, lane, do)
		if err == nil {
			lane.Committed()
		}
		if !errors.Is(err, feed.ErrClosed) || attempt == maxLanes {
			return err
		}
	}
}

// maxLanes is how many lanes writeChange tries for one transaction. More than two
// are needed only if the transaction fails for other reasons as well.
const maxLanes = 5

// writeOnLane is one attempt of writeChange. It returns feed.ErrClosed if it should
// be tried again with another lane.
func (db *DB) writeOnLane(ctx context.Context, lane *feed.Lane, do func(ctx context.Context, tx *sqlx.Tx, c *changes) error) error {
	return db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if lane.Stale() { // an earlier attempt, which write has repeated, has used it
			return feed.ErrClosed
		}
		var c changes
		if err := do(ctx, tx, &c); err != nil || len(c.spans) == 0 {
			return err
		}
		ids := make([]any, len(c.spans))
		for i := range c.spans {
			ids[i] = c.spans[i].Conv
		}
		highest := int64(0)
		err := sqldb.InBatches(ids, 1, db.d.MaxRows, func(n int, ids []any) error {
			var tick int64
			err := tx.GetContext(ctx, &tick, `SELECT COALESCE(MAX(tick), 0) FROM conversations WHERE id IN (`+sqldb.Repeated("?", n)+`)`, ids...)
			highest = max(highest, tick)
			return err
		})
		if err != nil {
			return err
		}
		tick := lane.Tick(highest)
		err = sqldb.InBatches(ids, 1, db.d.MaxRows, func(n int, ids []any) error {
			_, err := tx.ExecContext(ctx, `UPDATE conversations SET tick = ? WHERE id IN (`+sqldb.Repeated("?", n)+`)`, append([]any{tick}, ids...)...)
			return err
		})
		if err != nil {
			return err
		}
		lane.Reset()
		for i := range c.spans {
			lane.Add(&c.spans[i])
		}
		return lane.Record(tick, func(args ...any) (sql.Result, error) {
			return tx.ExecContext(ctx, feed.RecordSQL(db.sql), args...)
		})
	})
}

// lanePool has the lanes that writeChange uses. It grows to as many lanes as
// transactions have run at the same time.
type lanePool struct {
	mu   sync.Mutex
	free []*feed.Lane
}

func (p *lanePool) get(db *sqldb.DB) *feed.Lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		l := p.free[n-1]
		p.free = p.free[:n-1]
		return l
	}
	return feed.NewLane(db)
}

func (p *lanePool) put(l *feed.Lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, l)
}
