package model

import (
	"context"
	"database/sql"

	"github.com/jmoiron/sqlx"

	"chatd/model/feed"
	"chatd/model/sqldb"
)

// appendStmts are the statements of an appendStep. They are prepared when the
// store is opened, because a transaction occupies the only connection.
type appendStmts struct {
	pairs, newPairs, lockedPairs, newMembers, users *sqldb.BatchStmt
	heads, repeats, members, insert, raise          *sqldb.BatchStmt
	contacts, sizes                                 *sqldb.BatchStmt
	headsSkipLocked, existing                       *sqldb.BatchStmt // nil if no other process writes
	record                                          *sql.Stmt        // feed.RecordSQL
}

func prepareAppendStmts(ctx context.Context, db *DB, pool *sqlx.DB) (*appendStmts, error) {
	s := new(appendStmts)
	heads := func(lock string) func(int) string {
		return func(n int) string {
			return `SELECT id, kind, last_seq, version, blocks, gone, tick FROM conversations` + db.d.ByPrimaryKey + `
				WHERE id IN (` + sqldb.Repeated("?", n) + `) ORDER BY id` + lock
		}
	}
	for _, want := range []struct {
		to   **sqldb.BatchStmt
		spec sqldb.BatchSpec
	}{
		{&s.pairs, sqldb.BatchSpec{Width: 2, SQL: func(n int) string {
			return `SELECT id, user_lo, user_hi FROM conversations WHERE ` + sqldb.AnyOf("user_lo = ? AND user_hi = ?", n)
		}}},
		{&s.newPairs, sqldb.BatchSpec{Width: 2, Exact: true, SQL: func(n int) string {
			return `INSERT INTO conversations (kind, user_lo, user_hi) VALUES ` + sqldb.Repeated("(1, ?, ?)", n) + db.d.keepPair
		}}},
		{&s.lockedPairs, sqldb.BatchSpec{Width: 2, SQL: func(n int) string { return lockedPairs(db, n) }}},
		{&s.newMembers, sqldb.BatchSpec{Width: 3, Exact: true, SQL: func(n int) string {
			return `INSERT INTO members (conversation_id, user_id, joined_at) VALUES ` + sqldb.Repeated("(?, ?, ?)", n) + db.d.keepMember
		}}},
		{&s.users, sqldb.BatchSpec{Width: 1, SQL: func(n int) string {
			return `SELECT id FROM users WHERE id IN (` + sqldb.Repeated("?", n) + `) AND deleted = 0 ORDER BY id` + db.d.ForShare
		}}},
		{&s.heads, sqldb.BatchSpec{Width: 1, SQL: heads(db.d.ForUpdate)}},
		{&s.headsSkipLocked, sqldb.BatchSpec{Width: 1, SQL: heads(db.d.ForUpdate + db.d.SkipLocked)}},
		{&s.existing, sqldb.BatchSpec{Width: 1, SQL: func(n int) string {
			return `SELECT id FROM conversations WHERE id IN (` + sqldb.Repeated("?", n) + `)`
		}}},
		{&s.repeats, sqldb.BatchSpec{Width: 3, SQL: db.d.repeats}},
		{&s.members, sqldb.BatchSpec{Width: 2, SQL: func(n int) string {
			return `SELECT conversation_id, user_id FROM members WHERE ` + sqldb.AnyOf("conversation_id = ? AND user_id = ?", n)
		}}},
		{&s.insert, sqldb.BatchSpec{Width: 6, Exact: true, SQL: func(n int) string {
			return db.d.Insert + ` INTO messages (conversation_id, seq, sender_id, cid, body, created_at) VALUES ` +
				sqldb.Repeated("(?, ?, ?, ?, ?, ?)", n)
		}}},
		{&s.contacts, sqldb.BatchSpec{Width: 1, SQL: func(n int) string { return contactsSQL(db.d, n) }}},
		{&s.sizes, sqldb.BatchSpec{Width: 1, SQL: sizesSQL}},
		{&s.raise, sqldb.BatchSpec{Width: 4, SQL: db.d.raiseHeads}},
	} {
		if db.d.SkipLocked == "" && (want.to == &s.headsSkipLocked || want.to == &s.existing) {
			continue // no other process can hold a conversation's lock
		}
		var err error
		if *want.to, err = db.sql.PrepareBatch(ctx, pool, want.spec); err != nil {
			s.close()
			return nil, err
		}
	}
	var err error
	if s.record, err = pool.PrepareContext(ctx, feed.RecordSQL(db.sql)); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// lockedPairs returns a query that finds existing pairs and locks their rows. A
// plain read would miss rows that another node has inserted since this
// transaction's snapshot.
func lockedPairs(db *DB, rows int) string {
	return `SELECT id, user_lo, user_hi FROM conversations` + db.d.byPairIndex + ` WHERE ` +
		sqldb.AnyOf("user_lo = ? AND user_hi = ?", rows) + db.d.ForUpdate
}

func (s *appendStmts) close() {
	for _, stmt := range []*sqldb.BatchStmt{
		s.pairs, s.newPairs, s.lockedPairs, s.newMembers, s.users,
		s.heads, s.repeats, s.members, s.insert, s.raise, s.headsSkipLocked, s.existing, s.contacts, s.sizes,
	} {
		stmt.Close()
	}
	if s.record != nil {
		_ = s.record.Close() // fails if the server is gone, which does no harm
	}
}
