package model

import (
	"context"
	"fmt"

	"chatd/model/sqldb"

	"github.com/jmoiron/sqlx"
)

// DeviceKey identifies a device. A device has a cursor in each conversation.
type DeviceKey struct {
	User   int64
	Device string
}

// DeliveredSeqs returns the cursor of each device in a conversation, in the order
// of keys: the last seq that the device has. It includes cursors that this
// process hasn't written yet. A cursor is at least the seq at which the user
// joined, and at most the conversation's last seq. It is -1 if the user isn't a
// member.
func (db *DB) DeliveredSeqs(ctx context.Context, conv int64, keys []DeviceKey) ([]int64, error) {
	seqs := make([]int64, len(keys))
	var devices, users []any
	for i, k := range keys {
		seqs[i] = db.cursors.value(k.User, cursorKey{deliveredSeq, k.Device, conv}) // before the read
		devices = append(devices, k.User, k.Device, conv)
		users = append(users, conv, k.User)
	}
	delivered, joined, last, err := db.readDelivered(ctx, conv, devices, users)
	if err != nil {
		return nil, fmt.Errorf("read cursors in conversation %d: %w", conv, err)
	}
	for i, k := range keys {
		join, member := joined[k.User]
		if seqs[i] = max(min(seqs[i], last), delivered[k], join); !member {
			seqs[i] = -1
		}
	}
	return seqs, nil
}

// readDelivered reads cursors, the seqs at which users joined, and the
// conversation's last seq. devices and users are the arguments of the queries.
func (db *DB) readDelivered(ctx context.Context, conv int64, devices, users []any) (delivered map[DeviceKey]int64, joined map[int64]int64, last int64, err error) {
	delivered, joined = make(map[DeviceKey]int64), make(map[int64]int64)
	err = sqldb.InBatches(devices, 3, db.d.MaxRows, func(n int, args []any) error {
		return db.sql.Scan(ctx, `SELECT user_id, device, delivered_seq FROM cursors WHERE `+
			sqldb.AnyOf("user_id = ? AND device = ? AND conversation_id = ?", n), args, func(r *sqlx.Rows) error {
			var k DeviceKey
			var seq int64
			err := r.Scan(&k.User, &k.Device, &seq)
			delivered[k] = seq
			return err
		})
	})
	if err != nil {
		return nil, nil, 0, err
	}
	err = sqldb.InBatches(users, 2, db.d.MaxRows, func(n int, args []any) error {
		return db.sql.Scan(ctx, `SELECT user_id, joined_seq FROM members WHERE `+
			sqldb.AnyOf("conversation_id = ? AND user_id = ?", n), args, func(r *sqlx.Rows) error {
			var user, seq int64
			err := r.Scan(&user, &seq)
			joined[user] = seq
			return err
		})
	})
	if err != nil {
		return nil, nil, 0, err
	}
	heads, err := db.LogHeads(ctx, []int64{conv})
	if err == nil && len(heads) == 1 {
		last = heads[0].Last
	}
	return delivered, joined, last, err
}
