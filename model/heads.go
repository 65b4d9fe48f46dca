package model

import (
	"context"
	"fmt"

	"chatd/model/sqldb"

	"github.com/jmoiron/sqlx"
)

// LogHead describes the end of a conversation's log.
type LogHead struct {
	Conv    int64 `db:"id"`
	Group   int64 `db:"grp"` // 0: a pair
	Lo      int64 `db:"lo"`  // a pair's lower user ID
	Hi      int64 `db:"hi"`  // a pair's higher user ID
	Last    int64 `db:"last_seq"`
	Version int64 `db:"version"` // of a group's membership; dismissing the group raises it too
}

const headColumns = `id, CASE kind WHEN 2 THEN id ELSE 0 END AS grp, COALESCE(user_lo, 0) AS lo, COALESCE(user_hi, 0) AS hi, last_seq, version
	FROM conversations`

// LogHeads returns the heads of those conversations that exist, in any order.
func (db *DB) LogHeads(ctx context.Context, convs []int64) ([]LogHead, error) {
	args := make([]any, len(convs))
	for i, c := range convs {
		args[i] = c
	}
	heads := make([]LogHead, 0, len(convs))
	err := sqldb.InBatches(args, 1, db.d.MaxRows, func(n int, args []any) error {
		return db.sql.ScanSmall(ctx, `SELECT `+headColumns+` WHERE id IN (`+sqldb.Repeated("?", n)+`)`, args, func(r *sqlx.Rows) error {
			var h LogHead
			err := r.StructScan(&h)
			heads = append(heads, h)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read log heads of %d conversations: %w", len(convs), err)
	}
	return heads, nil
}
