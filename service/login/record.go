package login

import (
	"errors"
	"time"

	"chatd/model"
	"chatd/service/audit"
	"chatd/service/bus"
	"chatd/service/limits"
	"chatd/service/session"
)

// reasons are the words for the errors of this package in the audit log.
var reasons = []struct {
	err  error
	word string
}{
	{errWrongPassword, "wrong_password"},
	{errWrongToken, "wrong_token"},
	{errUnknownUser, "unknown_user"},
	{errBanned, "banned"},
	{errSessionEnded, "session_ended"},
	{errOvertaken, "overtaken"},
	{errReplaced, "overtaken"},
	{errCommonPassword, "common_password"},
	{errRegistrationOff, "registration_off"},
	{errNeedsCode, "no_code"},
	{errWrongCode, "wrong_code"},
	{model.ErrGone, "disconnected"},
}

// record adds an event with the outcome err to the audit log. Any goroutine may
// call it. It doesn't block.
func (l *Logins) record(e audit.Event, err error) {
	e.Outcome, e.Reason = session.Outcome(err)
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			e.Outcome, e.Reason = audit.Refused, r.word
			break
		}
	}
	l.Audit.Add(e)
}

// recordDevices adds what a login by password did to the user's devices to the audit
// log. e is the event of the login.
func (l *Logins) recordDevices(e audit.Event, id *identity) {
	if id.added {
		e.Action = audit.NewDevice
		l.record(e, nil)
	}
	for _, ended := range id.ended {
		if ended.Device != id.device {
			e.Action, e.Device = audit.DeviceEvicted, ended.Device
			l.record(e, nil)
		}
	}
}

// guessed ends a guess of event's user. If the password was wrong, it tells the
// other nodes, and records which limits are reached.
func (l *Logins) guessed(g *limits.Guess, wrong bool, e audit.Event, now time.Time) {
	reached := g.Done(wrong, now)
	if !wrong {
		return
	}
	who, addr := g.Subject()
	l.Courier.Publish(bus.Nodes, bus.Payload{Wrong: &bus.Wrong{User: who.ID, Name: who.Name, Addr: addr}})
	e.Action, e.Outcome = audit.Lockout, audit.OK
	for _, kind := range reached {
		e.Reason = kind.String()
		l.Audit.Add(e)
	}
}

// WrongElsewhere counts a wrong password that another node has checked. It doesn't
// block.
func (l *Logins) WrongElsewhere(w *bus.Wrong) {
	l.Limits.WrongElsewhere(limits.Account{ID: w.User, Name: w.Name}, w.Addr, l.Reactor.Now())
}
