package sqldb

import (
	"context"
	"fmt"
	"strings"

	"github.com/pressly/goose/v3"
)

// Dialect is everything in which one database differs from another, apart from
// what is specific to somebody's tables. Write queries once, with '?' as the
// placeholder, and insert these pieces where the databases need different SQL.
type Dialect struct {
	Name string // "sqlite" or "mysql"; also the folder of its migrations

	Now          string // expression: seconds since 1970, by the database's clock
	ForUpdate    string // at the end of a SELECT: locks its rows for changing them
	ForShare     string // at the end of a SELECT: keeps others from changing its rows
	SkipLocked   string // after ForUpdate: leaves out rows that others have locked. Empty: one process alone writes
	ByPrimaryKey string // after a table's name: forces the primary key, so that no other row is locked
	Limit        string // at the end of a SELECT: a limit that is a parameter
	Insert       string // an INSERT that rolls back the whole transaction on a violated constraint
	MaxRows      int    // rows in one statement, at most: a power of two

	// Operand makes a SELECT with ORDER BY and a limit usable as one operand
	// of UNION ALL.
	Operand func(query string) string

	// Classify says what kind of error a database call returned.
	Classify func(err error) Class

	goose   goose.Dialect
	tables  string // query: the number of tables; conditions on name may be appended with AND
	writers int    // default of Config.Writers

	// connect opens the connections. The schema may still be old. address is
	// the URL without its scheme.
	connect func(ctx context.Context, address string, c *Config) (*DB, error)
}

// Class is the kind of an error, as far as callers act differently on it.
type Class int

// The classes of errors.
const (
	Permanent    Class = iota // it will fail again
	Duplicate                 // a unique index refused a row
	Transient                 // it may work later: the disk is full, say
	Retryable                 // nothing was done, others got in the way: try again at once
	LockTimeout               // as Retryable: a lock was not released in time
	Disconnected              // as Retryable: the connection or the database is gone
)

// Retryable reports whether the same transaction should be tried again at once.
func (c Class) Retryable() bool { return c == Retryable || c == LockTimeout || c == Disconnected }

// IsDuplicate reports whether a unique index refused a row.
func (d *Dialect) IsDuplicate(err error) bool { return d.Classify(err) == Duplicate }

// IsDisconnected reports whether the connection or the database is gone.
func (d *Dialect) IsDisconnected(err error) bool { return d.Classify(err) == Disconnected }

// dialectOf returns the dialect for a URL's scheme, and the rest of the URL.
// The list of schemes exists only here.
func dialectOf(url string) (d *Dialect, address string, err error) {
	const want = "want sqlite:PATH or mysql://user:password@host:3306/database"
	scheme, address, ok := strings.Cut(url, ":")
	if !ok {
		return nil, "", fmt.Errorf("the store has no scheme: %s", want) // don't print it: it may be a password
	}
	switch scheme {
	case "sqlite":
		return sqlite(), address, nil
	case "mysql":
		return mysql(), address, nil
	default:
		return nil, "", fmt.Errorf("unknown kind of store %q: %s", scheme, want)
	}
}

// Repeated returns "s, s, s": s n times.
func Repeated(s string, n int) string {
	return strings.TrimSuffix(strings.Repeat(s+", ", n), ", ")
}

// AnyOf returns "(s) OR (s)": the condition s n times.
func AnyOf(s string, n int) string {
	return strings.TrimSuffix(strings.Repeat("("+s+") OR ", n), " OR ")
}
