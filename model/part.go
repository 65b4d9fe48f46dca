package model

import (
	"context"
	"fmt"
	"math/bits"
	"strings"
)

// Part is a piece of a conversation: the messages after a seq, so many at
// most.
type Part struct {
	Conv, After int64
	Limit       int
}

// maxParts is how many parts one question asks for.
const maxParts = 16

// Parts gives the messages of several parts, in the order of these, rising in
// each: as many as maxBytes of body, cid and name hold, but at least one if
// there is one. It blocks for as long as the database takes, and asks it once
// for up to 16 parts.
func (db *DB) Parts(ctx context.Context, parts []Part, maxBytes int) ([]Message, error) {
	var all []Message
	for len(parts) > 0 && (maxBytes > 0 || len(all) == 0) {
		n := min(len(parts), maxParts)
		l, full, err := db.parts(ctx, parts[:n], maxBytes)
		if err != nil {
			return nil, fmt.Errorf("parts of %d conversations: %w", n, err)
		}
		all, parts = append(all, l...), parts[n:]
		if full {
			break
		}
		for i := range l {
			maxBytes -= l[i].size()
		}
	}
	return all, nil
}

// parts is one question of Parts; full: not all had room.
func (db *DB) parts(ctx context.Context, parts []Part, maxBytes int) (l []Message, full bool, err error) {
	rows := 1 << bits.Len(uint(len(parts)-1)) // few forms, so that each is prepared
	args := make([]any, 0, 3*rows)
	for i := range rows {
		var p Part // fills up: nothing is in it
		if i < len(parts) {
			p = parts[i]
		}
		args = append(args, p.Conv, p.After, p.Limit)
	}
	return db.messages(ctx, maxBytes, db.partsQuery(rows), args...)
}

// partsQuery is a question for n parts. Both databases give what UNION ALL joins
// one after the other.
func (db *DB) partsQuery(n int) string {
	one := `SELECT ` + messageColumns + ` WHERE m.conversation_id = ? AND m.seq > ? ORDER BY m.seq` + db.d.Limit
	if n == 1 {
		return one
	}
	return strings.TrimSuffix(strings.Repeat(db.d.Operand(one)+" UNION ALL ", n), " UNION ALL ")
}
