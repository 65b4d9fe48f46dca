package model

import (
	"context"

	"chatd/model/recent"
	"fmt"
)

// This file has the queries of the operators' trace command. They read a few
// rows by an index, and never return the text of a message.

// TracedConversation is a conversation's row.
type TracedConversation struct {
	ID     int64  `db:"id"` // 0: the two users have no conversation yet
	Kind   int64  `db:"kind"`
	Lo     int64  `db:"lo"`   // a pair's lower user ID
	Hi     int64  `db:"hi"`   // a pair's higher user ID
	Name   string `db:"name"` // of a group
	Gone   bool   `db:"gone"` // the group was dismissed
	Last   int64  `db:"last_seq"`
	Blocks int64  `db:"blocks"`
	Size   int64  `db:"size"` // members of a group
}

// Group reports whether the conversation is a group's.
func (c *TracedConversation) Group() bool { return c.Kind == kindGroup }

// Blocked reports whether by has blocked the pair's other user.
func (c *TracedConversation) Blocked(by int64) bool {
	return c.Lo != c.Hi && c.Blocks&pair{c.Lo, c.Hi}.blockBit(by) != 0
}

// Closed reports whether a user of the pair was deleted: nobody can write to it.
func (c *TracedConversation) Closed() bool { return c.Blocks&pairClosed != 0 }

// TracedMessage is a stored message without its text.
type TracedMessage struct {
	Seq    int64  `db:"seq"`
	Sender int64  `db:"sender_id"`
	Name   string `db:"name"`       // the sender's name
	Time   int64  `db:"created_at"` // Unix ms
	CID    []byte `db:"cid"`
	Size   int64  `db:"size"` // bytes of text
}

// TracedMember is a member of a conversation, with all their devices.
type TracedMember struct {
	User    int64  `db:"user_id"`
	Name    string `db:"name"`
	Member  bool   `db:"-"`
	Role    int64  `db:"role"`
	Joined  int64  `db:"joined_seq"` // sees messages after this seq
	Read    int64  `db:"read_seq"`
	Banned  bool   `db:"banned"`
	Deleted bool   `db:"deleted"`
	Devices []TracedDevice
}

// Creator reports whether the member is the group's creator.
func (m *TracedMember) Creator() bool { return m.Role == roleCreator }

// TracedDevice is a device with its cursor in the conversation.
type TracedDevice struct {
	User      int64  `db:"user_id"`
	Device    string `db:"device"`
	Used      int64  `db:"last_used"` // when it was last used, to 10 minutes; Unix ms
	Token     bool   `db:"token"`     // has a token, that is, it is logged in
	Delivered int64  `db:"delivered"` // includes what this process has not written yet
}

const tracedConversation = `SELECT id, kind, COALESCE(user_lo, 0) AS lo, COALESCE(user_hi, 0) AS hi, name, gone, last_seq, blocks, size
	FROM conversations WHERE `

// TraceGroup finds a group, even a dismissed one. Errors: ErrNotFound.
func (db *DB) TraceGroup(ctx context.Context, id int64) (c TracedConversation, err error) {
	if err := db.get(ctx, &c, tracedConversation+`id = ? AND kind = 2`, id); err != nil {
		return c, fmt.Errorf("find group %d: %w", id, err)
	}
	return c, nil
}

// TracePair finds the conversation of two users, or of a user's notes. Errors:
// ErrNotFound.
func (db *DB) TracePair(ctx context.Context, a, b int64) (c TracedConversation, err error) {
	p := pairOf(a, b)
	if err := db.get(ctx, &c, tracedConversation+`user_lo = ? AND user_hi = ?`, p.lo, p.hi); err != nil {
		return c, fmt.Errorf("find conversation of users %d and %d: %w", a, b, err)
	}
	return c, nil
}

// traceMessages selects a traced message m from messages. A condition must follow.
const (
	tracedColumns = `SELECT m.seq, m.sender_id, u.name, m.created_at, m.cid, LENGTH(m.body) AS size`
	traceMessages = tracedColumns + ` FROM messages m JOIN users u ON u.id = m.sender_id WHERE `
)

// TraceSeq finds a message by its seq. Errors: ErrNotFound.
func (db *DB) TraceSeq(ctx context.Context, conv, seq int64) (m TracedMessage, err error) {
	args := []any{conv, seq}
	if db.recent != nil {
		ids, last := db.recent.After(conv, seq-1, 1)
		args = append(args, recent.List(ids), last, conv, seq)
	}
	if err := db.get(ctx, &m, db.d.traceSeq, args...); err != nil {
		return m, fmt.Errorf("find seq %d in conversation %d: %w", seq, conv, err)
	}
	return m, nil
}

