package model

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
)

// dialect is all in which one database differs from another. Queries are
// written once, with '?', and take these pieces where they must.
type dialect struct {
	name       string
	goose      goose.Dialect
	migrations func() (fs.FS, error)

	// open gives a store whose schema may still be old. rest is the URL behind
	// the scheme.
	open func(ctx context.Context, rest string, o *Options) (*store, error)

	tables  string // a query: how many tables there are; more conditions, on name, may follow
	now     string // an expression: seconds since 1970
	locking string // what a SELECT of heads ends with
	insert  string // an INSERT whose refusal ends the transaction
	maxRows int    // rows in one statement: a power of two

	unique    func(error) bool // a unique index refused it
	transient func(error) bool // the same may go well a moment later

	// Each takes rows of the columns named, and a number of rows. Equal rows
	// may come twice: callers fill up with them.
	raiseHeads     func(rows int) string // time; then conversation, seq
	raiseDelivered func(rows int) string // user, device, conversation, seq
	raiseRead      func(rows int) string // user, conversation, seq
	raiseUsed      func(rows int) string // user, device, ms
}

// store is an open database: where to read, where to write, and what to let
// go of at the end.
type store struct {
	where   string // for errors and logs; never holds a password
	reading *sqlx.DB
	writing *sqlx.DB
	gate    *gate // before writing

	// alone keeps every other process from migrating until release.
	alone func() (release func() error, err error)

	// tidy is called now and then, off every hot path: it keeps files small.
	tidy  func(ctx context.Context) error
	close func() error
}

// dialectOf finds the dialect by the URL's scheme. It is the one place that
// knows which there are.
func dialectOf(url string) (d *dialect, rest string, err error) {
	scheme, rest, ok := strings.Cut(url, ":")
	if !ok {
		return nil, "", fmt.Errorf("store %q: want sqlite:PATH", url)
	}
	switch scheme {
	case "sqlite":
		return sqlite(), rest, nil
	case "mysql":
		return nil, "", fmt.Errorf("mysql stores are not in this version: want sqlite:PATH")
	default:
		return nil, "", fmt.Errorf("unknown kind of store %q: want sqlite:PATH", scheme)
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
