package model

import (
	"context"
	"database/sql"
	"fmt"
	"math/bits"
	"strings"

	"github.com/jmoiron/sqlx"
)

// forms are the statements of the append transaction, prepared for every
// power of two of rows: the connection is the transaction's own while it
// runs, so none can be prepared then.
type forms struct {
	pairs, users, heads, free, exist, repeats, members, insert, raise *form
	newPairs, pairIDs, newMembers                                     *form
}

// all are the forms, those that the dialect doesn't need as nil.
func (f *forms) all() []*form {
	return []*form{f.pairs, f.users, f.heads, f.free, f.exist, f.repeats, f.members, f.insert, f.raise,
		f.newPairs, f.pairIDs, f.newMembers}
}

func prepareForms(ctx context.Context, db *DB, on *sqlx.DB) (*forms, error) {
	f := new(forms)
	heads := func(how string) func(int) string {
		return func(n int) string {
			return `SELECT id, kind, last_seq, version, blocks, gone FROM conversations` + db.d.by + `
				WHERE id IN (` + repeated("?", n) + `) ORDER BY id` + how
		}
	}
	for _, want := range []struct {
		to    **form
		width int
		exact bool
		sql   func(rows int) string
	}{
		{&f.pairs, 2, false, func(n int) string {
			return `SELECT id, user_lo, user_hi FROM conversations WHERE ` + either("user_lo = ? AND user_hi = ?", n)
		}},
		{&f.newPairs, 2, true, func(n int) string {
			return `INSERT INTO conversations (kind, user_lo, user_hi) VALUES ` + repeated("(1, ?, ?)", n) + db.d.pairRow
		}},
		{&f.pairIDs, 2, false, func(n int) string { return pairIDs(db, n) }},
		{&f.newMembers, 3, true, func(n int) string {
			return `INSERT INTO members (conversation_id, user_id, joined_at) VALUES ` + repeated("(?, ?, ?)", n) + db.d.keepRow
		}},
		{&f.users, 1, false, func(n int) string {
			return `SELECT id FROM users WHERE id IN (` + repeated("?", n) + `) AND deleted = 0 ORDER BY id` + db.d.sharing
		}},
		{&f.heads, 1, false, heads(db.d.locking)},
		{&f.free, 1, false, heads(db.d.locking + db.d.skip)},
		{&f.exist, 1, false, func(n int) string {
			return `SELECT id FROM conversations WHERE id IN (` + repeated("?", n) + `)`
		}},
		{&f.repeats, 3, false, func(n int) string {
			return `SELECT conversation_id, sender_id, cid, seq, created_at FROM messages WHERE ` +
				either("conversation_id = ? AND sender_id = ? AND cid = ?", n)
		}},
		{&f.members, 2, false, func(n int) string {
			return `SELECT conversation_id, user_id FROM members WHERE ` + either("conversation_id = ? AND user_id = ?", n)
		}},
		{&f.insert, 6, true, func(n int) string {
			return db.d.insert + ` INTO messages (conversation_id, seq, sender_id, cid, body, created_at) VALUES ` +
				repeated("(?, ?, ?, ?, ?, ?)", n)
		}},
		{&f.raise, 3, false, db.d.raiseHeads},
	} {
		if db.d.skip == "" && (want.to == &f.free || want.to == &f.exist) {
			continue // there is nobody who may hold a conversation
		}
		p := &form{width: want.width, exact: want.exact, max: db.d.maxRows}
		*want.to = p
		for n := 1; n <= p.max; n *= 2 {
			s, err := on.PrepareContext(ctx, want.sql(n))
			if err != nil {
				f.close()
				return nil, fmt.Errorf("prepare %.40q: %w", strings.TrimSpace(want.sql(1)), err)
			}
			p.stmts = append(p.stmts, s)
		}
	}
	return f, nil
}

// pairIDs is a query for pairs that are there, as they are now: what another
// node has just made isn't in this transaction's snapshot.
func pairIDs(db *DB, rows int) string {
	return `SELECT id, user_lo, user_hi FROM conversations` + db.d.byPair + ` WHERE ` +
		either("user_lo = ? AND user_hi = ?", rows) + db.d.locking
}

func (f *forms) close() {
	for _, p := range f.all() {
		if p == nil {
			continue
		}
		for _, s := range p.stmts {
			_ = s.Close() // of a server that has gone, say
		}
	}
}

// form is one statement, with 1, 2, 4 … rows of width arguments.
type form struct {
	stmts []*sql.Stmt
	width int
	max   int
	exact bool // no row may come twice
}

// exec runs the statement with all rows in args, in as few as they fit in.
func (f *form) exec(ctx context.Context, tx *sql.Tx, args []any) error {
	return f.cut(args, func(s *sql.Stmt, args []any) error {
		_, err := tx.StmtContext(ctx, s).ExecContext(ctx, args...)
		return err
	})
}

// rows runs the query with all rows in args and gives each row found to scan.
func (f *form) rows(ctx context.Context, tx *sql.Tx, args []any, scan func(*sql.Rows) error) error {
	return f.cut(args, func(s *sql.Stmt, args []any) error {
		r, err := tx.StmtContext(ctx, s).QueryContext(ctx, args...)
		if err != nil {
			return err
		}
		defer r.Close()
		for r.Next() {
			if err := scan(r); err != nil {
				return err
			}
		}
		return r.Err()
	})
}

// cut calls do with as many rows at a time as there is a statement for.
func (f *form) cut(args []any, do func(s *sql.Stmt, args []any) error) error {
	if !f.exact {
		return inChunks(args, f.width, f.max, func(rows int, args []any) error {
			return do(f.stmts[bits.Len(uint(rows))-1], args)
		})
	}
	for len(args) > 0 {
		size := bits.Len(uint(min(len(args)/f.width, f.max))) - 1
		n := f.width << size
		if err := do(f.stmts[size], args[:n]); err != nil {
			return err
		}
		args = args[n:]
	}
	return nil
}

// inChunks calls do with the rows in all, each of width arguments, cut into
// powers of two of at most max rows. What is left over is filled up with the
// last row again: few forms of statement, for few to prepare.
func inChunks(all []any, width, max int, do func(rows int, args []any) error) error {
	for len(all) > 0 {
		n := min(len(all)/width, max)
		args := all[:n*width]
		all = all[n*width:]
		rows := 1
		for rows < n {
			rows *= 2
		}
		if rows > n {
			last := args[len(args)-width:]
			args = append(make([]any, 0, rows*width), args...)
			for ; n < rows; n++ {
				args = append(args, last...)
			}
		}
		if err := do(rows, args); err != nil {
			return err
		}
	}
	return nil
}
