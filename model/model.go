// Package model is the data of chatd: users, devices, friends, groups, and
// the log of every conversation, in SQL. It knows no wire and no connection.
//
// Whatever takes a context blocks on the database; callers on an event loop
// use Append, Deliver and Read alone, which never block. All methods may be
// called from any goroutine. Errors that callers tell apart are the Err…
// values, to be found with errors.Is; any other means that the database could
// not do it, and nothing was done.
package model

import (
	"errors"
	"fmt"
)

// What callers tell apart with errors.Is.
var (
	ErrNotFound   = errors.New("no such user, group or conversation")
	ErrNotAllowed = errors.New("not allowed")
	ErrAlready    = errors.New("already so")
	ErrFull       = errors.New("a limit is reached")
	ErrGroupFull  = fmt.Errorf("the group has no room: %w", ErrFull) // is an ErrFull
	ErrTaken      = errors.New("the name is taken")
	ErrBusy       = errors.New("too many messages are waiting to be stored")
	ErrRunFailed  = errors.New("an earlier message of the sender to the conversation could not be stored")
	ErrClosed     = errors.New("the store is closed")
)
