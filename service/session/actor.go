package session

import (
	"net/netip"

	"chatd/model"
)

// Actor is who makes a change: a user, with a session on this node or without
// one.
type Actor struct {
	User int64
	Name string
	// Session gets an answer instead of the notice that all other sessions of
	// the user get. It is nil if the request came another way, and then all of
	// them get the notice.
	Session *Session
}

// Addr returns the address of the actor's client. It is invalid without a session.
func (a *Actor) Addr() netip.Addr {
	if a.Session == nil {
		return netip.Addr{}
	}
	return a.Session.Addr
}

// Actor returns the user of a session, for a change that its client requests.
func (ss *Session) Actor() Actor { return Actor{User: ss.User, Name: ss.Name, Session: ss} }

// Waiting is a message of an actor that wasn't sent on a connection. It is the Owner
// of its Append.
type Waiting struct {
	model.Append
	By Actor

	done chan struct{}
}

// NewWaiting returns a message of an actor. a needs Group or Peer, CID and Body.
func NewWaiting(by Actor, a model.Append) *Waiting {
	w := &Waiting{Append: a, By: by, done: make(chan struct{})}
	w.Sender, w.Owner = by.User, w
	return w
}

// Finish reports that the message has its outcome: it was stored and published, or
// has failed (Err).
func (w *Waiting) Finish() { close(w.done) }

// Done is closed by Finish.
func (w *Waiting) Done() <-chan struct{} { return w.done }
