package service

import (
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/session"
)

// handler serves one request on its loop.
type handler func(t Turn, c *session.Conn, r *proto.Request)

// row says how requests of one op are served.
type row struct {
	handle handler
	open   bool // served before login
	chat   bool // counts against the window
	direct bool // served even while chat messages of the connection are in flight
}

// newTable makes the dispatch table: one handler for each op that a client
// sends. PING and PONG end in the reactor.
func (s *Service) newTable() [proto.OpCount]row {
	return [proto.OpCount]row{
		proto.LOGIN:         {handle: s.logins.Login, open: true},
		proto.LOGOUT:        {handle: s.logins.Logout},
		proto.REG:           {handle: s.logins.Reg, open: true},
		proto.PASSWORD:      {handle: s.logins.Password},
		proto.ONE_CHAT:      {handle: s.messages.OneChat, chat: true},
		proto.GROUP_CHAT:    {handle: s.messages.GroupChat, chat: true},
		proto.EVENT:         {handle: s.messages.Event, direct: true},
		proto.RECEIPT:       {handle: s.messages.Receipt, direct: true},
		proto.SYNC:          {handle: s.messages.Sync},
		proto.CONVERSATIONS: {handle: s.messages.Conversations},
		proto.ADD_FRIEND:    {handle: s.people.AddFriend},
		proto.DEL_FRIEND:    {handle: s.people.DelFriend},
		proto.BLOCK:         {handle: s.people.Block},
		proto.FIND_USER:     {handle: s.people.FindUser},
		proto.CREATE_GROUP:  {handle: s.groups.CreateGroup},
		proto.ADD_GROUP:     {handle: s.groups.AddGroup},
		proto.LEAVE_GROUP:   {handle: s.groups.LeaveGroup},
		proto.KICK_MEMBER:   {handle: s.groups.KickMember},
		proto.DISMISS_GROUP: {handle: s.groups.DismissGroup},
		proto.GROUP_USERS:   {handle: s.groups.GroupUsers},
	}
}

// Open is called by the reactor for each new connection.
func (s *Service) Open(t Turn, c *reactor.Conn) { s.sessions.Open(t, c) }

// Request serves one request, or returns false: not now. A request that needs
// the store waits until everything before it is answered, and what follows waits
// for it; a chat message waits for a place in the window.
func (s *Service) Request(t Turn, rc *reactor.Conn, r *proto.Request) bool {
	c := session.ConnOf(t, rc)
	row := &s.table[r.Op]
	switch {
	case c.Busy(t),
		row.chat && c.InFlight(t) >= s.cfg.Session.Window,
		!row.chat && !row.direct && c.InFlight(t) > 0:
		return false
	}
	if wait := c.ChargeRequest(t); wait > 0 {
		c.RefuseInOrder(t, r, proto.SlowDown(wait))
		return true
	}
	switch {
	case c.Session(t) == nil && !row.open:
		c.Refuse(t, session.Answer(r), proto.Errorf(proto.NotLoggedIn, "not logged in; log in first"))
	case c.Session(t) != nil && r.Op == proto.LOGIN:
		c.Refuse(t, session.Answer(r), proto.Errorf(proto.LoggedIn, "already logged in on this connection; log out first"))
	default:
		row.handle(t, c, r)
	}
	return true
}

// TurnEnd hands over what the turn gathered: messages to the log, events to the
// other loops.
func (s *Service) TurnEnd(t Turn) {
	s.messages.HandOver(t)
	s.delivery.On(t).HandOver(t)
}

// KickedForAbuse is called by the reactor as it kicks a connection for abuse: its user
// has to wait before the next login. Without a login nobody has to: others may
// share the address.
func (s *Service) KickedForAbuse(t Turn, rc *reactor.Conn) {
	if ss := session.ConnOf(t, rc).Session(t); ss != nil {
		s.limits.Abused(ss.User, t.Now())
	}
}

// Closed is called by the reactor once a connection has closed.
func (s *Service) Closed(t Turn, rc *reactor.Conn) {
	if ss := session.ConnOf(t, rc).Session(t); ss != nil {
		s.delivery.On(t).End(t, ss)
	}
}

// Idle reports whether everything that a connection has asked for is answered:
// then a draining node may close it.
func (s *Service) Idle(t Turn, rc *reactor.Conn) bool {
	c, _ := rc.Data(t).(*session.Conn)
	return c == nil || c.Idle(t)
}
