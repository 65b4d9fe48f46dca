package service

import (
	"context"
	"errors"
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
)

// answer begins the answer to a request: its ACK, with rid and whatever the
// ACK repeats of the request. CID aliases the request.
func answer(r *proto.Request) proto.Response {
	return proto.Response{Op: r.Op.Ack(), Fields: r.Fields & (1 << proto.FRID), RID: r.RID,
		ToID: r.ToID, Peer: r.Peer, GroupID: r.GroupID, FriendID: r.FriendID, UserID: r.UserID,
		On: r.On, CID: r.CID}
}

// reply writes the answer.
func (x *client) reply(t Turn, a *proto.Response) {
	x.conn.WriteResponse(t, a)
}

// refuse answers with what err means to a client. It is the one place where
// errors become errnos, and where those that are not for clients are logged.
// It gives what the client is told.
func (s *Service) refuse(t Turn, x *client, a proto.Response, err error) proto.Errno {
	e := s.errno(a.Op, err)
	a.Errno, a.ErrMsg, a.RetryAfter = e.Errno, e.Message, e.RetryAfter.Milliseconds()
	s.m.refused.Inc()
	x.reply(t, &a)
	return e.Errno
}

// retryAfter is told with "too busy": long enough for a full queue to drain.
const retryAfter = 200 * time.Millisecond

// full says what a limit that is reached is of.
func full(op proto.Op, err error) (limitKind, string) {
	switch {
	case errors.Is(err, model.ErrGroupFull):
		return fullMembers, "a limit is reached: the group is full"
	case op == proto.ADD_FRIEND_ACK:
		return fullFriends, "a limit is reached: a friend list is full"
	default:
		return fullGroups, "a limit is reached: you are in as many groups as anyone may be"
	}
}

func (s *Service) errno(op proto.Op, err error) *proto.Error {
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
		s.m.limited[kind].Inc()
		return proto.Errorf(proto.LimitFull, "%s", text)
	case errors.Is(err, model.ErrTaken):
		return proto.Errorf(proto.Refused, "this name is taken")
	case errors.Is(err, model.ErrBusy), errors.Is(err, reactor.ErrBusy):
		return &proto.Error{Errno: proto.TooFast, Message: "the server is busy", RetryAfter: retryAfter}
	case errors.Is(err, model.ErrBehind): // of the one before it all is logged
		return errBehind
	}
	if !errors.Is(err, context.Canceled) && !errors.Is(err, model.ErrClosed) { // both: the node is stopping
		s.m.internal.Inc()
		s.log.Error("request failed", "op", op, "err", err)
	}
	return proto.Errorf(proto.Unavailable, "the server could not do it; try again")
}

// offLoop runs job where it may block and then done on the loop again. Until
// then the client's further requests are held; an error of job is the answer.
// done runs even if the connection has closed meanwhile: what job did to the
// store has to be told to others.
func offLoop[T any](s *Service, t Turn, x *client, l reactor.Lane, a proto.Response,
	job func(t Off) (T, error), done func(t Turn, v T)) {
	attempt(s, t, x, l, job, func(t Turn, v T, err error) {
		if err != nil {
			s.refuse(t, x, a, err)
		} else {
			done(t, v)
		}
	})
}

// attempt is offLoop where done has to hear of errors, of a job that could not
// be run as well.
func attempt[T any](s *Service, t Turn, x *client, l reactor.Lane, job func(t Off) (T, error), done func(t Turn, v T, err error)) {
	x.busy = true
	err := reactor.Go(t, x.conn, l, job, func(t Turn, v T, err error) {
		x.busy = false
		done(t, v, err)
		x.conn.Resume(t)
	})
	if err != nil {
		x.busy = false
		var none T
		done(t, none, err)
	}
}
