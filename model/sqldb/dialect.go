package sqldb

import (
	"context"
	"fmt"
	"strings"

	"github.com/pressly/goose/v3"
)

// Dialect holds what differs between databases and doesn't depend on particular
// tables. Write each query once, with '?' as the placeholder, and insert these
// pieces where the databases need different SQL.
type Dialect struct {
	Name string // "sqlite" or "mysql"; also the folder of its migrations

	Now          string // expression: Unix seconds, by the database's clock
	ForUpdate    string // at the end of a SELECT: locks its rows for writing
	ForShare     string // at the end of a SELECT: keeps others from changing its rows
	SkipLocked   string // after ForUpdate: leaves out rows that others have locked. Empty: only one process writes
	ByPrimaryKey string // after a table's name: forces the primary key, so that no other row is locked
	Limit        string // at the end of a SELECT: LIMIT with a parameter
	Insert       string // INSERT; a violated constraint may roll back the whole transaction
	MaxRows      int    // maximum number of rows in one statement, a power of two

	// Operand makes a SELECT with ORDER BY and LIMIT usable as an operand of
	// UNION ALL.
	Operand func(query string) string

	// Classify returns the class of an error of a database call.
	Classify func(err error) Class

	diskFull func(err error) bool // the database has no room for what it must write
	fullHint string               // what to tell the operator then

	goose   goose.Dialect
	tables  string // query for the number of tables; to filter, append AND and a condition on name
	writers int    // default of Config.Writers

	// connect opens the connections. It doesn't look at the schema. address is
	// the URL without its scheme.
	connect func(ctx context.Context, address string, c *Config) (*DB, error)
}

// Class is the kind of a database error. Callers handle each differently.
type Class int

// The classes of errors.
const (
	Permanent    Class = iota // it will fail again
	Duplicate                 // a unique index refused a row
	Transient                 // it may work later: for instance, the disk is full
	Retryable                 // nothing was done because of another transaction: retry at once
	LockTimeout               // like Retryable: a lock was not released in time
	Disconnected              // like Retryable: the connection or the database is gone
)

// Retryable reports whether the transaction should be retried at once.
func (c Class) Retryable() bool { return c == Retryable || c == LockTimeout || c == Disconnected }

// IsDuplicate reports whether a unique index refused a row.
func (d *Dialect) IsDuplicate(err error) bool { return d.Classify(err) == Duplicate }

// IsDisconnected reports whether the connection or the database is gone.
func (d *Dialect) IsDisconnected(err error) bool { return d.Classify(err) == Disconnected }

// dialectOf returns the dialect for a URL's scheme, and the rest of the URL.
func dialectOf(url string) (d *Dialect, address string, err error) {
	const want = "want sqlite:PATH or mysql://user:password@host:3306/database"
	scheme, address, ok := strings.Cut(url, ":")
	if !ok {
		return nil, "", fmt.Errorf("the database URL has no scheme: %s", want) // don't quote it: it may hold a password
	}
	switch scheme {
	case "sqlite":
		return sqlite(), address, nil
	case "mysql":
		return mysql(), address, nil
	default:
		return nil, "", fmt.Errorf("unknown kind of database %q: %s", scheme, want)
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
