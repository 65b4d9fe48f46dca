package model

import (
	"context"
	"database/sql"

	"github.com/jmoiron/sqlx"

	"chatd/model/recent"
	"chatd/model/sqldb"
)

// recentLog is the part of an append step that only SQLite needs. There, an append
// writes to the table recent: see recent/DESIGN.md. The methods of a nil recentLog
// do nothing, except for findRecent and add.
type recentLog struct {
	index  *recent.Index
	folder *recent.Folder
	shared bool // another process may move rows: messages may have rows of the index

	last, find *sql.Stmt
	insert     *sqldb.BatchStmt
	rows       []recent.Row // of the open transaction
	next       int64        // the ID of the transaction's first row
	ids        []int64      // scratch space
}

func newRecentLog(ctx context.Context, db *DB, pool *sqlx.DB) (r *recentLog, err error) {
	if db.recent == nil {
		return nil, nil
	}
	r = &recentLog{index: db.recent, folder: db.folder, shared: db.o.Shared}
	if r.last, err = pool.PrepareContext(ctx, recent.LastSQL); err != nil {
		return nil, err
	}
	if r.find, err = pool.PrepareContext(ctx, `SELECT conversation_id, sender_id, cid, seq, created_at FROM recent
		WHERE id IN (SELECT value FROM json_each(?))`); err != nil {
		r.close()
		return nil, err
	}
	r.insert, err = db.sql.PrepareBatch(ctx, pool, sqldb.BatchSpec{Width: 7, Exact: true, SQL: func(n int) string {
		return db.d.Insert + ` INTO recent (id, ` + recent.Columns + `) VALUES ` + sqldb.Repeated("(?, ?, ?, ?, ?, ?, ?)", n)
	}})
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *recentLog) close() {
	if r == nil {
		return
	}
	for _, s := range []*sql.Stmt{r.last, r.find} {
		if s != nil {
			_ = s.Close() // fails only if the connection is closed
		}
	}
	r.insert.Close()
}

// begin prepares a transaction. It blocks if recent is full, and returns an error
// if there can't be made room.
func (r *recentLog) begin(ctx context.Context) error {
	if r == nil {
		return nil
	}
	if !r.shared {
		if err := r.folder.MakeRoom(ctx); err != nil {
			return err
		}
	}
	r.folder.Began()
	return nil
}

// end records the end of a transaction.
func (r *recentLog) end() {
	if r != nil {
		r.folder.Ended()
	}
}

// catchUp makes the index complete, in a transaction that has just begun: another
// process, or a commit that returned an error, may have added rows.
func (r *recentLog) catchUp(ctx context.Context, tx *sql.Tx) error {
	if r == nil {
		return nil
	}
	r.rows = r.rows[:0]
	var last int64
	err := tx.StmtContext(ctx, r.last).QueryRowContext(ctx).Scan(&last)
	switch {
	case err != nil:
	case r.shared && r.folder.Full(): // rows that the other process has moved are never removed
		err = r.index.Reload(ctx, tx)
	case last != r.index.Last():
		err = r.index.Load(ctx, tx)
	}
	r.next = last + 1
	return err
}

// findRecent looks up in recent which messages of a batch are in the log. It
// returns those that may be in messages, as arguments for repeats.
func (s *appendStep) findRecent(ctx context.Context, args []any) ([]any, error) {
	r := s.recent
	r.ids = r.ids[:0]
	for _, a := range s.batch {
		h := s.heads[a.Conv]
		if !a.Pending() || h == nil || h.last == 0 {
			continue
		}
		// A found row may have another key. So the message is looked up in messages
		// in any case, unless all messages of the conversation are in recent.
		r.ids = r.index.Find(r.ids, a.Conv, a.Sender, a.CID)
		if r.shared || !r.index.Complete(a.Conv) {
			args = append(args, a.Conv, a.Sender, a.CID)
		}
	}
	if len(r.ids) == 0 {
		return args, nil
	}
	rows, err := s.tx.StmtContext(ctx, r.find).QueryContext(ctx, recent.List(r.ids))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := s.scanRepeat(rows); err != nil {
			return nil, err
		}
	}
	return args, rows.Err()
}

// add appends the arguments for the row of a message to args.
func (r *recentLog) add(args []any, a *Append) []any {
	id := r.next + int64(len(r.rows))
	r.rows = append(r.rows, recent.Row{ID: id, Conv: a.Conv, Seq: a.Seq, Sender: a.Sender, CID: a.CID, Size: len(a.CID) + len(a.Body)})
	return append(args, id, a.Conv, a.Seq, a.Sender, a.CID, a.Body, a.Time)
}

// committed adds the rows of the transaction to the index. Call it while the
// transaction still keeps the Folder out.
func (r *recentLog) committed() {
	if r == nil {
		return
	}
	r.index.Add(r.rows)
	clear(r.rows) // don't keep cids alive
	r.rows = r.rows[:0]
}
