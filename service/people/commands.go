package people

import (
	"chatd/proto"
	"chatd/service/bus"
	"chatd/service/delivery"
	"chatd/service/presence"
	"chatd/service/session"
)

// Commands change friends and blocks. Each one checks whether an actor may make
// the change, makes it, and announces it. It doesn't know how the request came.
// Commands block, and return errors that Sessions.Errno understands.
type Commands struct {
	cfg      *Config
	store    Store
	courier  *bus.Courier
	sessions *session.Sessions
	presence *presence.Presence
	delivery *delivery.Delivery
}

// AddFriend makes the actor and another user friends, and returns that user's name.
// Errors: those of Store.AddFriend, and BadRequest if the actor is the other user.
func (p *Commands) AddFriend(t Off, by session.Actor, friend int64) (name string, err error) {
	if friend == by.User {
		return "", proto.Errorf(proto.BadRequest, "friendid is your own ID; you can't add yourself as a friend")
	}
	if name, err = p.store.AddFriend(t, by.User, friend, p.cfg.MaxFriends); err != nil {
		return "", err
	}
	p.sessions.Tell(friend, proto.AppendResponse(nil, &proto.Response{Op: proto.ADD_FRIEND, ID: by.User, Name: by.Name}), nil)
	p.sessions.Tell(by.User, proto.AppendResponse(nil, &proto.Response{Op: proto.ADD_FRIEND, ID: friend, Name: name}), by.Session)
	p.presence.Befriended(by.User, friend, by.Session)
	return name, nil
}

// DelFriend ends the friendship of the actor and another user. The errors are
// those of Store.DelFriend.
func (p *Commands) DelFriend(t Off, by session.Actor, friend int64) error {
	if err := p.store.DelFriend(t, by.User, friend); err != nil {
		return err
	}
	p.presence.Unfriended(by.User, friend)
	p.sessions.Tell(friend, proto.AppendResponse(nil, &proto.Response{Op: proto.DEL_FRIEND, ID: by.User}), nil)
	p.sessions.Tell(by.User, proto.AppendResponse(nil, &proto.Response{Op: proto.DEL_FRIEND, ID: friend}), by.Session)
	return nil
}

// Block blocks another user, or unblocks them if on is false. A blocked user's
// messages and events don't arrive, and they see the actor as offline. Errors:
// those of Store.Block, and BadRequest if the actor is the other user.
func (p *Commands) Block(t Off, by session.Actor, user int64, on bool) error {
	if user == by.User {
		return proto.Errorf(proto.BadRequest, "userid is your own ID; you can't block yourself")
	}
	if err := p.store.Block(t, by.User, user, on); err != nil {
		return err
	}
	b := &bus.Blocked{By: by.User, Whom: user}
	p.delivery.ForgetBlock(b)
	p.courier.Publish(bus.User(user), bus.Payload{Blocked: b}) // to the nodes from which the blocked user may send events
	p.sessions.Tell(by.User, proto.AppendResponse(nil, &proto.Response{Op: proto.BLOCK, UserID: user, On: on}), by.Session)
	p.presence.BlockChanged(by.User, user)
	return nil
}
