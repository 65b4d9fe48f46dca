package client

import (
	"errors"
	"fmt"
	"time"

	"chatd/proto"
)

// Errors of methods and of StateChange.Err. Use errors.Is. A refusal by the server
// is a *proto.Error, a KICK is a *KickError.
var (
	ErrClosed       = errors.New("client: closed")                                        // Close was called
	ErrNotConnected = errors.New("client: not connected")                                 // no connection, or lost before the answer
	ErrNotLoggedIn  = errors.New("client: not logged in")                                 // not logged in, or no longer
	ErrLoggedOut    = errors.New("client: logged out")                                    // a message failed because of a logout
	ErrReplaced     = errors.New("client: logged in elsewhere with the same device name") // of a Final StateChange: the reason "replaced" of a KICK
	ErrNoToken      = errors.New("client: no saved token; log in with the password")      // of Resume
	ErrOutboxFull   = errors.New("client: outbox full")                                   // Config.Outbox messages are waiting or in flight
	ErrBusy         = errors.New("client: too many pending requests; try again later")    // also of Tell: the event can't be sent now
	ErrBadState     = errors.New("client: saved state is invalid")                        // of New, with a FileStore
)

// eventError is the error of Tell if the event can't be sent now. It is an ErrBusy.
type eventError struct{}

func (eventError) Error() string        { return "client: can't send the event now; try again later" }
func (eventError) Is(target error) bool { return target == ErrBusy }

// KickError is the KICK with which the server closed the connection. If the
// reason is "replaced", errors.Is(err, ErrReplaced) is true.
type KickError struct {
	Reason     string        // proto.Replaced, proto.Draining, proto.LoggedOut, proto.Slow, proto.Idle or proto.Abuse
	Message    string        // for people: what happened
	RetryAfter time.Duration // how long to wait before reconnecting; 0 if unspecified
}

// Error returns the reason and the server's message.
func (e *KickError) Error() string {
	return fmt.Sprintf("client: the server closed the connection: %s (%s)", e.Message, e.Reason)
}

// Is reports whether target is ErrReplaced and the reason is "replaced".
func (e *KickError) Is(target error) bool {
	return target == ErrReplaced && e.Reason == proto.Replaced
}

// isFinal reports whether the client must not reconnect.
func (e *KickError) isFinal() bool {
	switch e.Reason {
	case proto.Replaced, proto.LoggedOut, proto.Abuse:
		return true
	}
	return false
}

// responseError returns the error of an answer, nil if it reports success.
func responseError(r *proto.Response) error {
	if r.Errno == proto.Done {
		return nil
	}
	e := &proto.Error{Errno: r.Errno, Message: r.ErrMsg, RetryAfter: time.Duration(r.RetryAfter) * time.Millisecond}
	if e.Message == "" {
		e.Message = "refused"
	}
	return e
}
