package service

import (
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/audit"
	"chatd/service/limits"
	"chatd/service/session"
)

// handler serves one request, on the loop of its connection.
type handler func(t Turn, c *session.Conn, r *proto.Request)

// row describes how requests with one op are served.
type row struct {
	handle handler
	open   bool // allowed before login
	chat   bool // counts against the window
	direct bool // doesn't wait until the connection's chat messages are answered
	costly bool // is refused while the user's answers and pushes to groups exceed their limit
	change bool // counts as limits.ChangeBytes; implies costly
}

// newTable returns the dispatch table, with a handler for each op that clients
// may send, except PING and PONG: the reactor handles them.
func (s *Service) newTable() [proto.OpCount]row {
	return [proto.OpCount]row{
		proto.LOGIN:         {handle: s.logins.Login, open: true},
		proto.LOGOUT:        {handle: s.logins.Logout},
		proto.REG:           {handle: s.logins.Reg, open: true},
		proto.PASSWORD:      {handle: s.logins.Password},
		proto.ONE_CHAT:      {handle: s.messages.OneChat, chat: true},
		proto.GROUP_CHAT:    {handle: s.messages.GroupChat, chat: true, costly: true},
		proto.EVENT:         {handle: s.messages.Event, direct: true, costly: true},
		proto.RECEIPT:       {handle: s.messages.Receipt, direct: true},
		proto.SYNC:          {handle: s.messages.Sync, costly: true},
		proto.CONVERSATIONS: {handle: s.messages.Conversations, costly: true},
		proto.ADD_FRIEND:    {handle: s.people.AddFriend, change: true},
		proto.DEL_FRIEND:    {handle: s.people.DelFriend, change: true},
		proto.BLOCK:         {handle: s.people.Block, change: true},
		proto.FIND_USER:     {handle: s.people.FindUser},
		proto.CREATE_GROUP:  {handle: s.groups.CreateGroup, change: true},
		proto.ADD_GROUP:     {handle: s.groups.AddGroup, change: true},
		proto.LEAVE_GROUP:   {handle: s.groups.LeaveGroup, change: true},
		proto.KICK_MEMBER:   {handle: s.groups.KickMember, change: true},
		proto.DISMISS_GROUP: {handle: s.groups.DismissGroup, change: true},
		proto.GROUP_USERS:   {handle: s.groups.GroupUsers, costly: true},
	}
}

// Open prepares a new connection. The reactor calls it before Request.
func (s *Service) Open(t Turn, c *reactor.Conn) { s.sessions.Open(t, c) }

// Request serves one request. It returns false if the request has to wait; the
// reactor then calls it again later. While a request of the connection uses the
// store, all later ones wait. A chat message waits while the window is full.
// Other requests wait until all chat messages before them are answered, except
// events and receipts.
func (s *Service) Request(t Turn, rc *reactor.Conn, r *proto.Request) bool {
	c := session.ConnOf(t, rc)
	row := &s.table[r.Op]
	switch {
	case c.Busy(t),
		row.chat && c.InFlight(t) >= s.cfg.Session.Window,
		!row.chat && !row.direct && c.InFlight(t) > 0:
		return false
	}
	if wait := c.ChargeRequest(t, row.costly || row.change); wait > 0 {
		c.RefuseInOrder(t, r, proto.SlowDown(wait))
		return true
	}
	if row.change {
		c.ChargeBytes(t, limits.ChangeBytes)
	}
	switch {
	case c.Session(t) == nil && !row.open:
		c.Refuse(t, session.Answer(r), proto.Errorf(proto.NotLoggedIn, "not logged in; log in first"))
	case c.Session(t) != nil && r.Op == proto.LOGIN:
		c.Refuse(t, session.Answer(r), proto.Errorf(proto.LoggedIn, "already logged in on this connection; log out first"))
	default:
		if !row.chat {
			c.Begin(t, r.Op)
		}
		row.handle(t, c, r)
	}
	return true
}

// TurnEnd passes on what was collected during the turn: chat messages to the
// append queue, and events to the other loops.
func (s *Service) TurnEnd(t Turn) {
	s.messages.HandOver(t)
	s.delivery.On(t).HandOver(t)
}

// KickedForAbuse makes the user of a connection wait before the next login. The
// reactor calls it when it kicks a connection for abuse. If nobody is logged in
// on the connection, it does nothing: other users may share the address.
func (s *Service) KickedForAbuse(t Turn, rc *reactor.Conn) {
	if ss := session.ConnOf(t, rc).Session(t); ss != nil {
		s.limits.Abused(ss.User, t.Now())
		s.cfg.Audit.Add(audit.Event{Action: audit.Lockout, Reason: limits.ShutOut.String(), Addr: ss.Addr, User: ss.User, Name: ss.Name, Device: ss.Device})
	}
}

// Closed ends the session of a closed connection.
func (s *Service) Closed(t Turn, rc *reactor.Conn) {
	if ss := session.ConnOf(t, rc).Session(t); ss != nil {
		s.delivery.On(t).End(t, ss)
	}
}

// Idle reports whether all requests of a connection are answered, so that a
// draining node may close it.
func (s *Service) Idle(t Turn, rc *reactor.Conn) bool {
	c, _ := rc.Data(t).(*session.Conn)
	return c == nil || c.Idle(t)
}
