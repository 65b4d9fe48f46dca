package feed

import (
	"context"
	"database/sql"
	"errors"
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
	// Not MAX(f.pos): for that, MariaDB would read all rows of the lane.
	err = s.db.Scan(ctx, `SELECT l.lane, l.trimmed, l.closed,
		COALESCE((SELECT f.pos FROM feed f WHERE f.lane = l.lane ORDER BY f.pos DESC LIMIT 1), l.trimmed) FROM feed_lanes l`, nil, func(r *sqlx.Rows) error {
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
		return s.db.Scan(ctx, `SELECT lane, pos, tick, time, spans, extra FROM feed WHERE `+sqldb.AnyOf("lane = ? AND pos > ? AND pos <= ?", n)+
			` ORDER BY lane, pos`, args, func(r *sqlx.Rows) error {
			var row Row
			var spans, extra []byte
			err := r.Scan(&row.Lane, &row.Pos, &row.Tick, &row.Time, &spans, &extra)
			if err == nil {
				row.Spans, err = decodeSpans(spans)
			}
			if err == nil {
				err = decodeExtra(extra, &row)
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
// ErrTrimmed. Several processes may call Trim, even at the same time. It blocks. It
// leaves out what other transactions have locked.
func Trim(ctx context.Context, db *sqldb.DB, keep time.Duration) error {
	all := []error{}
	heads, err := tables{db}.heads(ctx)
	all = append(all, err)
	for _, h := range heads {
		all = append(all, trimLane(ctx, db, h, keep))
	}
	if err := errors.Join(append(all, closeLanes(ctx, db, keep))...); err != nil {
		return fmt.Errorf("trim the feed: %w", err)
	}
	return nil
}

// trimLane deletes a lane's rows that are older than keep.
func trimLane(ctx context.Context, db *sqldb.DB, h head, keep time.Duration) error {
	var before int64
	if err := db.Get(ctx, &before, `SELECT `+db.Now); err != nil {
		return err
	}
	before -= int64(keep / time.Second)
	for trimmed := h.trimmed; trimmed < h.last; trimmed += trimRows {
		// Most lanes have nothing to trim: look first, without a lock.
		var written int64
		err := db.Get(ctx, &written, `SELECT time FROM feed WHERE lane = ? AND pos = ?`, h.lane, trimmed+1)
		if errors.Is(err, sql.ErrNoRows) || err == nil && written >= before {
			return nil
		}
		if err == nil {
			err = db.Write(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return deleteRows(ctx, db, tx, h.lane, before) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// deleteRows deletes up to trimRows of a lane's rows that were written before a
// time.
func deleteRows(ctx context.Context, db *sqldb.DB, tx *sqlx.Tx, lane, before int64) error {
	var trimmed int64
	err := tx.GetContext(ctx, &trimmed, `SELECT trimmed FROM feed_lanes WHERE lane = ?`+db.ForUpdate+db.SkipLocked, lane)
	if errors.Is(err, sql.ErrNoRows) { // deleted, or a transaction is using it
		return nil
	}
	if err != nil {
		return err
	}
	var times []int64
	if err := tx.SelectContext(ctx, &times, `SELECT time FROM feed WHERE lane = ? AND pos > ? AND pos <= ? ORDER BY pos`,
		lane, trimmed, trimmed+trimRows); err != nil {
		return err
	}
	n := int64(0)
	for n < int64(len(times)) && times[n] < before {
		n++
	}
	if n == 0 {
		return nil
	}
	// Single rows, not a range: at the end of a range, InnoDB locks the row after it,
	// which may be one that another lane's open transaction has inserted.
	args := []any{lane}
	for i := range n {
		args = append(args, trimmed+i+1)
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM feed WHERE lane = ? AND pos IN (`+sqldb.Repeated("?", int(n))+`)`, args...); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE feed_lanes SET trimmed = ? WHERE lane = ?`, trimmed+n, lane)
	return err
}

// closeLanes closes the lanes without rows that were opened longer than keep ago,
// and deletes those that were closed that long ago.
func closeLanes(ctx context.Context, db *sqldb.DB, keep time.Duration) error {
	return db.Write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		// With this row locked, lanes are closed one at a time.
		var closed int64
		err := tx.GetContext(ctx, &closed, `SELECT value FROM meta WHERE name = 'feed_closed'`+db.ForUpdate+db.SkipLocked)
		if errors.Is(err, sql.ErrNoRows) { // another process is doing it
			return nil
		}
		if err != nil {
			return err
		}
		var now int64
		if err := tx.GetContext(ctx, &now, `SELECT `+db.Now); err != nil {
			return err
		}
		before := now - int64(keep/time.Second)
		var lanes []int64
		if err := tx.SelectContext(ctx, &lanes, `SELECT l.lane FROM feed_lanes l
			WHERE ((closed = 0 AND opened < ?) OR (closed > 0 AND closed_at < ?))
			AND l.lane <> ? AND NOT EXISTS (SELECT 1 FROM feed f WHERE f.lane = l.lane)`, before, before, sharedLane); err != nil {
			return err
		}
		last, forgotten := closed, int64(0)
		for _, lane := range lanes {
			var was int64
			err := tx.GetContext(ctx, &was, `SELECT closed FROM feed_lanes WHERE lane = ?`+db.ForUpdate+db.SkipLocked, lane)
			switch {
			case errors.Is(err, sql.ErrNoRows): // a transaction is using it
				continue
			case err != nil:
			case was != 0:
				forgotten = max(forgotten, was)
				_, err = tx.ExecContext(ctx, `DELETE FROM feed_lanes WHERE lane = ?`, lane)
			default:
				last++
				_, err = tx.ExecContext(ctx, `UPDATE feed_lanes SET closed = ?, closed_at = ? WHERE lane = ?`, last, now, lane)
			}
			if err != nil {
				return err
			}
		}
		if last > closed {
			if _, err := tx.ExecContext(ctx, `UPDATE meta SET value = ? WHERE name = 'feed_closed'`, last); err != nil {
				return err
			}
		}
		if forgotten > 0 {
			// A lane with a lower number may be deleted later: the value must not fall.
			_, err = tx.ExecContext(ctx, `UPDATE meta SET value = CASE WHEN value < ? THEN ? ELSE value END WHERE name = 'feed_forgotten'`, forgotten, forgotten)
		}
		return err
	})
}
