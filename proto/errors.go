package proto

import (
	"fmt"
	"time"
)

// Errno is the result code of a request.
type Errno int32

// The errnos, with the meaning that docs/protocol.md gives them.
const (
	Done        Errno = 0  // success
	Refused     Errno = 1  // wrong id, name, password or token; name taken
	NotLoggedIn Errno = 3  // only REG, LOGIN and PING are served before login
	BadRequest  Errno = 4  // the decoder refused it, or a value makes no sense
	NotFound    Errno = 5  // no such user, group or conversation
	NotAllowed  Errno = 6  // not a member, not the creator, blocked, another's id
	AlreadySo   Errno = 7  // already friends, already a member
	BadLength   Errno = 8  // frame too large, or of length 0
	TooFast     Errno = 9  // rate limit or overload: nothing was done, retry after RetryAfter
	Unavailable Errno = 10 // the server failed; nothing was acknowledged, retry
	UnknownOp   Errno = 11 // no such msgid
	LoggedIn    Errno = 12 // already logged in on this connection
	LimitFull   Errno = 13 // the group, friend list or groups of a user are full
)

// Error is the refusal of a request, as the client gets it. It is the only error
// whose text leaves the process: any other error is logged, and the client gets
// Unavailable.
type Error struct {
	Errno      Errno
	Message    string        // for people: what was wrong
	RetryAfter time.Duration // none. TooFast always has one
}

// Error returns the message with its errno.
func (e *Error) Error() string { return fmt.Sprintf("%s (errno %d)", e.Message, e.Errno) }

// SlowDown returns a TooFast error with the time to wait, rounded up to whole
// milliseconds.
func SlowDown(wait time.Duration) *Error {
	wait = (wait + time.Millisecond - 1).Truncate(time.Millisecond)
	return &Error{Errno: TooFast, Message: "too many requests; try again later", RetryAfter: wait}
}

// Errorf returns an Error. The client gets the arguments: don't pass secrets.
func Errorf(n Errno, format string, args ...any) *Error {
	return &Error{Errno: n, Message: fmt.Sprintf(format, args...)}
}
