package model

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// Membership is a user's membership in a conversation, with the cursor of one
// device.
type Membership struct {
	Conv, Group, Peer int64 // Group or Peer is 0
	Last, Version     int64 // of the conversation
	Joined            int64 // the user sees messages after this seq
	Delivered, Read   int64 // the device has, and the user has read, messages up to this seq
}

// membershipColumns selects the memberships of a device: all groups, and the pairs
// with undelivered messages. A condition on the device d must follow it.
const membershipColumns = ` c.id, c.kind, COALESCE(c.user_lo, 0) AS lo, COALESCE(c.user_hi, 0) AS hi, c.last_seq, c.version,
		m.joined_seq, m.read_seq, COALESCE(k.delivered_seq, 0) AS delivered
	FROM devices d JOIN members m ON m.user_id = d.user_id JOIN conversations c ON c.id = m.conversation_id
	LEFT JOIN cursors k ON k.user_id = m.user_id AND k.device = d.device AND k.conversation_id = m.conversation_id
	WHERE (c.kind = 2 OR c.last_seq > COALESCE(k.delivered_seq, 0)) AND `

type membershipRow struct {
	Conv      int64 `db:"id"`
	Kind      int64 `db:"kind"`
	Lo        int64 `db:"lo"`
	Hi        int64 `db:"hi"`
	Last      int64 `db:"last_seq"`
	Version   int64 `db:"version"`
	Joined    int64 `db:"joined_seq"`
	Read      int64 `db:"read_seq"`
	Delivered int64 `db:"delivered"`
}

// Memberships returns all groups of a user, and the pairs in which the device has
// undelivered messages. It includes cursors that this process hasn't written yet.
func (db *DB) Memberships(ctx context.Context, user int64, device string) ([]Membership, error) {
	pending := db.cursors.values(user) // before the read
	var rows []membershipRow
	err := db.sql.Select(ctx, &rows, `SELECT`+membershipColumns+`d.user_id = ? AND d.device = ? ORDER BY m.conversation_id`, user, device)
	if err != nil {
		return nil, fmt.Errorf("read memberships of user %d: %w", user, err)
	}
	l := make([]Membership, 0, len(rows))
	for i := range rows {
		l = rows[i].appendTo(l, user, device, pending)
	}
	return l, nil
}

// TokenMemberships combines TokenDevice and Memberships in one query and one
// snapshot. Pass the token's user, so that the result includes cursors that
// aren't written yet. If the caller doesn't know the user, pass 0: then only the
// Group fields of the memberships are meaningful. Errors: those of TokenDevice.
func (db *DB) TokenMemberships(ctx context.Context, tokenHash []byte, user int64) (found Token, memberships []Membership, err error) {
	pending := db.cursors.values(user) // before the read
	var t tokenRow
	err = db.sql.Scan(ctx, `SELECT `+tokenColumns+`, 0 AS id, 0 AS kind, 0 AS lo, 0 AS hi, 0 AS last_seq, 0 AS version,
			0 AS joined_seq, 0 AS read_seq, 0 AS delivered `+tokenRows+`
		UNION ALL SELECT 0, '', '', 0, d.device, 0, 0,`+membershipColumns+`d.token_hash = ?`, []any{tokenHash, tokenHash}, func(r *sqlx.Rows) error {
		var row tokenRow
		var p membershipRow
		err := r.Scan(&row.ID, &row.Name, &row.Hash, &row.Banned, &row.Device, &row.Used, &row.Session,
			&p.Conv, &p.Kind, &p.Lo, &p.Hi, &p.Last, &p.Version, &p.Joined, &p.Read, &p.Delivered)
		switch {
		case err != nil:
		case p.Conv == 0:
			t = row
		default:
			memberships = p.appendTo(memberships, user, row.Device, pending)
		}
		return err
	})
	if err == nil {
		err = db.checkUsed(&t)
	}
	if err != nil {
		return Token{}, nil, fmt.Errorf("look up token: %w", err)
	}
	return t.token(), memberships, nil
}

// appendTo appends the row to a list, unless it is a pair and the device has all
// of its messages.
func (r *membershipRow) appendTo(l []Membership, user int64, device string, pending map[cursorKey]int64) []Membership {
	p := Membership{Conv: r.Conv, Last: r.Last, Version: r.Version, Joined: r.Joined}
	p.Delivered = max(r.Delivered, r.Joined, min(r.Last, pending[cursorKey{deliveredSeq, device, r.Conv}]))
	p.Read = max(r.Read, min(r.Last, pending[cursorKey{kind: readSeq, conv: r.Conv}]))
	if r.Kind == kindGroup {
		p.Group = r.Conv
	} else if p.Peer = r.Lo + r.Hi - user; p.Delivered >= p.Last {
		return l
	}
	return append(l, p)
}
