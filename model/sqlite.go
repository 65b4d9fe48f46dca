package model

import "chatd/model/sqldb"

func sqlite(d *sqldb.Dialect) *dialect {
	return &dialect{
		Dialect: d,
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
				WHERE devices.user_id = v.column1 AND devices.device = v.column2`
		},
	}
}