// TraceCID finds a message by its sender's cid. Errors: ErrNotFound.
func (db *DB) TraceCID(ctx context.Context, conv, sender int64, cid []byte) (m TracedMessage, err error) {
	args := []any{conv, sender, cid}
	if db.recent != nil {
		last := db.recent.Last() // first: a row that is added meanwhile is newer
		ids := db.recent.Find(nil, conv, sender, cid)
		args = append(args, recent.List(ids), last, conv, sender, cid)
	}
	if err := db.get(ctx, &m, db.d.traceCID, args...); err != nil {
		return m, fmt.Errorf("find cid %q of user %d in conversation %d: %w", cid, sender, conv, err)
	}
	return m, nil
}

// tracedDevices selects devices d with their cursors in a conversation. A
// condition on the user must follow it.
const tracedDevices = `SELECT d.user_id, d.device, d.last_used, d.token_hash IS NOT NULL AS token, COALESCE(k.delivered_seq, 0) AS delivered
	FROM devices d LEFT JOIN cursors k ON k.user_id = d.user_id AND k.device = d.device AND k.conversation_id = ?
	WHERE d.user_id `

// TraceMembers lists at most limit members of a conversation whose IDs are above
// after, sorted by ID, with their devices.
func (db *DB) TraceMembers(ctx context.Context, conv, after int64, limit int) ([]TracedMember, error) {
	var l []TracedMember
	err := db.sql.Select(ctx, &l, `SELECT m.user_id, u.name, m.role, m.joined_seq, m.read_seq, u.banned, u.deleted
		FROM members m JOIN users u ON u.id = m.user_id
		WHERE m.conversation_id = ? AND m.user_id > ? ORDER BY m.user_id LIMIT ?`, conv, after, limit)
	if err != nil || len(l) == 0 {
		return nil, errOr(err, "list members of conversation %d", conv)
	}
	at := make(map[int64]*TracedMember, len(l))
	for i := range l {
		l[i].Member = true
		at[l[i].User] = &l[i]
	}
	pending := db.pendingOf(l) // before the read
	var devices []TracedDevice
	err = db.sql.Select(ctx, &devices, tracedDevices+`IN (SELECT m.user_id FROM members m
		WHERE m.conversation_id = ? AND m.user_id > ? AND m.user_id <= ?) ORDER BY d.user_id, d.device`,
		conv, conv, after, l[len(l)-1].User)
	if err != nil {
		return nil, errOr(err, "list devices of members of conversation %d", conv)
	}
	for _, d := range devices {
		if m := at[d.User]; m != nil { // nil: joined between the two queries
			m.add(d, conv, pending[d.User])
		}
	}
	return l, nil
}

// TraceUser is like TraceMembers for one user, who may be deleted, or not a
// member. Errors: ErrNotFound.
func (db *DB) TraceUser(ctx context.Context, conv, user int64) (TracedMember, error) {
	var l []TracedMember
	err := db.sql.Select(ctx, &l, `SELECT m.user_id, u.name, m.role, m.joined_seq, m.read_seq, u.banned, u.deleted
		FROM members m JOIN users u ON u.id = m.user_id WHERE m.conversation_id = ? AND m.user_id = ?`, conv, user)
	member := len(l) > 0
	if err == nil && !member {
		err = db.sql.Select(ctx, &l, `SELECT id AS user_id, name, 0 AS role, 0 AS joined_seq, 0 AS read_seq, banned, deleted FROM users WHERE id = ?`, user)
	}
	if err == nil && len(l) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return TracedMember{}, errOr(err, "find user %d in conversation %d", user, conv)
	}
	m := l[0]
	m.Member = member
	pending := db.pendingOf(l) // before the read
	var devices []TracedDevice
	if err := db.sql.Select(ctx, &devices, tracedDevices+`= ? ORDER BY d.device`, conv, user); err != nil {
		return TracedMember{}, errOr(err, "list devices of user %d", user)
	}
	for _, d := range devices {
		m.add(d, conv, pending[user])
	}
	return m, nil
}

func (m *TracedMember) add(d TracedDevice, conv int64, pending map[cursorKey]int64) {
	d.Delivered = max(d.Delivered, pending[cursorKey{deliveredSeq, d.Device, conv}])
	d.Used = max(d.Used, pending[cursorKey{kind: usedTime, device: d.Device}])
	m.Read = max(m.Read, pending[cursorKey{kind: readSeq, conv: conv}])
	m.Devices = append(m.Devices, d)
}

// pendingOf returns the members' cursors that this process has not written yet.
func (db *DB) pendingOf(l []TracedMember) map[int64]map[cursorKey]int64 {
	if db.cursors == nil { // opened read-only
		return nil
	}
	all := make(map[int64]map[cursorKey]int64)
	for _, m := range l {
		if p := db.cursors.values(m.User); p != nil {
			all[m.User] = p
		}
	}
	return all
}

func errOr(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(fmt.Sprintf(format, args...)+": %w", err)
}
