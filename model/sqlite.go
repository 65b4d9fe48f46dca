package model

import "chatd/model/sqldb"

// On SQLite, a conversation's log is its rows in messages, followed by those rows in
// recent that have a higher seq: see recent/DESIGN.md. To find the latter, a query
// gets the IDs that the index knows, and the highest ID in the index: rows may be
// newer. As one statement sees one moment, it doesn't matter whether rows are moved
// after the look into the index.
const (
	known     = `m.id IN (SELECT value FROM json_each(?))`
	newer     = `m.id > ?`
	notCopied = ` AND m.seq > COALESCE((SELECT MAX(seq) FROM messages WHERE conversation_id = ? + 0), 0)`

	selectRecent = `SELECT ` + messageColumns + ` FROM recent m WHERE `
	knownAfter   = selectRecent + known + notCopied + ` AND m.seq > ? ORDER BY m.id`
	newerAfter   = selectRecent + newer + ` AND m.conversation_id = ? + 0` + notCopied + ` AND m.seq > ? ORDER BY m.id`
	knownBefore  = selectRecent + known + notCopied + ` AND m.seq >= ? ORDER BY m.id DESC`
	newerBefore  = selectRecent + newer + ` AND m.conversation_id = ? + 0` + notCopied + ` AND m.seq < ? AND m.seq >= ? ORDER BY m.id DESC`

	traceRecent = ` UNION ALL ` + tracedColumns + ` FROM recent m JOIN users u ON u.id = m.sender_id WHERE (` + known + ` OR ` + newer + `) AND `
)

func sqlite(d *sqldb.Dialect) *dialect {
	return &dialect{
		Dialect: d,
		addQuota: `INSERT INTO quotas (user_id, kind, full_at) VALUES (?, ?, ?)
			ON CONFLICT (user_id, kind) DO UPDATE SET full_at = max(full_at + ?, excluded.full_at)`,
		page: `SELECT * FROM (` + d.Operand(selectAfter+d.Limit) + ` UNION ALL ` + d.Operand(knownAfter) + ` UNION ALL ` +
			d.Operand(newerAfter) + `) v` + d.Limit,
		pageBefore: `SELECT * FROM (` + d.Operand(newerBefore) + ` UNION ALL ` + d.Operand(knownBefore) + ` UNION ALL ` +
			d.Operand(selectBefore+d.Limit) + `) v` + d.Limit,
		// Rows that are copied but not deleted yet are in both tables.
		traceSeq: traceMessages + `m.conversation_id = ? AND m.seq = ?` + traceRecent + `m.conversation_id = ? AND m.seq = ? LIMIT 1`,
		traceCID: traceMessages + `m.conversation_id = ? AND m.sender_id = ? AND m.cid = ?` + traceRecent +
			`m.conversation_id = ? AND m.sender_id = ? AND m.cid = ? LIMIT 1`,
		repeats: func(rows int) string {
			return `SELECT m.conversation_id, m.sender_id, m.cid, m.seq, m.created_at
				FROM (VALUES ` + sqldb.Repeated("(?, ?, ?)", rows) + `) AS v
				CROSS JOIN messages m ON m.conversation_id = v.column1 AND m.sender_id = v.column2 AND m.cid = v.column3`
		},
		raiseHeads: func(rows int) string {
			return `UPDATE conversations SET last_seq = v.column2, last_time = v.column3, tick = v.column4
				FROM (VALUES ` + sqldb.Repeated("(?, ?, ?, ?)", rows) + `) AS v WHERE conversations.id = v.column1`
		},
		// CROSS JOIN makes SQLite keep the order of the tables. The joins leave
		// out devices that were removed meanwhile, and users who are no longer
		// members.
		raiseDelivered: func(rows int) string {
			return `INSERT INTO cursors (user_id, device, conversation_id, delivered_seq)
				SELECT v.column1, v.column2, v.column3, min(v.column4, c.last_seq)
				FROM (VALUES ` + sqldb.Repeated("(?, ?, ?, ?)", rows) + `) AS v
				CROSS JOIN conversations c ON c.id = v.column3
				CROSS JOIN devices d ON d.user_id = v.column1 AND d.device = v.column2
				CROSS JOIN members m ON m.conversation_id = v.column3 AND m.user_id = v.column1
				WHERE true
				ON CONFLICT (user_id, device, conversation_id)
				DO UPDATE SET delivered_seq = max(delivered_seq, excluded.delivered_seq)`
		},
		raiseRead: func(rows int) string {
			return `UPDATE members SET read_seq = max(read_seq, v.column3)
				FROM (VALUES ` + sqldb.Repeated("(?, ?, ?)", rows) + `) AS v
				WHERE members.conversation_id = v.column2 AND members.user_id = v.column1`
		},
		raiseUsed: func(rows int) string {
			return `UPDATE devices SET last_used = max(last_used, v.column3)
				FROM (VALUES ` + sqldb.Repeated("(?, ?, ?)", rows) + `) AS v
				WHERE devices.user_id = v.column1 AND devices.device = v.column2 AND devices.last_used >= 0`
		},
		raiseLastSession: func(rows int) string {
			return `UPDATE users SET last_session = max(last_session, v.column2)
				FROM (VALUES ` + sqldb.Repeated("(?, ?)", rows) + `) AS v WHERE users.id = v.column1`
		},
		raiseSession: func(rows int) string {
			return `UPDATE devices SET session = max(session, v.column3), last_used = max(last_used, v.column4)
				FROM (VALUES ` + sqldb.Repeated("(?, ?, ?, ?)", rows) + `) AS v
				WHERE devices.user_id = v.column1 AND devices.device = v.column2`
		},
	}
}
