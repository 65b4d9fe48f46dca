package service

import (
	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
)

// befriended is what addFriend has to tell.
type befriended struct {
	state   string // the friend's, as the asker may see it
	visible bool   // the asker's to the friend
}

// addFriend puts two users into each other's lists.
func (s *Service) addFriend(t Turn, x *client, r *proto.Request) {
	a, ss := answer(r), x.session
	if a.FriendID == ss.user {
		s.refuse(t, x, a, proto.Errorf(proto.BadRequest, "friendid is your own id"))
		return
	}
	offLoop(s, t, x, reactor.Quick, a, func(t Off) (b befriended, err error) {
		if a.Name, err = s.store.AddFriend(t, ss.user, a.FriendID, s.cfg.MaxFriends); err != nil {
			return b, err
		}
		b.state = proto.Offline
		if states, err := s.states(t, ss.user, []int64{a.FriendID}); err == nil { // they are friends all the same
			b.state = states[0]
		}
		hidden, err := s.store.Blocked(t, ss.user, a.FriendID)
		b.visible = err == nil && !hidden
		return b, nil
	}, func(t Turn, b befriended) {
		a.State = b.state
		x.reply(t, &a)
		s.tell(a.FriendID, proto.AppendResponse(nil, &proto.Response{Op: proto.ADD_FRIEND, ID: ss.user, Name: ss.name}), nil)
		if b.visible {
			s.presence.inform(a.FriendID, &bus.Presence{User: ss.user, Online: true}, nil)
		}
		s.tell(ss.user, proto.AppendResponse(nil, &proto.Response{Op: proto.ADD_FRIEND, ID: a.FriendID, Name: a.Name}), ss)
		if b.state == proto.Online {
			s.presence.inform(ss.user, &bus.Presence{User: a.FriendID, Online: true}, ss)
		}
	})
}

// delFriend takes two users out of each other's lists.
func (s *Service) delFriend(t Turn, x *client, r *proto.Request) {
	a, ss := answer(r), x.session
	offLoop(s, t, x, reactor.Quick, a, func(t Off) (struct{}, error) {
		return struct{}{}, s.store.DelFriend(t, ss.user, a.FriendID)
	}, func(t Turn, _ struct{}) {
		s.presence.believes(ss.user, a.FriendID, false)
		s.presence.believes(a.FriendID, ss.user, false)
		x.reply(t, &a)
		s.tell(a.FriendID, proto.AppendResponse(nil, &proto.Response{Op: proto.DEL_FRIEND, ID: ss.user}), nil)
		s.tell(ss.user, proto.AppendResponse(nil, &proto.Response{Op: proto.DEL_FRIEND, ID: a.FriendID}), ss)
	})
}

// block refuses another user's messages and hides from them, or no longer.
func (s *Service) block(t Turn, x *client, r *proto.Request) {
	a, ss := answer(r), x.session
	if a.UserID == ss.user {
		s.refuse(t, x, a, proto.Errorf(proto.BadRequest, "userid is your own id"))
		return
	}
	offLoop(s, t, x, reactor.Quick, a, func(t Off) (friends bool, err error) {
		if err := s.store.Block(t, ss.user, a.UserID, a.On); err != nil {
			return false, err
		}
		friends, _, err = s.store.AreFriends(t, ss.user, a.UserID)
		if err != nil { // blocked all the same; the friend's view is a little old
			s.log.Error("looking up a friend failed", "user", ss.user, "err", err)
		}
		return friends, nil
	}, func(t Turn, friends bool) {
		b := &bus.Blocked{By: ss.user, Whom: a.UserID}
		s.forgetBlock(b)
		s.publish(bus.User(a.UserID), bus.Payload{Blocked: b}) // whose events are asked about where they are sent
		x.reply(t, &a)
		s.tell(ss.user, proto.AppendResponse(nil, &proto.Response{Op: proto.BLOCK, UserID: a.UserID, On: a.On}), ss)
		if friends {
			s.presence.inform(a.UserID, &bus.Presence{User: ss.user, Online: !a.On}, nil)
		}
	})
}

// findUser looks a user up by name or number.
func (s *Service) findUser(t Turn, x *client, r *proto.Request) {
	a, ss, name := answer(r), x.session, r.Name
	offLoop(s, t, x, reactor.Quick, a, func(t Off) (u model.User, err error) {
		if name != "" {
			u, err = s.store.UserByNameKey(t, proto.NameKey(name))
		} else {
			u, err = s.store.UserByID(t, a.UserID)
		}
		if err != nil {
			return u, err
		}
		friends, _, err := s.store.AreFriends(t, ss.user, u.ID)
		if err != nil || !friends {
			return u, err
		}
		states, err := s.states(t, ss.user, []int64{u.ID})
		if err == nil {
			a.State = states[0]
		}
		return u, err
	}, func(t Turn, u model.User) {
		a.ID, a.Name = u.ID, u.Name
		x.reply(t, &a)
	})
}
