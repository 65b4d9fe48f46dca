package model

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
)

// dialect is all in which one database differs from another. Queries are
// written once, with '?', and take these pieces where they must.
type dialect struct {
	name       string
	goose      goose.Dialect
	migrations func() (fs.FS, error)
	writers    int // by default

	// open gives a store whose schema may still be old. rest is the URL behind
	// the scheme.
	open func(ctx context.Context, rest string, o *Options) (*store, error)

	tables  string // a query: how many tables there are; more conditions, on name, may follow
	now     string // an expression: seconds since 1970
	locking string // what a SELECT ends with that locks its rows, to be changed
	sharing string // … that keeps others from changing its rows
	skip    string // what follows locking in a SELECT that leaves out rows which are locked; empty: there is one writer
	by      string // what follows a table's name in a SELECT that must find rows by their id, and lock no other
	limit   string // what a SELECT ends with that gives at most so many rows, and is prepared once for any number
	insert  string // an INSERT whose refusal ends the transaction
	sameRow string // what an INSERT of a pair ends with that takes the id of the row that is there
	pairRow string // what an INSERT of pairs ends with that leaves rows alone, and holds them, that are there
	byPair  string // what follows a table's name in a SELECT that must find rows by their pair, and lock no other
	keepRow string // what an INSERT of a member ends with that leaves a row alone that is there
	maxRows int    // rows in one statement: a power of two

	bracket func(sel string) string // a SELECT with ORDER BY and a limit, as one of those that UNION ALL joins

	unique    func(error) bool // a unique index refused it
	transient func(error) bool // the same may go well a moment later
	again     func(error) bool // and at once: it was others' doing, and nothing was done
	waited    func(error) bool // of again: a lock was waited for in vain
	lost      func(error) bool // no answer: the database is away, or the connection to it

	// Each takes rows of the columns named, and a number of rows. Equal rows
	// may come twice: callers fill up with them.
	raiseHeads     func(rows int) string // conversation, seq, time
	raiseDelivered func(rows int) string // user, device, conversation, seq
	raiseRead      func(rows int) string // user, conversation, seq
	raiseUsed      func(rows int) string // user, device, ms
}

// store is an open database: where to read, where to write, and what to let
// go of at the end.
type store struct {
	where     string // for errors and logs; never holds a password
	reading   *sqlx.DB
	writing   *sqlx.DB
	appending []*sqlx.DB    // for each writer: its connection, and the one on which it waits for locks; or writing alone
	migrating *sqlx.DB      // may take its time
	gate      *gate         // before writing; nil: writes don't wait for one another
	bound     time.Duration // how long a write may take, all attempts together; 0: what it takes

	// turn waits until no other node looks at the schema, or changes it.
	turn func(ctx context.Context) (release func() error, err error)

	// alone keeps every other process from migrating until release.
	alone func() (release func() error, err error)

	// tidy is called now and then, off every hot path: it keeps files small.
	tidy  func(ctx context.Context) error
	close func() error
}

// dialectOf finds the dialect by the URL's scheme. It is the one place that
// knows which there are.
func dialectOf(url string) (d *dialect, rest string, err error) {
	const want = "want sqlite:PATH or mysql://user:password@host:3306/database"
	scheme, rest, ok := strings.Cut(url, ":")
	if !ok {
		return nil, "", fmt.Errorf("the store has no scheme: %s", want) // and may be a password
	}
	switch scheme {
	case "sqlite":
		return sqlite(), rest, nil
	case "mysql":
		return mysql(), rest, nil
	default:
		return nil, "", fmt.Errorf("unknown kind of store %q: %s", scheme, want)
	}
}

// repeated is "s, s, s", n times.
func repeated(s string, n int) string {
	return strings.TrimSuffix(strings.Repeat(s+", ", n), ", ")
}

// either is "(s) OR (s)", n times.
func either(s string, n int) string {
	return strings.TrimSuffix(strings.Repeat("("+s+") OR ", n), " OR ")
}

// never is for what a dialect doesn't know.
func never(error) bool { return false }
