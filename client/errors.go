package client

import (
	"errors"
	"fmt"
	"time"

	"chatd/proto"
)

// What methods and StateChange.Err report, to be tested with errors.Is.
// Refusals of the server are *proto.Error, a KICK is a *KickError.
var (
	ErrClosed       = errors.New("client: closed")                                  // Close was called
	ErrNotConnected = errors.New("client: not connected")                           // there is no connection, or it was lost before the answer
	ErrNotLoggedIn  = errors.New("client: not logged in")                           // there is no login, or it is over
	ErrLoggedOut    = errors.New("client: logged out")                              // what was to be sent isn't any more
	ErrReplaced     = errors.New("client: the same device has logged in elsewhere") // of a StateChange that is Final
	ErrNoToken      = errors.New("client: no saved token")                          // Resume: log in with the password
	ErrOutboxFull   = errors.New("client: too many messages wait to be sent")       // Config.Outbox
	ErrBusy         = errors.New("client: too many requests wait for an answer")    // or, of an event, it can't be sent now
	ErrBadState     = errors.New("client: the saved state is not readable")         // New, of a FileStore
)

// KickError is why the server ended a connection: the KICK it sent. It is
// ErrReplaced, for errors.Is, where the reason is "replaced".
type KickError struct {
	Reason     string        // proto.Replaced, proto.Draining, proto.LoggedOut, proto.Slow, proto.Idle or proto.Abuse
	Message    string        // for people
	RetryAfter time.Duration // how long to wait before connecting again; 0: none said
}

// Error gives the reason and the server's message.
func (e *KickError) Error() string {
	return fmt.Sprintf("client: the server closed the connection: %s (%s)", e.Message, e.Reason)
}

// Is reports whether target is ErrReplaced and the reason "replaced".
func (e *KickError) Is(target error) bool {
	return target == ErrReplaced && e.Reason == proto.Replaced
}

// final reports whether a client must not reconnect after it.
func (e *KickError) isFinal() bool {
	switch e.Reason {
	case proto.Replaced, proto.LoggedOut, proto.Abuse:
		return true
	}
	return false
}

// refusal is the error of an answer, nil where it says that it was done.
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
