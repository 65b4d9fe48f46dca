package model

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// Departure says that the account of User was deleted, and so is no longer a friend of
// Friend, or has left a group. Either Friend or Left is set.
type Departure struct {
	User   int64
	Friend int64
	Left   *Append // with a Change
}

// departureRows is the maximum number of departures in one answer.
const departureRows = 1000

// Departures lists what others have to know of deleted accounts: what has an ID above
// after. It also returns the last ID, to pass to the next call. If after is -1, it
// returns only the last ID. Nodes poll it, because operators delete users in other
// processes. It blocks.
func (db *DB) Departures(ctx context.Context, after int64) (last int64, l []Departure, err error) {
	if after < 0 {
		if err := db.get(ctx, &last, `SELECT COALESCE(MAX(id), 0) FROM departures`); err != nil {
			return 0, nil, fmt.Errorf("read departures: %w", err)
		}
		return last, nil, nil
	}
	last = after
	err = db.sql.Scan(ctx, `SELECT id, user_id, friend_id, group_id, version, last_seq, size FROM departures WHERE id > ? ORDER BY id LIMIT ?`,
		[]any{after, departureRows}, func(r *sqlx.Rows) error {
			var d Departure
			g := group{}
			err := r.Scan(&last, &d.User, &d.Friend, &g.ID, &g.Version, &g.Last, &g.Size)
			if g.ID != 0 {
				d.Left = g.describe(Left, d.User)
			}
			l = append(l, d)
			return err
		})
	if err != nil {
		return 0, nil, fmt.Errorf("read departures: %w", err)
	}
	return last, l, nil
}

// recordDeparture adds the rows for Departures. Dismissed groups need no row: nodes
// notice them by the feed.
func (db *DB) recordDeparture(ctx context.Context, tx *sqlx.Tx, user int64, friends []int64, changes []*Append) error {
	// With this row lock, departures commit in the order of their IDs; see revoke.
	var epoch int64
	if err := tx.GetContext(ctx, &epoch, `SELECT value FROM meta WHERE name = 'epoch'`+db.d.ForUpdate); err != nil {
		return err
	}
	now := db.nowMS()
	for _, f := range friends {
		if _, err := tx.ExecContext(ctx, `INSERT INTO departures (user_id, friend_id, at) VALUES (?, ?, ?)`, user, f, now); err != nil {
			return err
		}
	}
	for _, a := range changes {
		if a.Change.Kind != Left {
			continue
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO departures (user_id, group_id, version, last_seq, size, at) VALUES (?, ?, ?, ?, ?, ?)`,
			user, a.Group, a.Version, a.Last, a.Change.Count, now); err != nil {
			return err
		}
	}
	return nil
}

// trimDepartures deletes old rows of departures.
func (db *DB) trimDepartures(ctx context.Context) error {
	var old int
	before := db.nowMS() - KeepFeed.Milliseconds()
	// Most of the time there are none: look first, without a lock.
	err := db.get(ctx, &old, `SELECT COUNT(*) FROM (SELECT 1 FROM departures WHERE at < ? LIMIT 1) AS some`, before)
	if err == nil && old > 0 {
		err = db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, `DELETE FROM departures WHERE at < ?`, before)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("trim departures: %w", err)
	}
	return nil
}
