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
	ErrClosed       = errors.New("client: closed")
	ErrNotConnected = errors.New("client: not connected")
	ErrNotLoggedIn  = errors.New("client: not logged in")
	ErrLoggedOut    = errors.New("client: logged out")
	ErrReplaced     = errors.New("client: the same device has logged in elsewhere")
	ErrNoToken      = errors.New("client: no saved token")
	ErrOutboxFull   = errors.New("client: too many messages wait to be sent")
	ErrBusy         = errors.New("client: too many requests wait for an answer")
	ErrBadState     = errors.New("client: the saved state is not readable")
)

// KickError is why the server ended a connection: the KICK it sent. It is
// ErrReplaced, for errors.Is, where the reason is "replaced".
type KickError struct {
	Reason     string        // proto.Replaced, proto.Draining, …
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
func (e *KickError) final() bool {
	switch e.Reason {
	case proto.Replaced, proto.LoggedOut, proto.Abuse:
		return true
	}
	return false
}

// refusal is the error of an answer, nil where it says that it was done.
func refusal(r *proto.Response) error {
	if r.Errno == proto.Done {
		return nil
	}
	e := &proto.Error{Errno: r.Errno, Message: r.ErrMsg, RetryAfter: time.Duration(r.RetryAfter) * time.Millisecond}
	if e.Message == "" {
		e.Message = "refused"
	}
	return e
}
