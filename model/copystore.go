package model

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"chatd/model/sqldb"

	"github.com/jmoiron/sqlx"
)

// Limits of one transaction of CopyStore.
const (
	copyRows  = 4096    // rows
	copyBytes = 4 << 20 // bytes of text and blobs
)

// table describes a table that CopyStore copies.
type table struct {
	name    string
	columns []column
	order   string // the primary key: both databases then read and write it sequentially
}

// column has an explicit Go type, as the drivers return different types for the
// same column.
type column struct {
	name string
	kind func() any // a pointer to scan into
}

func integer() any { return new(sql.NullInt64) }
func text() any    { return new(sql.NullString) }
func blob() any    { return new([]byte) }

// tables lists the tables to copy. Of the table meta, CopyStore copies only the
// epoch. It doesn't copy looks, which a daemon computes when it starts, nor quotas, which are full again after
// a day.
func tables() []table {
	return []table{
		{"users", []column{{"id", integer}, {"name", text}, {"name_key", text}, {"password_hash", text}, {"created_at", integer}, {"banned", integer}, {"deleted", integer},
			{"deleted_at", integer}, {"last_session", integer}}, "id"},
		{"devices", []column{{"user_id", integer}, {"device", text}, {"token_hash", blob}, {"last_used", integer}, {"session", integer}}, "user_id, device"},
		{"friends", []column{{"user_id", integer}, {"friend_id", integer}}, "user_id, friend_id"},
		{"conversations", []column{{"id", integer}, {"kind", integer}, {"user_lo", integer}, {"user_hi", integer}, {"name", text}, {"description", text},
			{"creator", integer}, {"size", integer}, {"gone", integer}, {"last_seq", integer}, {"last_time", integer}, {"version", integer},
			{"blocks", integer}, {"tick", integer}}, "id"},
		{"members", []column{{"conversation_id", integer}, {"user_id", integer}, {"role", integer}, {"joined_seq", integer}, {"joined_at", integer}, {"read_seq", integer}},
			"conversation_id, user_id"},
		{"cursors", []column{{"user_id", integer}, {"device", text}, {"conversation_id", integer}, {"delivered_seq", integer}}, "user_id, device, conversation_id"},
		{"messages", []column{{"conversation_id", integer}, {"seq", integer}, {"sender_id", integer}, {"cid", blob}, {"body", blob}, {"created_at", integer}}, "conversation_id, seq"},
		{"deletions", []column{{"user_id", integer}}, "user_id"},
		{"invites", []column{{"id", integer}, {"code_hash", blob}, {"created_at", integer}, {"expires_at", integer}, {"uses", integer}, {"uses_left", integer}}, "id"},
	}
}

// CopyStore copies all data from one store to another, which must be empty. IDs,
// seqs, tokens and the epoch stay the same, so clients notice nothing. No other
// process may use either store meanwhile; for SQLite, Open ensures that. After
// copying, CopyStore compares the row count of each table and checks that no log
// has a gap.
//
// If progress is not nil, CopyStore calls it after each transaction with the
// table's name and the number of rows copied so far. After an error, the target
// may hold part of the data: discard it.
func CopyStore(ctx context.Context, from, to *DB, progress func(table string, rows int64)) error {
	if progress == nil {
		progress = func(string, int64) {}
	}
	for _, t := range tables() {
		var n int64
		if err := to.sql.Reader.GetContext(ctx, &n, `SELECT COUNT(*) FROM (SELECT 1 FROM `+t.name+` LIMIT 1) AS some`); err != nil {
			return fmt.Errorf("copy to %s: %w", to.sql.Where, err)
		}
		if n > 0 {
			return fmt.Errorf("copy to %s: the target isn't empty, its table %s has rows: use a new database", to.sql.Where, t.name)
		}
	}
	if from.folder != nil {
		if err := from.folder.All(ctx); err != nil { // so that they are in messages
			return fmt.Errorf("copy from %s: move the newest messages: %w", from.sql.Where, err)
		}
	}
	for _, t := range tables() {
		rows, err := copyTable(ctx, from, to, t, progress)
		if err == nil {
			err = checkTable(ctx, to, t, rows)
		}
		if err != nil {
			return fmt.Errorf("copy %s from %s to %s: %w", t.name, from.sql.Where, to.sql.Where, err)
		}
	}
	if err := checkLogs(ctx, to); err != nil {
		return fmt.Errorf("copy from %s to %s: %w", from.sql.Where, to.sql.Where, err)
	}
	err := to.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return one(tx.ExecContext(ctx, `UPDATE meta SET value = ? WHERE name = 'epoch'`, from.Epoch()))
	})
	if err != nil {
		return fmt.Errorf("copy the epoch to %s: %w", to.sql.Where, err)
	}
	to.epoch.Store(from.Epoch())
	return nil
}

