package session

import (
	"context"
	"errors"
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
)

// RetryAfter is the retry_after of "the server is busy": long enough for a full
// queue to drain.
const RetryAfter = 200 * time.Millisecond

// Errno returns the refusal that a client gets for err in answer a, which has
// the IDs of the request. It is the one place where errors become errnos, and
// where errors that clients can't act on are logged. Any goroutine may call it.
func (s *Sessions) Errno(a *proto.Response, err error) *proto.Error {
	var e *proto.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, model.ErrNotFound):
		return proto.Errorf(proto.NotFound, "%s", notFoundText(a))
	case errors.Is(err, model.ErrNotAllowed):
		return proto.Errorf(proto.NotAllowed, "%s", notAllowedText(a))
	case errors.Is(err, model.ErrAlready):
		return proto.Errorf(proto.AlreadySo, "%s", alreadyText(a))
	case errors.Is(err, model.ErrFull):
		kind, text := full(a, err)
		s.Limited.Reached(kind, 1)
		return proto.Errorf(proto.LimitFull, "%s", text)
	case errors.Is(err, model.ErrTaken):
		return proto.Errorf(proto.Refused, "the name is taken; choose another one")
	case errors.Is(err, model.ErrBusy), errors.Is(err, reactor.ErrBusy):
		return &proto.Error{Errno: proto.TooFast, Message: "the server is busy; try again later", RetryAfter: RetryAfter}
	case errors.Is(err, model.ErrRunFailed): // the failure that came first is logged
		return errConvStopped
	}
	if !errors.Is(err, context.Canceled) && !errors.Is(err, model.ErrClosed) { // both: the node is stopping
		s.m.internal.Inc()
		s.log.Error("request failed", "op", a.Op, "err", err)
	}
	return proto.Errorf(proto.Unavailable, "the server failed to process the request; try again")
}
