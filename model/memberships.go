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

// membershipColumns selects the memberships of a device. The condition ofGroups or
// ofAll must follow it, and then one on the device d.
const membershipColumns = ` c.id, c.kind, COALESCE(c.user_lo, 0) AS lo, COALESCE(c.user_hi, 0) AS hi, c.last_seq, c.version,
		m.joined_seq, m.read_seq, COALESCE(k.delivered_seq, 0) AS delivered
	FROM devices d JOIN members m ON m.user_id = d.user_id JOIN conversations c ON c.id = m.conversation_id
	LEFT JOIN cursors k ON k.user_id = m.user_id AND k.device = d.device AND k.conversation_id = m.conversation_id WHERE `

const (
	ofGroups = `c.kind = 2 AND `                                                // groups only
	ofAll    = `(c.kind = 2 OR c.last_seq > COALESCE(k.delivered_seq, 0)) AND ` // all groups, and the pairs with undelivered messages
)

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

// TokenMemberships returns what TokenDevice does and, from the same snapshot, the
// groups of the token's user, and the pairs in which the device has undelivered
// messages. It includes cursors that this process hasn't written yet. If the caller
// doesn't know the user, pass 0: then the result has only groups, and of them only
// Group, Last and Version are meaningful. Errors: those of TokenDevice.
func (db *DB) TokenMemberships(ctx context.Context, tokenHash []byte, user int64) (found Token, memberships []Membership, err error) {
	pending := db.cursors.values(user) // before the read
	query := tokenGroups
	if user != 0 {
		query = tokenMemberships
	}
	var t tokenRow
	err = db.sql.ScanSmall(ctx, query, []any{tokenHash, tokenHash}, func(r *sqlx.Rows) error {
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

// A token's row, followed by the memberships of its device.
const (
	tokenAndDevice = `SELECT ` + tokenColumns + `, 0 AS id, 0 AS kind, 0 AS lo, 0 AS hi, 0 AS last_seq, 0 AS version,
			0 AS joined_seq, 0 AS read_seq, 0 AS delivered ` + tokenRows + `
		UNION ALL SELECT 0, '', '', 0, d.device, 0, 0,` + membershipColumns
	tokenGroups      = tokenAndDevice + ofGroups + `d.token_hash = ?`
	tokenMemberships = tokenAndDevice + ofAll + `d.token_hash = ?`
)

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
