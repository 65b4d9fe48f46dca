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

// Errno returns the refusal that a client gets for err. This is the only place
// where errors become errnos. It logs internal errors, of which the client only
// learns that something has failed. Any goroutine may call it.
func (s *Sessions) Errno(op proto.Op, err error) *proto.Error {
	var e *proto.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, model.ErrNotFound):
		return proto.Errorf(proto.NotFound, "no such user, group or conversation")
	case errors.Is(err, model.ErrNotAllowed):
		return proto.Errorf(proto.NotAllowed, "not allowed")
	case errors.Is(err, model.ErrAlready):
		return proto.Errorf(proto.AlreadySo, "it is so already")
	case errors.Is(err, model.ErrFull):
		kind, text := full(op, err)
		s.Limited.Reached(kind, 1)
		return proto.Errorf(proto.LimitFull, "%s", text)
	case errors.Is(err, model.ErrTaken):
		return proto.Errorf(proto.Refused, "this name is taken")
	case errors.Is(err, model.ErrBusy), errors.Is(err, reactor.ErrBusy):
		return &proto.Error{Errno: proto.TooFast, Message: "the server is busy", RetryAfter: RetryAfter}
	case errors.Is(err, model.ErrRunFailed): // the first failure of the run has been logged
		return errConvStopped
	}
	if !errors.Is(err, context.Canceled) && !errors.Is(err, model.ErrClosed) { // these mean that the node is stopping
		s.m.internal.Inc()
		s.log.Error("request failed", "op", op, "err", err)
	}
	return proto.Errorf(proto.Unavailable, "the server could not do it; try again")
}

// full returns the limit that a model.ErrFull is about.
func full(op proto.Op, err error) (limits.Kind, string) {
	switch {
	case errors.Is(err, model.ErrGroupFull):
		return limits.FullMembers, "a limit is reached: the group is full"
	case op == proto.ADD_FRIEND_ACK:
		return limits.FullFriends, "a limit is reached: a friend list is full"
	default:
		return limits.FullGroups, "a limit is reached: you are in as many groups as anyone may be"
	}
}
