package people

import (
	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/session"
)

// AddFriend serves ADD_FRIEND.
func (p *People) AddFriend(t Turn, c *conn, r *proto.Request) {
	a, ss := session.Answer(r), c.Session(t)
	by := ss.Actor()
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (string, error) {
		return p.Commands.AddFriend(t, by, a.FriendID)
	}, func(t Turn, name string) {
		a.Name = name
		a.State = p.presence.Answer(t, ss, a.FriendID, true) // AddFriend fails if the friend has blocked the user
		c.Reply(t, &a)
	})
}

// DelFriend serves DEL_FRIEND.
func (p *People) DelFriend(t Turn, c *conn, r *proto.Request) {
	a, by := session.Answer(r), c.Session(t).Actor()
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (struct{}, error) {
		return struct{}{}, p.Commands.DelFriend(t, by, a.FriendID)
	}, func(t Turn, _ struct{}) { c.Reply(t, &a) })
}

// Block serves BLOCK.
func (p *People) Block(t Turn, c *conn, r *proto.Request) {
	a, by := session.Answer(r), c.Session(t).Actor()
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (struct{}, error) {
		return struct{}{}, p.Commands.Block(t, by, a.UserID, a.On)
	}, func(t Turn, _ struct{}) { c.Reply(t, &a) })
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
