package session

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

// Actor returns the user of a session, for a change that its client requests.
func (ss *Session) Actor() Actor { return Actor{User: ss.User, Name: ss.Name, Session: ss} }
