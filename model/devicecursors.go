package model

import (
	"context"
	"fmt"

	"chatd/model/sqldb"

	"github.com/jmoiron/sqlx"
)

// DeviceCursor identifies the cursor of a user's device in a conversation.
type DeviceCursor struct {
	Conv, User int64
	Device     string
}

// DeliveredSeqs returns the values of cursors, in the order of keys: the last seq
// that the device has. It includes values that this process hasn't written yet. A
// cursor is at least the seq at which the user joined, and at most the
// conversation's last seq. It is -1 if the user isn't a member. For up to MaxRows
// cursors it needs three queries.
func (db *DB) DeliveredSeqs(ctx context.Context, keys []DeviceCursor) ([]int64, error) {
	seqs := make([]int64, len(keys))
	var cursors, members []any
	var convs []int64
	for i, k := range keys {
		seqs[i] = db.cursors.value(k.User, cursorKey{deliveredSeq, k.Device, k.Conv}) // before the read
		cursors = append(cursors, k.User, k.Device, k.Conv)
		members = append(members, k.Conv, k.User)
		convs = append(convs, k.Conv)
	}
	delivered, joined, last, err := db.readDelivered(ctx, cursors, members, convs)
	if err != nil {
		return nil, fmt.Errorf("read %d cursors: %w", len(keys), err)
	}
	for i, k := range keys {
		join, member := joined[convMember{k.Conv, k.User}]
		if seqs[i] = max(min(seqs[i], last[k.Conv]), delivered[k], join); !member {
			seqs[i] = -1
		}
	}
	return seqs, nil
}

type convMember struct{ conv, user int64 }

// readDelivered reads cursors, the seqs at which users joined, and the last seqs
// of conversations. cursors and members are the arguments of the queries.
func (db *DB) readDelivered(ctx context.Context, cursors, members []any, convs []int64) (delivered map[DeviceCursor]int64, joined map[convMember]int64, last map[int64]int64, err error) {
	delivered, joined, last = make(map[DeviceCursor]int64), make(map[convMember]int64), make(map[int64]int64)
	err = sqldb.InBatches(cursors, 3, db.d.MaxRows, func(n int, args []any) error {
		return db.sql.Scan(ctx, `SELECT user_id, device, conversation_id, delivered_seq FROM cursors WHERE `+
			sqldb.AnyOf("user_id = ? AND device = ? AND conversation_id = ?", n), args, func(r *sqlx.Rows) error {
			var k DeviceCursor
			var seq int64
			err := r.Scan(&k.User, &k.Device, &k.Conv, &seq)
			delivered[k] = seq
			return err
		})
	})
	if err != nil {
		return nil, nil, nil, err
	}
	err = sqldb.InBatches(members, 2, db.d.MaxRows, func(n int, args []any) error {
		return db.sql.Scan(ctx, `SELECT conversation_id, user_id, joined_seq FROM members WHERE `+
			sqldb.AnyOf("conversation_id = ? AND user_id = ?", n), args, func(r *sqlx.Rows) error {
			var k convMember
			var seq int64
			err := r.Scan(&k.conv, &k.user, &seq)
			joined[k] = seq
			return err
		})
	})
	if err != nil {
		return nil, nil, nil, err
	}
	heads, err := db.LogHeads(ctx, convs)
	for i := range heads {
		last[heads[i].Conv] = heads[i].Last
	}
	return delivered, joined, last, err
}
