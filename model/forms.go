package model

import (
	"context"

	"github.com/jmoiron/sqlx"

	"chatd/model/sqldb"
)

// forms are the statements of the append transaction. They are prepared up
// front: while the transaction runs, its connection is busy.
type forms struct {
	pairs, users, heads, free, exist, repeats, members, insert, raise *sqldb.BatchStmt
	newPairs, pairIDs, newMembers                                     *sqldb.BatchStmt
}

func (f *forms) all() []**sqldb.BatchStmt {
	return []**sqldb.BatchStmt{&f.pairs, &f.users, &f.heads, &f.free, &f.exist, &f.repeats, &f.members, &f.insert, &f.raise,
		&f.newPairs, &f.pairIDs, &f.newMembers}
}

func prepareForms(ctx context.Context, db *DB, on *sqlx.DB) (*forms, error) {
	f := new(forms)
	heads := func(how string) func(int) string {
		return func(n int) string {
			return `SELECT id, kind, last_seq, version, blocks, gone FROM conversations` + db.d.ByPrimaryKey + `
				WHERE id IN (` + sqldb.Repeated("?", n) + `) ORDER BY id` + how
		}
	}
	for _, want := range []struct {
		to   **sqldb.BatchStmt
		spec sqldb.BatchSpec
	}{
		{&f.pairs, sqldb.BatchSpec{Width: 2, SQL: func(n int) string {
			return `SELECT id, user_lo, user_hi FROM conversations WHERE ` + sqldb.AnyOf("user_lo = ? AND user_hi = ?", n)
		}}},
		{&f.newPairs, sqldb.BatchSpec{Width: 2, Exact: true, SQL: func(n int) string {
			return `INSERT INTO conversations (kind, user_lo, user_hi) VALUES ` + sqldb.Repeated("(1, ?, ?)", n) + db.d.keepPair
		}}},
		{&f.pairIDs, sqldb.BatchSpec{Width: 2, SQL: func(n int) string { return pairIDs(db, n) }}},
		{&f.newMembers, sqldb.BatchSpec{Width: 3, Exact: true, SQL: func(n int) string {
			return `INSERT INTO members (conversation_id, user_id, joined_at) VALUES ` + sqldb.Repeated("(?, ?, ?)", n) + db.d.keepMember
		}}},
		{&f.users, sqldb.BatchSpec{Width: 1, SQL: func(n int) string {
			return `SELECT id FROM users WHERE id IN (` + sqldb.Repeated("?", n) + `) AND deleted = 0 ORDER BY id` + db.d.ForShare
		}}},
		{&f.heads, sqldb.BatchSpec{Width: 1, SQL: heads(db.d.ForUpdate)}},
		{&f.free, sqldb.BatchSpec{Width: 1, SQL: heads(db.d.ForUpdate + db.d.SkipLocked)}},
		{&f.exist, sqldb.BatchSpec{Width: 1, SQL: func(n int) string {
			return `SELECT id FROM conversations WHERE id IN (` + sqldb.Repeated("?", n) + `)`
		}}},
		{&f.repeats, sqldb.BatchSpec{Width: 3, SQL: func(n int) string {
			return `SELECT conversation_id, sender_id, cid, seq, created_at FROM messages WHERE ` +
				sqldb.AnyOf("conversation_id = ? AND sender_id = ? AND cid = ?", n)
		}}},
		{&f.members, sqldb.BatchSpec{Width: 2, SQL: func(n int) string {
			return `SELECT conversation_id, user_id FROM members WHERE ` + sqldb.AnyOf("conversation_id = ? AND user_id = ?", n)
		}}},
		{&f.insert, sqldb.BatchSpec{Width: 6, Exact: true, SQL: func(n int) string {
			return db.d.Insert + ` INTO messages (conversation_id, seq, sender_id, cid, body, created_at) VALUES ` +
				sqldb.Repeated("(?, ?, ?, ?, ?, ?)", n)
		}}},
		{&f.raise, sqldb.BatchSpec{Width: 3, SQL: db.d.raiseHeads}},
	} {
		if db.d.SkipLocked == "" && (want.to == &f.free || want.to == &f.exist) {
			continue // no other process can hold a conversation's lock
		}
		var err error
		if *want.to, err = db.sql.PrepareBatch(ctx, on, want.spec); err != nil {
			f.close()
			return nil, err
		}
	}
	return f, nil
}

// pairIDs is a query for pairs that exist, with a locking read: what another
// node has just inserted isn't in this transaction's snapshot.
func pairIDs(db *DB, rows int) string {
	return `SELECT id, user_lo, user_hi FROM conversations` + db.d.byPairIndex + ` WHERE ` +
		sqldb.AnyOf("user_lo = ? AND user_hi = ?", rows) + db.d.ForUpdate
}

func (f *forms) close() {
	for _, s := range f.all() {
		(*s).Close()
	}
}
