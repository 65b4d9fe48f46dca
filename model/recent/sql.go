package recent

import (
	"context"
	"database/sql"
	"strconv"
)

// Columns are the columns of messages, which recent has, too.
const Columns = `conversation_id, seq, sender_id, cid, body, created_at`

// LastSQL is a query for the highest ID that any process has given to a row.
const LastSQL = `SELECT MAX(COALESCE((SELECT MAX(id) FROM recent), 0), (SELECT value FROM meta WHERE name = 'recent_last'))`

// querier is a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Load adds the rows after the highest ID that x knows. It blocks on the database,
// and returns its errors. If another process may write, q must be a transaction that
// writes.
func (x *Index) Load(ctx context.Context, q querier) error { return load(ctx, q, x, x.Last()) }

// Reload replaces what x knows by the rows in the database. q must be a transaction
// that writes. It blocks, and returns the database's errors; x is unchanged then.
func (x *Index) Reload(ctx context.Context, q querier) error {
	y := NewIndex()
	if err := load(ctx, q, y, 0); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.convs, x.ids, x.clashes, x.size, x.bytes, x.peak = y.convs, y.ids, y.clashes, y.size, y.bytes, y.peak
	x.seed, x.last, x.leftover, x.doubtful = y.seed, max(x.last, y.last), max(x.leftover, y.leftover), false
	return nil
}

func load(ctx context.Context, q querier, x *Index, after int64) error {
	rows, err := q.QueryContext(ctx, `SELECT r.id, r.conversation_id, r.seq, r.sender_id, r.cid, LENGTH(r.cid) + LENGTH(r.body),
		r.seq <= COALESCE((SELECT MAX(m.seq) FROM messages m WHERE m.conversation_id = r.conversation_id), 0)
		FROM recent r WHERE r.id > ? ORDER BY r.id`, after)
	if err != nil {
		return err
	}
	defer rows.Close()
	var batch []Row
	for rows.Next() {
		var r Row
		var copied bool
		if err := rows.Scan(&r.ID, &r.Conv, &r.Seq, &r.Sender, &r.CID, &r.Size, &copied); err != nil {
			x.Add(batch)
			return err
		}
		if copied {
			x.Add(batch) // before higher IDs are known
			batch = batch[:0]
			x.copied(r.ID)
			continue
		}
		if batch = append(batch, r); len(batch) == loadBatch {
			x.Add(batch)
			batch = batch[:0]
		}
	}
	x.Add(batch)
	return rows.Err()
}

// loadBatch is how many rows Load adds at a time.
const loadBatch = 1024

// List returns IDs as a JSON array, for json_each.
func List(ids []int64) string {
	b := append(make([]byte, 0, 2+12*len(ids)), '[')
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, id, 10)
	}
	return string(append(b, ']'))
}
