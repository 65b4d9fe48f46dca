package model

import (
	"context"
	"fmt"
	"slices"
)

// Place is where a device stands in a conversation.
type Place struct {
	Conv, Group, Peer int64 // Group or Peer is 0
	Last, Version     int64 // the conversation's
	Joined            int64 // the user sees what comes after
	Delivered, Read   int64 // up to there the device has it, the user has read it
}

// Places gives all groups of a user, and those pairs in which the device lacks
// something. Cursors that this node has still to write count.
func (db *DB) Places(ctx context.Context, user int64, device string) ([]Place, error) {
	pending := db.cursors.pending(user) // before the read
	var rows []struct {
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
	err := db.list(ctx, &rows, `SELECT c.id, c.kind, COALESCE(c.user_lo, 0) AS lo, COALESCE(c.user_hi, 0) AS hi, c.last_seq, c.version,
			m.joined_seq, m.read_seq, COALESCE(k.delivered_seq, 0) AS delivered
		FROM members m JOIN conversations c ON c.id = m.conversation_id
		LEFT JOIN cursors k ON k.user_id = m.user_id AND k.device = ? AND k.conversation_id = m.conversation_id
		WHERE m.user_id = ? AND (c.kind = 2 OR c.last_seq > COALESCE(k.delivered_seq, 0))
		ORDER BY m.conversation_id`, device, user)
	if err != nil {
		return nil, fmt.Errorf("places of %d: %w", user, err)
	}
	l := make([]Place, 0, len(rows))
	for _, r := range rows {
		p := Place{Conv: r.Conv, Last: r.Last, Version: r.Version, Joined: r.Joined}
		p.Delivered = max(r.Delivered, r.Joined, min(r.Last, pending[cell{cellDelivered, device, r.Conv}]))
		p.Read = max(r.Read, min(r.Last, pending[cell{kind: cellRead, conv: r.Conv}]))
		if r.Kind == kindGroup {
			p.Group = r.Conv
		} else {
			p.Peer = r.Lo + r.Hi - user
		}
		l = append(l, p)
	}
	return slices.DeleteFunc(l, func(p Place) bool { return p.Group == 0 && p.Delivered >= p.Last }), nil
}
