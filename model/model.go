// Package model stores the chat's data in SQL: users, devices, friends, groups,
// and the log of each conversation. It knows no wire format and no connection.
//
// A group's ID is also the ID of its conversation. Any goroutine may call any
// method. Methods that take a context block on the database. Append,
// SetDelivered, SetRead and FlushSoon never block: an event loop may call them.
// Compare errors with errors.Is; any error other than the Err… values means that
// the database failed and nothing was done.
package model

import (
	"errors"
	"fmt"

	"chatd/model/groupcommit"
)

// Errors that callers distinguish.
var (
	ErrNotFound   = errors.New("no such user, group or conversation")
	ErrNotAllowed = errors.New("not allowed")
	ErrAlready    = errors.New("nothing to change")
	ErrFull       = errors.New("limit reached")
	ErrGroupFull  = fmt.Errorf("the group is full: %w", ErrFull) // is an ErrFull
	ErrTaken      = errors.New("the name is taken")
	ErrNoInvite   = errors.New("no such invitation, or it has ended")
)

// Errors of package groupcommit.
var (
	ErrBusy      = groupcommit.ErrBusy
	ErrClosed    = groupcommit.ErrClosed
	ErrRunFailed = groupcommit.ErrRunFailed
)

// Types of package groupcommit that describe messages and changes of groups.
type (
	Append     = groupcommit.Append
	Run        = groupcommit.Run
	Change     = groupcommit.Change
	ChangeKind = groupcommit.ChangeKind
)

// The kinds of changes.
const (
	Joined    = groupcommit.Joined
	Left      = groupcommit.Left
	Dismissed = groupcommit.Dismissed
)
