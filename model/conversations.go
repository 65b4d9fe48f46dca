package model

import (
	"context"
	"fmt"
	"math"

	"chatd/model/sqldb"

	"github.com/jmoiron/sqlx"
)

// Conversation is an entry in a user's list of conversations.
type Conversation struct {
	Conv, Group, Peer int64 // Group or Peer is 0
	Name              string
	Gone              bool     // the peer's account was deleted
	First, Last, Read int64    // seqs: the first that the user may see, the last, and the last that was read
	Time              int64    // of the last message, or of joining if the user sees no message; Unix ms
	Message           *Message // the last one; nil if the user sees none
}

// seenTime computes Conversation.Time from members m and conversations c.
const seenTime = ` CASE WHEN c.last_seq > m.joined_seq THEN c.last_time ELSE m.joined_at END `

const conversationList = `SELECT c.id, c.kind, COALESCE(c.user_lo, 0) AS lo, COALESCE(c.user_hi, 0) AS hi, c.name, c.last_seq,
		m.joined_seq, m.read_seq, ` + seenTime + ` AS seen
	FROM members m JOIN conversations c ON c.id = m.conversation_id
	WHERE m.user_id = ? AND (c.kind = 2 OR c.last_seq > 0) AND `

type conversationRow struct {
	Conv   int64  `db:"id"`
	Kind   int64  `db:"kind"`
	Lo     int64  `db:"lo"`
	Hi     int64  `db:"hi"`
	Name   string `db:"name"`
	Last   int64  `db:"last_seq"`
	Joined int64  `db:"joined_seq"`
	Read   int64  `db:"read_seq"`
	Time   int64  `db:"seen"`
}

// maxTie is the maximum number of conversations with the Time of the last one on a
// page. They fit into one frame.
const maxTie = 1000

// CountConversations returns how many conversations a user has, which is how many
// rows Conversations reads at most, apart from what it returns.
func (db *DB) CountConversations(ctx context.Context, user int64) (n int, err error) {
	if err := db.sql.Get(ctx, &n, `SELECT COUNT(*) FROM members WHERE user_id = ?`, user); err != nil {
		return 0, fmt.Errorf("count conversations of user %d: %w", user, err)
	}
	return n, nil
}

// Conversations lists a user's conversations, latest first: about limit of those
// with a Time below before (0: the latest). All conversations with the Time of
// the last one are included, up to maxTie, so that the caller can page by Time alone. more
// reports whether there are older ones. Pairs without a message are not listed.
func (db *DB) Conversations(ctx context.Context, user, before int64, limit int) (list []Conversation, more bool, err error) {
	if before <= 0 {
		before = 1 << 62
	}
	pending := db.cursors.values(user) // before the read
	rows, more, err := db.conversationRows(ctx, user, before, limit)
	if err != nil {
		return nil, false, fmt.Errorf("list conversations of user %d: %w", user, err)
	}
	for _, r := range rows {
		c := Conversation{Conv: r.Conv, Name: r.Name, First: r.Joined + 1, Last: r.Last, Time: r.Time}
		c.Read = max(r.Read, min(r.Last, pending[cursorKey{kind: readSeq, conv: r.Conv}]))
		if r.Kind == kindGroup {
			c.Group = r.Conv
		} else {
			c.Peer = r.Lo + r.Hi - user
		}
		list = append(list, c)
	}
	if err := db.lastMessages(ctx, list); err != nil {
		return nil, false, fmt.Errorf("list conversations of user %d: %w", user, err)
	}
	if err := db.peerNames(ctx, list); err != nil {
		return nil, false, fmt.Errorf("list conversations of user %d: %w", user, err)
	}
	return list, more, nil
}

func (db *DB) conversationRows(ctx context.Context, user, before int64, limit int) (rows []conversationRow, more bool, err error) {
	err = db.sql.Select(ctx, &rows, conversationList+seenTime+` < ? ORDER BY seen DESC, c.id DESC`+db.d.Limit, user, before, limit+1)
	if err != nil || len(rows) <= limit || limit <= 0 {
		return rows[:min(len(rows), max(limit, 0))], false, err
	}
	edge := rows[limit-1].Time
	if rows[limit].Time < edge {
		return rows[:limit], true, nil
	}
	// The limit falls between conversations of the same time: take them all.
	for len(rows) > 0 && rows[len(rows)-1].Time == edge {
		rows = rows[:len(rows)-1]
	}
	var tie []conversationRow
	if err := db.sql.Select(ctx, &tie, conversationList+seenTime+` = ? ORDER BY c.id DESC`+db.d.Limit, user, edge, maxTie); err != nil {
		return nil, false, err
	}
	var older int
	if err := db.get(ctx, &older, `SELECT COUNT(*) FROM (`+conversationList+seenTime+` < ? LIMIT 1) AS older`, user, edge); err != nil {
		return nil, false, err
	}
	return append(rows, tie...), older > 0, nil
}

// lastMessages fills in Message, if the user may see the last message.
func (db *DB) lastMessages(ctx context.Context, list []Conversation) error {
	at := make(map[int64]*Conversation)
	var pages []PageRequest
	for i := range list {
		if c := &list[i]; c.Last >= c.First {
			at[c.Conv] = c
			pages = append(pages, PageRequest{Conv: c.Conv, After: c.Last - 1, Limit: 1})
		}
	}
	last, err := db.Pages(ctx, pages, math.MaxInt)
	for i := range last {
		at[last[i].Conv].Message = &last[i]
	}
	return err
}

// peerNames fills in Name and Gone for pairs.
func (db *DB) peerNames(ctx context.Context, list []Conversation) error {
	var args []any
	for _, c := range list {
		if c.Peer != 0 {
			args = append(args, c.Peer)
		}
	}
	names, gone := make(map[int64]string), make(map[int64]bool)
	err := sqldb.InBatches(args, 1, db.d.MaxRows, func(n int, args []any) error {
		return db.sql.Scan(ctx, `SELECT id, name, deleted FROM users WHERE id IN (`+sqldb.Repeated("?", n)+`)`, args, func(r *sqlx.Rows) error {
			var id int64
			var name string
			var deleted bool
			err := r.Scan(&id, &name, &deleted)
			names[id], gone[id] = name, deleted
			return err
		})
	})
	for i := range list {
		if c := &list[i]; c.Peer != 0 {
			c.Name, c.Gone = names[c.Peer], gone[c.Peer]
		}
	}
	return err
}
