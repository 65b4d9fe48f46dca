package model

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"chatd/model/recent"
	"chatd/model/sqldb"
)

// Message is a stored message.
type Message struct {
	Conv, Seq, Sender int64
	Time              int64  // Unix ms; a higher Seq may have a lower Time
	Name              string // the sender's name
	Gone              bool   // the sender's account was deleted
	CID, Body         []byte
}

func (m *Message) size() int { return len(m.Body) + len(m.CID) + len(m.Name) }

// What belongs to the sender comes from subqueries. With a join and few users, MariaDB
// would start from the users and sort the whole conversation for each page.
const (
	messageColumns = `m.conversation_id, m.seq, m.sender_id, m.created_at,
	(SELECT u.name FROM users u WHERE u.id = m.sender_id) AS name,
	(SELECT u.deleted FROM users u WHERE u.id = m.sender_id) AS gone, m.cid, m.body`

	// A plain "= ?" would make SQLite estimate rows by whether the value is 0 or 1, and
	// prepare the statement again whenever that changes. In a statement with more than
	// 31 parameters, that holds for a change of any later parameter: a query for 64
	// pages then takes 12 ms instead of 0.7 ms.
	selectAfter  = `SELECT ` + messageColumns + ` FROM messages m WHERE m.conversation_id = ? + 0 AND m.seq > ? ORDER BY m.seq`
	selectBefore = `SELECT ` + messageColumns + ` FROM messages m WHERE m.conversation_id = ? + 0 AND m.seq < ? AND m.seq >= ? ORDER BY m.seq DESC`
)

func (m *Message) scan(r *sql.Rows) error {
	return r.Scan(&m.Conv, &m.Seq, &m.Sender, &m.Time, &m.Name, &m.Gone, &m.CID, &m.Body)
}

// Page returns the messages after a seq in rising order: at most limit of them,
// and at most maxBytes of body, cid and name, but at least one if there is one.
func (db *DB) Page(ctx context.Context, conv, after int64, limit, maxBytes int) ([]Message, error) {
	l, _, err := db.readPages(ctx, []PageRequest{{conv, after, limit}}, maxBytes)
	if err != nil {
		return nil, fmt.Errorf("read conversation %d after seq %d: %w", conv, after, err)
	}
	return l, nil
}

// PageBefore returns the latest messages with a seq below before (0: no bound)
// and at least floor, in rising order. It has the limits of Page, and leaves out
// the oldest messages.
func (db *DB) PageBefore(ctx context.Context, conv, before, floor int64, limit, maxBytes int) ([]Message, error) {
	if before <= 0 {
		before = 1 << 62
	}
	args := []any{conv, before, floor, limit}
	if db.recent != nil {
		ids, last := db.recent.Before(conv, before, limit)
		args = append([]any{last, conv, conv, before, floor, recent.List(ids), conv, floor}, append(args, limit)...)
	}
	l, _, err := db.messages(ctx, maxBytes, db.d.pageBefore, args...)
	if err != nil {
		return nil, fmt.Errorf("read conversation %d before seq %d: %w", conv, before, err)
	}
	slices.Reverse(l)
	return l, nil
}

// messages reads messages up to maxBytes, but at least one if there is one. full
// reports that it left some out.
func (db *DB) messages(ctx context.Context, maxBytes int, q string, args ...any) (l []Message, full bool, err error) {
	if db.folder != nil {
		db.folder.Read()
	}
	rows, err := db.sql.Rows(ctx, q, args...)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	for bytes := 0; rows.Next(); {
		var m Message
		if err := m.scan(rows.Rows); err != nil {
			return nil, false, err
		}
		if bytes += m.size(); bytes > maxBytes && len(l) > 0 {
			return l, true, rows.Err()
		}
		l = append(l, m)
	}
	return l, false, rows.Err()
}

// VisibleRange is the part of a conversation that a user may see.
type VisibleRange struct {
	Conv        int64 // 0: the two users have no conversation yet
	First, Last int64 // the lowest and the highest seq that the user may see
	Version     int64 // of a group's membership
	Lo, Hi      int64 // a pair's user IDs
}

// VisibleRange returns what a user may see of a group, or of the conversation
// with a peer: one of the two is 0. A conversation with a deleted peer can still
// be seen. Errors: ErrNotFound if there is no such group or peer; ErrNotAllowed if
// the user is not a member.
func (db *DB) VisibleRange(ctx context.Context, user, group, peer int64) (VisibleRange, error) {
	var v VisibleRange
	var err error
	if group != 0 {
		v, err = db.groupView(ctx, user, group)
	} else {
		v, err = db.pairView(ctx, user, peer)
	}
	if err != nil {
		return VisibleRange{}, fmt.Errorf("read the visible range: %w", err)
	}
	return v, nil
}

func (db *DB) groupView(ctx context.Context, user, group int64) (VisibleRange, error) {
	var row struct {
		Last    int64         `db:"last_seq"`
		Version int64         `db:"version"`
		Joined  sql.NullInt64 `db:"joined_seq"`
	}
	err := db.get(ctx, &row, `SELECT c.last_seq, c.version, m.joined_seq FROM conversations c
		LEFT JOIN members m ON m.conversation_id = c.id AND m.user_id = ?
		WHERE c.id = ? AND c.kind = 2 AND c.gone = 0`, user, group)
	if err == nil && !row.Joined.Valid {
		err = ErrNotAllowed
	}
	return VisibleRange{Conv: group, First: row.Joined.Int64 + 1, Last: row.Last, Version: row.Version}, err
}

// GroupVersions returns the versions of the memberships of those groups that exist
// and of which the user is a member.
func (db *DB) GroupVersions(ctx context.Context, user int64, groups []int64) (map[int64]int64, error) {
	args := make([]any, len(groups))
	for i, g := range groups {
		args[i] = g
	}
	versions := make(map[int64]int64, len(groups))
	err := sqldb.InBatches(args, 1, db.d.MaxRows, func(n int, args []any) error {
		return db.sql.Scan(ctx, `SELECT c.id, c.version FROM conversations c JOIN members m ON m.conversation_id = c.id AND m.user_id = ?
			WHERE c.id IN (`+sqldb.Repeated("?", n)+`) AND c.kind = 2 AND c.gone = 0`, append([]any{user}, args...), func(r *sqlx.Rows) error {
			var group, version int64
			err := r.Scan(&group, &version)
			versions[group] = version
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read the versions of %d groups for user %d: %w", len(groups), user, err)
	}
	return versions, nil
}

func (db *DB) pairView(ctx context.Context, user, peer int64) (VisibleRange, error) {
	p := pairOf(user, peer)
	v := VisibleRange{First: 1, Lo: p.lo, Hi: p.hi}
	var row struct {
		ID   int64 `db:"id"`
		Last int64 `db:"last_seq"`
	}
	err := db.get(ctx, &row, `SELECT id, last_seq FROM conversations WHERE user_lo = ? AND user_hi = ?`, p.lo, p.hi)
	if errors.Is(err, ErrNotFound) {
		_, err = db.UserByID(ctx, peer)
		return v, err
	}
	v.Conv, v.Last = row.ID, row.Last
	return v, err
}
