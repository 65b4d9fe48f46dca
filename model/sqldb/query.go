package sqldb

import (
	"context"

	"github.com/jmoiron/sqlx"
)

// Get reads a single row into a struct or a value. It prepares each distinct
// query once and keeps it, so pass values as arguments, not in the query. Errors:
// sql.ErrNoRows.
func (db *DB) Get(ctx context.Context, to any, query string, args ...any) error {
	s, err := db.prepared(ctx, query)
	if err != nil {
		return err
	}
	return s.GetContext(ctx, to, args...)
}

// Select reads all rows into a slice. It prepares the query as Get does.
func (db *DB) Select(ctx context.Context, to any, query string, args ...any) error {
	s, err := db.prepared(ctx, query)
	if err != nil {
		return err
	}
	return s.SelectContext(ctx, to, args...)
}

// Rows starts a query; the caller must close the rows. It prepares the query
// as Get does.
func (db *DB) Rows(ctx context.Context, query string, args ...any) (*sqlx.Rows, error) {
	s, err := db.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryxContext(ctx, args...)
}

// Scan calls do for each row of a query. It prepares the query as Get does.
func (db *DB) Scan(ctx context.Context, query string, args []any, do func(*sqlx.Rows) error) error {
	rows, err := db.Rows(ctx, query, args...)
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
	db.queries.Range(func(q, _ any) bool { all = append(all, q.(string)); return true })
	return all
}

func (db *DB) prepared(ctx context.Context, query string) (*sqlx.Stmt, error) {
	if s, ok := db.queries.Load(query); ok {
		return s.(*sqlx.Stmt), nil
	}
	s, err := db.Reader.PreparexContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if first, lost := db.queries.LoadOrStore(query, s); lost {
		s.Close()
		return first.(*sqlx.Stmt), nil
	}
	return s, nil
}

func (db *DB) closeQueries() {
	db.queries.Range(func(_, q any) bool {
		_ = q.(*sqlx.Stmt).Close() // fails if the server is gone, which does no harm
		return true
	})
}
