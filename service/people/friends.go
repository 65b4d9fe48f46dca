package people

import (
	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/session"
)

// AddFriend makes two users friends.
func (p *People) AddFriend(t Turn, c *conn, r *proto.Request) {
	a, ss := session.Answer(r), c.Session(t)
	if a.FriendID == ss.User {
		c.Refuse(t, a, proto.Errorf(proto.BadRequest, "friendid is your own ID; you can't add yourself as a friend"))
		return
	}
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (_ struct{}, err error) {
		a.Name, err = p.store.AddFriend(t, ss.User, a.FriendID, p.cfg.MaxFriends)
		return struct{}{}, err
	}, func(t Turn, _ struct{}) {
		p.sessions.Tell(a.FriendID, proto.AppendResponse(nil, &proto.Response{Op: proto.ADD_FRIEND, ID: ss.User, Name: ss.Name}), nil)
		p.sessions.Tell(ss.User, proto.AppendResponse(nil, &proto.Response{Op: proto.ADD_FRIEND, ID: a.FriendID, Name: a.Name}), ss)
		p.presence.Befriended(ss.User, a.FriendID)
		a.State = p.presence.Answer(t, ss, a.FriendID, true) // AddFriend fails if the friend has blocked the user
		c.Reply(t, &a)
	})
}

// DelFriend ends the friendship of two users.
func (p *People) DelFriend(t Turn, c *conn, r *proto.Request) {
	a, ss := session.Answer(r), c.Session(t)
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (struct{}, error) {
		return struct{}{}, p.store.DelFriend(t, ss.User, a.FriendID)
	}, func(t Turn, _ struct{}) {
		p.presence.Unfriended(ss.User, a.FriendID)
		c.Reply(t, &a)
		p.sessions.Tell(a.FriendID, proto.AppendResponse(nil, &proto.Response{Op: proto.DEL_FRIEND, ID: ss.User}), nil)
		p.sessions.Tell(ss.User, proto.AppendResponse(nil, &proto.Response{Op: proto.DEL_FRIEND, ID: a.FriendID}), ss)
	})
}

// Block blocks or unblocks another user. A blocked user's messages and events
// don't arrive, and they see the blocking user as offline.
func (p *People) Block(t Turn, c *conn, r *proto.Request) {
	a, ss := session.Answer(r), c.Session(t)
	if a.UserID == ss.User {
		c.Refuse(t, a, proto.Errorf(proto.BadRequest, "userid is your own ID; you can't block yourself"))
		return
	}
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (struct{}, error) {
		return struct{}{}, p.store.Block(t, ss.User, a.UserID, a.On)
	}, func(t Turn, _ struct{}) {
		b := &bus.Blocked{By: ss.User, Whom: a.UserID}
		p.delivery.ForgetBlock(b)
		p.courier.Publish(bus.User(a.UserID), bus.Payload{Blocked: b}) // to the nodes from which the blocked user may send events
		c.Reply(t, &a)
		p.sessions.Tell(ss.User, proto.AppendResponse(nil, &proto.Response{Op: proto.BLOCK, UserID: a.UserID, On: a.On}), ss)
		p.presence.BlockChanged(ss.User, a.UserID)
	})
}

// FindUser looks up a user by name or ID.
func (p *People) FindUser(t Turn, c *conn, r *proto.Request) {
	a, ss, name := session.Answer(r), c.Session(t), r.Name
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (u model.User, err error) {
		if name != "" {
			u, err = p.store.UserByNameKey(t, proto.NameKey(name))
		} else {
			u, err = p.store.UserByID(t, a.UserID)
		}
		if err != nil {
			return u, err
		}
		friends, _, err := p.store.AreFriends(t, ss.User, u.ID)
		if err != nil || !friends {
			return u, err
		}
		states, err := p.presence.States(t, ss.User, []int64{u.ID})
		if err == nil {
			a.State = states[0]
		}
		return u, err
	}, func(t Turn, u model.User) {
		a.ID, a.Name = u.ID, u.Name
		c.Reply(t, &a)
	})
}
