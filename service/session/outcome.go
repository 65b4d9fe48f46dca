package session

import (
	"errors"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/audit"
	"chatd/service/limits"
)

// Outcome returns how the audit log describes the error of a request: the outcome,
// and a word for the reason. Any goroutine may call it.
func Outcome(err error) (audit.Outcome, string) {
	var limited *limits.Refusal
	var e *proto.Error
	switch {
	case err == nil:
		return audit.OK, ""
	case errors.As(err, &limited):
		return audit.Refused, limited.Limit.String()
	case errors.Is(err, model.ErrNotFound):
		return audit.Refused, "not_found"
	case errors.Is(err, model.ErrNotAllowed):
		return audit.Refused, "not_allowed"
	case errors.Is(err, model.ErrAlready):
		return audit.Refused, "nothing_to_change"
	case errors.Is(err, model.ErrFull):
		return audit.Refused, "full"
	case errors.Is(err, model.ErrTaken):
		return audit.Refused, "name_taken"
	case errors.Is(err, model.ErrBusy), errors.Is(err, reactor.ErrBusy):
		return audit.Refused, "busy"
	case errors.As(err, &e):
		return audit.Refused, "bad_request"
	}
	return audit.Failed, "unavailable"
}
