package model

import (
	"context"
	"errors"
	"fmt"
)

// Holder is a device of a user, which has a cursor in each conversation.
type Holder struct {
	User   int64
	Device string
}

// Delivered tells how far each of some devices has got a conversation, what
// is pending on this node included; never less than where its user joined.
func (db *DB) Delivered(ctx context.Context, conv int64, of []Holder) ([]int64, error) {
	seqs := make([]int64, len(of))
	for i, h := range of {
		pending := db.cursors.pending(h.User)[cell{cellDelivered, h.Device, conv}]
		for _, q := range []struct {
			sql  string
			args []any
		}{
			{`SELECT delivered_seq FROM cursors WHERE conversation_id = ? AND user_id = ? AND device = ?`, []any{conv, h.User, h.Device}},
			{`SELECT joined_seq FROM members WHERE conversation_id = ? AND user_id = ?`, []any{conv, h.User}},
		} {
			var seq int64
			if err := db.get(ctx, &seq, q.sql, q.args...); err != nil && !errors.Is(err, ErrNotFound) {
				return nil, fmt.Errorf("cursors in conversation %d: %w", conv, err)
			}
			seqs[i] = max(seqs[i], seq)
		}
		seqs[i] = max(seqs[i], pending)
	}
	return seqs, nil
}

// Blockers lists the users who have blocked user.
func (db *DB) Blockers(ctx context.Context, user int64) ([]int64, error) {
	var l []int64
	err := db.list(ctx, &l, `SELECT CASE WHEN c.user_lo = ? THEN c.user_hi ELSE c.user_lo END
		FROM members m JOIN conversations c ON c.id = m.conversation_id
		WHERE m.user_id = ? AND c.blocks & CASE WHEN c.user_lo = ? THEN 2 ELSE 1 END <> 0`, user, user, user)
	if err != nil {
		return nil, fmt.Errorf("blockers of %d: %w", user, err)
	}
	return l, nil
}

// FlushSoon has what is pending of a user written with the next transaction
// of cursors; it never blocks.
func (db *DB) FlushSoon(user int64) {
	c := db.cursors
	if !c.has(user) {
		return
	}
	c.mu.Lock()
	c.due = append(c.due, user)
	c.mu.Unlock()
	c.poke()
}
