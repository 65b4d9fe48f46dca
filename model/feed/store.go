package feed

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"chatd/model/sqldb"
)

// Start returns a Reader that returns what is committed after the call. It may also
// return some of what was committed during the call. It blocks on the database.
func Start(ctx context.Context, db *sqldb.DB) (*Reader, error) {
	r, err := start(ctx, tables{db})
	if err != nil {
		return nil, fmt.Errorf("start reading the feed: %w", err)
	}
	return r, nil
}

// tables is the source of Readers.
type tables struct{ db *sqldb.DB }

func (s tables) heads(ctx context.Context) (heads []head, err error) {
	err = s.db.Scan(ctx, `SELECT l.lane, l.trimmed, l.closed,
		COALESCE((SELECT MAX(f.pos) FROM feed f WHERE f.lane = l.lane), l.trimmed) FROM feed_lanes l`, nil, func(r *sqlx.Rows) error {
		var h head
		err := r.Scan(&h.lane, &h.trimmed, &h.closed, &h.last)
		heads = append(heads, h)
		return err
	})
	return heads, err
}

func (s tables) forgotten(ctx context.Context) (n int64, err error) {
	return n, s.db.Get(ctx, &n, `SELECT value FROM meta WHERE name = 'feed_forgotten'`)
}

func (s tables) rows(ctx context.Context, of []positions) (rows []Row, err error) {
	args := make([]any, 0, 3*len(of))
	for _, p := range of {
		args = append(args, p.lane, p.after, p.upTo)
	}
	err = sqldb.InBatches(args, 3, s.db.MaxRows, func(n int, args []any) error {
		return s.db.Scan(ctx, `SELECT lane, pos, tick, time, spans FROM feed WHERE `+sqldb.AnyOf("lane = ? AND pos > ? AND pos <= ?", n)+
			` ORDER BY lane, pos`, args, func(r *sqlx.Rows) error {
			var row Row
			var spans []byte
			err := r.Scan(&row.Lane, &row.Pos, &row.Tick, &row.Time, &spans)
			if err == nil {
				row.Spans, err = decodeSpans(spans)
			}
			rows = append(rows, row)
			return err
		})
	})
	return rows, err
}

// trimRows is the maximum number of rows that one transaction of Trim deletes, so
// that it never keeps SQLite's only writing connection for long.
const trimRows = 500

// Trim deletes rows that are older than keep, closes lanes that haven't been used
// for that long, and deletes lanes that have been closed for that long. Ages are by
// the database's clock. A Reader that doesn't call Next for longer than keep gets
// ErrTrimmed. Several processes may call Trim, even at the same time. It blocks.
func Trim(ctx context.Context, db *sqldb.DB, keep time.Duration) error {
	var now int64
	if err := db.Get(ctx, &now, `SELECT `+db.Now); err != nil {
		return fmt.Errorf("trim the feed: %w", err)
	}
	before := now - int64(keep/time.Second)
	heads, err := tables{db}.heads(ctx)
	for _, h := range heads {
		if err == nil {
			err = trimLane(ctx, db, h, before)
		}
	}
	if err == nil {
		err = closeLanes(ctx, db, now, before)
	}
	if err != nil {
		return fmt.Errorf("trim the feed: %w", err)
	}
	return nil
}

// trimLane deletes a lane's rows that were written before a time.
func trimLane(ctx context.Context, db *sqldb.DB, h head, before int64) error {
	for full := h.trimmed < h.last; full; {
		err := db.Write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
			full = false
			// Other processes may trim the same lane.
			var trimmed int64
			err := tx.GetContext(ctx, &trimmed, `SELECT trimmed FROM feed_lanes WHERE lane = ?`+db.ForUpdate, h.lane)
			if err != nil {
				return err
			}
			var times []int64
			if err := tx.SelectContext(ctx, &times, `SELECT time FROM feed WHERE lane = ? AND pos > ? AND pos <= ? ORDER BY pos`,
				h.lane, trimmed, trimmed+trimRows); err != nil {
				return err
			}
			n := int64(0)
			for n < int64(len(times)) && times[n] < before {
				n++
			}
			if n == 0 {
				return nil
			}
			full = n == trimRows
			if _, err := tx.ExecContext(ctx, `DELETE FROM feed WHERE lane = ? AND pos <= ?`, h.lane, trimmed+n); err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `UPDATE feed_lanes SET trimmed = ? WHERE lane = ?`, trimmed+n, h.lane)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// closeLanes closes the lanes without rows that were opened before a time, and
// deletes those that were closed before it.
func closeLanes(ctx context.Context, db *sqldb.DB, now, before int64) error {
	return db.Write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		// With this row locked, lanes are closed one at a time.
		var closed int64
		err := tx.GetContext(ctx, &closed, `SELECT value FROM meta WHERE name = 'feed_closed'`+db.ForUpdate)
		if err != nil {
			return err
		}
		const empty = ` AND NOT EXISTS (SELECT 1 FROM feed f WHERE f.lane = l.lane)`
		var lanes []struct {
			ID     int64 `db:"lane"`
			Closed int64 `db:"closed"`
		}
		if err := tx.SelectContext(ctx, &lanes, `SELECT l.lane, l.closed FROM feed_lanes l WHERE closed = 0 AND opened < ?`+empty+`
			UNION ALL SELECT l.lane, l.closed FROM feed_lanes l WHERE closed > 0 AND closed_at < ?`+empty, before, before); err != nil {
			return err
		}
		forgotten := int64(0)
		for _, l := range lanes {
			if l.Closed != 0 {
				forgotten = max(forgotten, l.Closed)
				_, err = tx.ExecContext(ctx, `DELETE FROM feed_lanes WHERE lane = ?`, l.ID)
			} else {
				closed++
				_, err = tx.ExecContext(ctx, `UPDATE feed_lanes SET closed = ?, closed_at = ? WHERE lane = ?`, closed, now, l.ID)
			}
			if err != nil {
				return err
			}
		}
		if len(lanes) == 0 {
			return nil
		}
		_, err = tx.ExecContext(ctx, `UPDATE meta SET value = ? WHERE name = 'feed_closed'`, closed)
		if err == nil && forgotten > 0 {
			// Lanes with lower numbers may exist still, if one of their rows was
			// written later: max, so that the value never falls.
			_, err = tx.ExecContext(ctx, `UPDATE meta SET value = CASE WHEN value < ? THEN ? ELSE value END WHERE name = 'feed_forgotten'`, forgotten, forgotten)
		}
		return err
	})
}
