package session

import (
	"context"
	"errors"
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/limits"
)

// RetryAfter is the retry_after of a refusal because a queue is full. It is long
// enough for the queue to drain.
const RetryAfter = 200 * time.Millisecond

// Errno returns the refusal that a client gets for err in answer a, which has the
// IDs of the request. This is the only place where errors become errnos. It logs
// internal errors, of which the client only learns that something has failed.
// Any goroutine may call it.
func (s *Sessions) Errno(a *proto.Response, err error) *proto.Error {
	var e *proto.Error
	var busy *reactor.BusyError
	var quota *model.QuotaError
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
	case errors.As(err, &quota):
		s.Limited.Reached(limits.UserDay, 1)
		return &proto.Error{Errno: proto.TooFast, Message: "you have sent as much as you may in a day; try again later", RetryAfter: max(quota.Wait, limits.LeastWait)}
	case errors.As(err, &busy):
		return &proto.Error{Errno: proto.TooFast, Message: "too many passwords are being checked; try again later", RetryAfter: busy.Wait}
	case errors.Is(err, model.ErrBusy), errors.Is(err, reactor.ErrBusy):
		return &proto.Error{Errno: proto.TooFast, Message: "the server is busy; try again later", RetryAfter: RetryAfter}
	case errors.Is(err, model.ErrRunFailed): // the first failure of the run has been logged
		return errConvStopped
	}
	if !errors.Is(err, context.Canceled) && !errors.Is(err, model.ErrClosed) { // these mean that the node is stopping
		s.m.internal.Inc()
		s.log.Error("request failed", "op", a.Op, "err", err)
	}
	return proto.Errorf(proto.Unavailable, "the server failed to process the request; try again")
}
