package model

import (
	"strings"

	"chatd/model/sqldb"
)

func mysql(d *sqldb.Dialect) *dialect {
	return &dialect{
		Dialect:      d,
		returnPairID: " ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id)",
		keepPair:     " ON DUPLICATE KEY UPDATE kind = kind",
		keepMember:   " ON DUPLICATE KEY UPDATE role = role",
		byLookIndex:  " FORCE INDEX (looks_look)",
		byPairIndex:  " FORCE INDEX (conversations_pair)",
		byCIDIndex:   " FORCE INDEX (messages_cid)",
		addQuota: `INSERT INTO quotas (user_id, kind, full_at) VALUES (?, ?, ?)
			ON DUPLICATE KEY UPDATE full_at = GREATEST(full_at + ?, VALUES(full_at))`,
		page:       selectAfter + d.Limit,
		pageBefore: selectBefore + d.Limit,
		traceSeq:   traceMessages + `m.conversation_id = ? AND m.seq = ?`,
		traceCID:   traceMessages + `m.conversation_id = ? AND m.sender_id = ? AND m.cid = ?`,
		repeats: func(rows int) string {
			return `SELECT conversation_id, sender_id, cid, seq, created_at FROM messages WHERE ` +
				sqldb.AnyOf("conversation_id = ? AND sender_id = ? AND cid = ?", rows)
		},
		// An upsert, because it updates any number of rows in one statement. It
		// never inserts: the rows exist and are locked.
		raiseHeads: func(rows int) string {
			return `INSERT INTO conversations (kind, id, last_seq, last_time, tick) VALUES ` + sqldb.Repeated("(0, ?, ?, ?, ?)", rows) + `
				ON DUPLICATE KEY UPDATE last_seq = VALUES(last_seq), last_time = VALUES(last_time), tick = VALUES(tick)`
		},
		// INSERT ... SELECT doesn't lock the rows that it reads. The joins leave
		// out devices that were removed meanwhile, and users who are no longer
		// members.
		raiseDelivered: func(rows int) string {
			return `INSERT INTO cursors (user_id, device, conversation_id, delivered_seq)
				SELECT STRAIGHT_JOIN v.user_id, d.device, v.conversation_id, LEAST(v.seq, c.last_seq)
				FROM (` + union("? AS user_id, CAST(? AS BINARY) AS device, ? AS conversation_id, ? AS seq", "?, CAST(? AS BINARY), ?, ?", rows) + `) AS v
				JOIN conversations c ON c.id = v.conversation_id
				JOIN devices d ON d.user_id = v.user_id AND d.device = v.device
				JOIN members m ON m.conversation_id = v.conversation_id AND m.user_id = v.user_id
				ON DUPLICATE KEY UPDATE delivered_seq = GREATEST(delivered_seq, VALUES(delivered_seq))`
		},
		// An UPDATE locks every table it joins, so conversations isn't joined.
		raiseRead: func(rows int) string {
			return `UPDATE (` + union("? AS user_id, ? AS conversation_id, ? AS seq", "?, ?, ?", rows) + `) AS v
				STRAIGHT_JOIN members m ON m.conversation_id = v.conversation_id AND m.user_id = v.user_id
				SET m.read_seq = GREATEST(m.read_seq, v.seq)`
		},
		raiseUsed: func(rows int) string {
			return `UPDATE (` + union("? AS user_id, CAST(? AS BINARY) AS device, ? AS ms", "?, CAST(? AS BINARY), ?", rows) + `) AS v
				STRAIGHT_JOIN devices d ON d.user_id = v.user_id AND d.device = v.device
				SET d.last_used = GREATEST(d.last_used, v.ms) WHERE d.last_used >= 0`
		},
		raiseLastSession: func(rows int) string {
			return `UPDATE (` + union("? AS user_id, ? AS number", "?, ?", rows) + `) AS v
				STRAIGHT_JOIN users u ON u.id = v.user_id
				SET u.last_session = GREATEST(u.last_session, v.number)`
		},
		raiseSession: func(rows int) string {
			return `UPDATE (` + union("? AS user_id, CAST(? AS BINARY) AS device, ? AS number, ? AS ms", "?, CAST(? AS BINARY), ?, ?", rows) + `) AS v
				STRAIGHT_JOIN devices d ON d.user_id = v.user_id AND d.device = v.device
				SET d.session = GREATEST(d.session, v.number), d.last_used = GREATEST(d.last_used, v.ms)`
		},
	}
}

// union returns a derived table of a number of rows, in a syntax that works with
// both MariaDB and MySQL.
func union(first, further string, rows int) string {
	return "SELECT " + first + strings.Repeat(" UNION ALL SELECT "+further, rows-1)
}
