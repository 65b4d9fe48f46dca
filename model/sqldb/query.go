package sqldb

import (
	"context"
	"sync"

	"github.com/jmoiron/sqlx"
)

// Get reads a single row into a struct or a value. It prepares each distinct
// query once and keeps it, so pass values as arguments, not in the query. Errors:
// sql.ErrNoRows.
func (db *DB) Get(ctx context.Context, to any, query string, args ...any) error {
	s, err := db.reads.prepared(ctx, query)
	if err != nil {
		return err
	}
	return s.GetContext(ctx, to, args...)
}

// Select reads all rows into a slice. It prepares the query as Get does.
func (db *DB) Select(ctx context.Context, to any, query string, args ...any) error {
	s, err := db.reads.prepared(ctx, query)
	if err != nil {
		return err
	}
	return s.SelectContext(ctx, to, args...)
}

// Rows starts a query; the caller must close the rows. It prepares the query
// as Get does.
func (db *DB) Rows(ctx context.Context, query string, args ...any) (*sqlx.Rows, error) {
	s, err := db.reads.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryxContext(ctx, args...)
}

// Scan calls do for each row of a query. It prepares the query as Get does.
func (db *DB) Scan(ctx context.Context, query string, args []any, do func(*sqlx.Rows) error) error {
	return db.reads.scan(ctx, query, args, do)
}

// ScanSmall is Scan for a query that runs often and reads few rows, such as that of a
// login. On SQLite, it uses connections that don't map the file into memory: after each
// commit, a connection maps it anew, which takes longer than copying some pages.
func (db *DB) ScanSmall(ctx context.Context, query string, args []any, do func(*sqlx.Rows) error) error {
	return db.small.scan(ctx, query, args, do)
}

// reads are the queries of a pool. Each distinct one is prepared once and kept.
type reads struct {
	pool    *sqlx.DB
	queries sync.Map // of string to *sqlx.Stmt
}

func (p *reads) scan(ctx context.Context, query string, args []any, do func(*sqlx.Rows) error) error {
	s, err := p.prepared(ctx, query)
	if err != nil {
		return err
	}
	rows, err := s.QueryxContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := do(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Queries lists the queries that were prepared so far. Tests use it to check
// query plans.
func (db *DB) Queries() (all []string) {
	for _, p := range db.pools() {
		p.queries.Range(func(q, _ any) bool { all = append(all, q.(string)); return true })
	}
	return all
}

func (db *DB) pools() []*reads {
	if db.small == db.reads {
		return []*reads{db.reads}
	}
	return []*reads{db.reads, db.small}
}

func (p *reads) prepared(ctx context.Context, query string) (*sqlx.Stmt, error) {
	if s, ok := p.queries.Load(query); ok {
		return s.(*sqlx.Stmt), nil
	}
	s, err := p.pool.PreparexContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if first, lost := p.queries.LoadOrStore(query, s); lost {
		s.Close()
		return first.(*sqlx.Stmt), nil
	}
	return s, nil
}

func (db *DB) closeQueries() {
	for _, p := range db.pools() {
		p.queries.Range(func(_, q any) bool {
			_ = q.(*sqlx.Stmt).Close() // fails if the server is gone, which does no harm
			return true
		})
	}
}