func copyTable(ctx context.Context, from, to *DB, t table, progress func(string, int64)) (total int64, err error) {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	columns := strings.Join(names, ", ")
	rows, err := from.sql.Reader.QueryxContext(ctx, `SELECT `+columns+` FROM `+t.name+` ORDER BY `+t.order)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	insert := func(n int) string {
		return `INSERT INTO ` + t.name + ` (` + columns + `) VALUES ` + sqldb.Repeated("("+sqldb.Repeated("?", len(names))+")", n)
	}
	var batch []any
	bytes := 0
	flush := func() error {
		err := to.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
			for rest := batch; len(rest) > 0; {
				n := sqldb.Fitting(rest, len(names), to.d.MaxRows, to.sql.MaxBytes)
				if _, err := tx.ExecContext(ctx, insert(n), rest[:n*len(names)]...); err != nil {
					return err
				}
				rest = rest[n*len(names):]
			}
			return nil
		})
		total += int64(len(batch) / len(names))
		batch, bytes = batch[:0], 0
		progress(t.name, total)
		return err
	}
	for rows.Next() {
		into := make([]any, len(t.columns))
		for i, c := range t.columns {
			into[i] = c.kind()
		}
		if err := rows.Scan(into...); err != nil {
			return total, err
		}
		for _, v := range into {
			switch v := v.(type) {
			case *sql.NullInt64:
				batch = append(batch, *v)
			case *sql.NullString:
				batch = append(batch, *v)
				bytes += len(v.String)
			case *[]byte:
				batch = append(batch, *v)
				bytes += len(*v)
			}
		}
		if len(batch) >= copyRows*len(names) || bytes >= copyBytes {
			if err := flush(); err != nil {
				return total, err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return total, err
	}
	return total, flush()
}

// checkTable compares the number of rows in the target with those read.
func checkTable(ctx context.Context, to *DB, t table, sent int64) error {
	var n int64
	if err := to.sql.Maintenance.GetContext(ctx, &n, `SELECT COUNT(*) FROM `+t.name); err != nil {
		return err
	}
	if n != sent {
		return fmt.Errorf("read %d rows, but the target has %d: stop every process that uses it, and copy again to a new database", sent, n)
	}
	return nil
}

// errTorn means that a log has a gap, or doesn't end at its last_seq.
var errTorn = errors.New("messages are missing: logs have a gap or don't end at last_seq")

// checkLogs returns errTorn unless the messages of each conversation have the
// seqs 1, 2, 3 … up to the one in the conversation's row.
func checkLogs(ctx context.Context, db *DB) error {
	var torn []int64
	err := db.sql.Maintenance.SelectContext(ctx, &torn, `SELECT c.id FROM conversations c
		LEFT JOIN (SELECT conversation_id, MIN(seq) AS low, MAX(seq) AS high, COUNT(*) AS size FROM messages GROUP BY conversation_id) AS m
		ON m.conversation_id = c.id
		WHERE COALESCE(m.high, 0) <> c.last_seq OR COALESCE(m.size, 0) <> c.last_seq OR COALESCE(m.low, 1) <> 1 ORDER BY c.id LIMIT 10`)
	if err == nil && len(torn) > 0 {
		err = fmt.Errorf("%w, in conversations %v (the first 10 at most)", errTorn, torn)
	}
	return err
}
