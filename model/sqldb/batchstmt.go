package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"math/bits"
	"strings"

	"github.com/jmoiron/sqlx"
)

// BatchStmt is a statement that takes many rows of arguments. It is prepared
// for 1, 2, 4 … rows. Only one goroutine may use it at a time.
type BatchStmt struct {
	stmts []*sql.Stmt           // for 1, 2, 4 … rows; nil: it isn't prepared
	sql   func(rows int) string // if it isn't prepared
	width int                   // arguments per row
	max   int                   // rows per call
	bytes int                   // DB.MaxBytes
	exact bool                  // no row may be passed twice
}

// BatchSpec describes a BatchStmt.
type BatchSpec struct {
	Width int                   // arguments per row
	Exact bool                  // the statement must not get a row twice, for instance an INSERT
	SQL   func(rows int) string // returns the statement for a number of rows
}

// PrepareBatch prepares a statement on a pool for every power of two of rows up
// to MaxRows. It blocks on the database.
func (db *DB) PrepareBatch(ctx context.Context, pool *sqlx.DB, spec BatchSpec) (*BatchStmt, error) {
	b := &BatchStmt{width: spec.Width, exact: spec.Exact, max: db.MaxRows, bytes: db.MaxBytes}
	for n := 1; n <= b.max; n *= 2 {
		s, err := pool.PrepareContext(ctx, spec.SQL(n))
		if err != nil {
			b.Close()
			return nil, fmt.Errorf("prepare %.40q: %w", strings.TrimSpace(spec.SQL(1)), err)
		}
		b.stmts = append(b.stmts, s)
	}
	return b, nil
}

// WriterBatch returns a statement for transactions of Write. On SQLite, it is
// prepared, as parsing it takes longer than executing it. On MySQL, it is sent as text:
// DB.Writer has several connections, and preparing costs a round trip on each. Then
// several goroutines may use it at a time. It blocks on the database.
func (db *DB) WriterBatch(ctx context.Context, spec BatchSpec) (*BatchStmt, error) {
	if db.lock != nil {
		return db.PrepareBatch(ctx, db.Writer, spec)
	}
	return &BatchStmt{sql: spec.SQL, width: spec.Width, exact: spec.Exact, max: db.MaxRows, bytes: db.MaxBytes}, nil
}

// Close releases the statement. A nil BatchStmt may be closed.
func (b *BatchStmt) Close() {
	if b == nil {
		return
	}
	for _, s := range b.stmts {
		_ = s.Close() // fails if the server is gone, which does no harm
	}
}

// Exec runs the statement with all rows in args, in as few calls as possible.
func (b *BatchStmt) Exec(ctx context.Context, tx *sql.Tx, args []any) error {
	return b.split(args, func(size int, args []any) (err error) {
		if b.stmts == nil {
			_, err = tx.ExecContext(ctx, b.sql(1<<size), args...)
		} else {
			_, err = tx.StmtContext(ctx, b.stmts[size]).ExecContext(ctx, args...)
		}
		return err
	})
}

// Query runs the query with all rows in args, in as few calls as possible, and
// calls scan for each row of the result.
func (b *BatchStmt) Query(ctx context.Context, tx *sql.Tx, args []any, scan func(*sql.Rows) error) error {
	return b.split(args, func(size int, args []any) (err error) {
		var r *sql.Rows
		if b.stmts == nil {
			r, err = tx.QueryContext(ctx, b.sql(1<<size), args...)
		} else {
			r, err = tx.StmtContext(ctx, b.stmts[size]).QueryContext(ctx, args...)
		}
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

// split splits args into parts of 1<<size rows, and calls do for each.
func (b *BatchStmt) split(args []any, do func(size int, args []any) error) error {
	if !b.exact {
		return InBatches(args, b.width, b.max, func(rows int, args []any) error {
			return do(bits.Len(uint(rows))-1, args)
		})
	}
	for len(args) > 0 {
		size := bits.Len(uint(Fitting(args, b.width, b.max, b.bytes))) - 1
		n := b.width << size
		if err := do(size, args[:n]); err != nil {
			return err
		}
		args = args[n:]
	}
	return nil
}

// Fitting returns how many of the rows, of width arguments each, one statement should
// have: at most maxRows, and at most maxBytes of text and blobs (0: no limit), but at
// least one.
func Fitting(args []any, width, maxRows, maxBytes int) int {
	n := min(len(args)/width, maxRows)
	if maxBytes == 0 {
		return n
	}
	size := 0
	for row := range n {
		for _, a := range args[row*width : (row+1)*width] {
			size += argSize(a)
		}
		if size > maxBytes {
			return max(row, 1)
		}
	}
	return n
}

// argSize returns about how many bytes an argument takes in a statement.
func argSize(a any) int {
	switch a := a.(type) {
	case []byte:
		return len(a) + 4
	case string:
		return len(a) + 4
	case sql.NullString:
		return len(a.String) + 4
	}
	return 20 // a number as text
}

// InBatches splits rows, of width arguments each, into batches of at most max
// rows, and calls do for each. The size of a batch is a power of two, so that
// there are few distinct statements to prepare. To fill a batch, InBatches repeats
// its last row: the statement must allow that. It doesn't look at MaxBytes: the rows
// must be small. Use Fitting for texts and blobs of users.
func InBatches(all []any, width, max int, do func(rows int, args []any) error) error {
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
