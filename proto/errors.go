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
	BadRequest  Errno = 4  // it can't be decoded, or a value is invalid
	NotFound    Errno = 5  // no such user, group or conversation
	NotAllowed  Errno = 6  // not a member, not the creator, blocked, or another user's id
	AlreadySo   Errno = 7  // already friends, not friends, already a member
	BadLength   Errno = 8  // frame too large, or of length 0
	TooFast     Errno = 9  // rate limit or overload: nothing was done; retry after RetryAfter
	Unavailable Errno = 10 // the server failed; the request may or may not have been carried out: retry
	UnknownOp   Errno = 11 // clients don't send this msgid
	LoggedIn    Errno = 12 // already logged in on this connection
	LimitFull   Errno = 13 // the group or a friend list is full, the user is in too many groups, or has sent too much to a stranger
)

// Error is the refusal of a request, as the client gets it. It is the only error
// whose text is sent to clients: any other error is logged, and the client gets
// Unavailable.
type Error struct {
	Errno      Errno
	Message    string        // for people: what was wrong, and what to do
	RetryAfter time.Duration // how long to wait before a retry; 0 if unspecified, but never with TooFast
}

// Error returns the message with its errno.
func (e *Error) Error() string { return fmt.Sprintf("%s (errno %d)", e.Message, e.Errno) }

// SlowDown returns a TooFast error with the time to wait, rounded up to whole
// milliseconds.
func SlowDown(wait time.Duration) *Error {
	wait = (wait + time.Millisecond - 1).Truncate(time.Millisecond)
	return &Error{Errno: TooFast, Message: "too many requests; try again later", RetryAfter: wait}
}

// Errorf returns an Error. Clients get the formatted text: don't pass secrets.
func Errorf(n Errno, format string, args ...any) *Error {
	return &Error{Errno: n, Message: fmt.Sprintf(format, args...)}
}
