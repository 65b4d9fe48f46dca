package service

import (
	"chatd/proto"
	"chatd/reactor"
)

// row says how requests of one op are served.
type row struct {
	handle func(s *Service, t Turn, x *client, r *proto.Request)
	open   bool // served before login
	chat   bool // counts against the window
	direct bool // never waits for the store: taken up beside chat messages not yet acknowledged
}

// table is the dispatch table: one handler for each op that a client sends,
// named after it. PING and PONG end in the reactor.
var table = [proto.OpCount]row{
	proto.LOGIN:         {handle: (*Service).login, open: true},
	proto.LOGOUT:        {handle: (*Service).logout},
	proto.REG:           {handle: (*Service).reg, open: true},
	proto.ONE_CHAT:      {handle: (*Service).oneChat, chat: true},
	proto.GROUP_CHAT:    {handle: (*Service).groupChat, chat: true},
	proto.ADD_FRIEND:    {handle: (*Service).addFriend},
	proto.DEL_FRIEND:    {handle: (*Service).delFriend},
	proto.BLOCK:         {handle: (*Service).block},
	proto.FIND_USER:     {handle: (*Service).findUser},
	proto.CREATE_GROUP:  {handle: (*Service).createGroup},
	proto.ADD_GROUP:     {handle: (*Service).addGroup},
	proto.LEAVE_GROUP:   {handle: (*Service).leaveGroup},
	proto.KICK_MEMBER:   {handle: (*Service).kickMember},
	proto.DISMISS_GROUP: {handle: (*Service).dismissGroup},
	proto.GROUP_USERS:   {handle: (*Service).groupUsers},
	proto.RECEIPT:       {handle: (*Service).receipt, direct: true},
	proto.EVENT:         {handle: (*Service).event, direct: true},
	proto.SYNC:          {handle: (*Service).sync},
	proto.CONVERSATIONS: {handle: (*Service).conversations},
	proto.PASSWORD:      {handle: (*Service).password},
}

// Open is the reactor's word that a connection is there.
func (s *Service) Open(t Turn, c *reactor.Conn) {
	c.SetData(t, &client{conn: c})
}

// Request serves one request, or returns false: not now. A request that
// needs the store waits until all before it are answered, and what follows
// waits for it; a chat message waits for a place in the window.
func (s *Service) Request(t Turn, c *reactor.Conn, r *proto.Request) bool {
	x := c.Data(t).(*client)
	row := &table[r.Op]
	switch {
	case x.busy,
		row.chat && len(x.sending) >= s.cfg.Window,
		!row.chat && !row.direct && len(x.sending) > 0:
		return false
	}
	if wait := s.charge(t, x); wait > 0 {
		s.refuseChat(t, x, r, proto.SlowDown(wait))
		return true
	}
	switch {
	case x.session == nil && !row.open:
		s.refuse(t, x, answer(r), proto.Errorf(proto.NotLoggedIn, "log in first"))
	case x.session != nil && r.Op == proto.LOGIN:
		s.refuse(t, x, answer(r), proto.Errorf(proto.LoggedIn, "already logged in on this connection"))
	default:
		row.handle(s, t, x, r)
	}
	return true
}

// TurnEnd hands on what the turn has gathered, in one go.
func (s *Service) TurnEnd(t Turn) {
	s.loops[t.Loop()].turnEnd(t)
}

// Abused is the reactor's word that it kicks a connection for abuse: its user
// has to wait before a new one counts. Who isn't logged in is nobody, and
// whoever shares the address has nothing to do with it.
func (s *Service) Abused(t Turn, c *reactor.Conn) {
	if x := c.Data(t).(*client); x.session != nil {
		s.limits.abusers.Add(x.session.user, t.Now())
	}
}

// Closed is the reactor's word that a connection is gone.
func (s *Service) Closed(t Turn, c *reactor.Conn) {
	if x := c.Data(t).(*client); x.session != nil {
		s.loops[t.Loop()].end(t, x.session)
	}
}
