package proto

import (
	"fmt"
	"time"
)

// Errno is the outcome of a request, as clients see it.
type Errno int32

// The errnos, with the meaning that docs/protocol.md gives them.
const (
	Done        Errno = 0  // it was done
	Refused     Errno = 1  // wrong id, name, password or token; name taken
	NotLoggedIn Errno = 3  // only REG, LOGIN and PING are served before login
	BadRequest  Errno = 4  // the decoder refused it, or a value makes no sense
	NotFound    Errno = 5  // no such user, group or conversation
	NotAllowed  Errno = 6  // not a member, not the creator, blocked, another's id
	AlreadySo   Errno = 7  // already friends, already a member
	BadLength   Errno = 8  // frame too large, or of length 0
	TooFast     Errno = 9  // nothing was done; try again after RetryAfter
	Unavailable Errno = 10 // the server could not; nothing was acknowledged
	UnknownOp   Errno = 11 // no such msgid
	LoggedIn    Errno = 12 // already logged in on this connection
	LimitFull   Errno = 13 // the group, friend list or groups of a user are full
)

// Error is what a client is told when a request is refused. It is the only
// kind of error whose text leaves the process: anything else is told as
// Unavailable and logged inside.
type Error struct {
	Errno      Errno
	Message    string        // for people; names what was wrong
	RetryAfter time.Duration // 0: none said. TooFast always says one
}

// Error gives the message with its errno.
func (e *Error) Error() string { return fmt.Sprintf("%s (errno %d)", e.Message, e.Errno) }

// SlowDown is the TooFast of someone who has to wait so long, which is told in
// whole milliseconds, and never as less than it is.
func SlowDown(wait time.Duration) *Error {
	wait = (wait + time.Millisecond - 1).Truncate(time.Millisecond)
	return &Error{Errno: TooFast, Message: "too fast; try again later", RetryAfter: wait}
}

// Errorf makes an Error. The arguments reach the client: nothing secret.
func Errorf(n Errno, format string, args ...any) *Error {
	return &Error{Errno: n, Message: fmt.Sprintf(format, args...)}
}
