package people

import (
	"log/slog"

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
	log      *slog.Logger
	store    Store
	courier  *bus.Courier
	sessions *session.Sessions
	presence *presence.Presence
	delivery *delivery.Delivery
}

// AddFriend makes the actor and another user friends. It returns that user, with
// the state that the actor may see. Errors: those of Store.AddFriend, and
// BadRequest if the actor is the other user.
func (p *Commands) AddFriend(t Off, by session.Actor, friend int64) (proto.Friend, error) {
	if friend == by.User {
		return proto.Friend{}, proto.Errorf(proto.BadRequest, "friendid is your own ID; you can't add yourself as a friend")
	}
	name, err := p.store.AddFriend(t, by.User, friend, p.cfg.MaxFriends)
	if err != nil {
		return proto.Friend{}, err
	}
	p.sessions.Tell(friend, proto.AppendResponse(nil, &proto.Response{Op: proto.ADD_FRIEND, ID: by.User, Name: by.Name}), nil)
	p.sessions.Tell(by.User, proto.AppendResponse(nil, &proto.Response{Op: proto.ADD_FRIEND, ID: friend, Name: name}), by.Session)

	// The two are friends now. If their states can't be read, they appear offline.
	if hidden, err := p.store.Blocked(t, by.User, friend); err == nil && !hidden && p.online(t, by) {
		p.presence.Inform(friend, &bus.Presence{User: by.User, Online: true}, nil)
	}
	f := proto.Friend{ID: friend, Name: name, State: proto.Offline}
	if states, err := p.presence.States(t, by.User, []int64{friend}); err == nil {
		f.State = states[0]
	}
	if f.State == proto.Online {
		p.presence.Inform(by.User, &bus.Presence{User: friend, Online: true}, by.Session)
	}
	return f, nil
}

// DelFriend ends the friendship of the actor and another user. The errors are
// those of Store.DelFriend.
func (p *Commands) DelFriend(t Off, by session.Actor, friend int64) error {
	if err := p.store.DelFriend(t, by.User, friend); err != nil {
		return err
	}
	p.presence.Record(by.User, friend, false)
	p.presence.Record(friend, by.User, false)
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
	switch friends, _, err := p.store.AreFriends(t, by.User, user); {
	case err != nil: // the block is stored: only the notice to a friend is left out
		p.log.Error("looking up a friendship failed", "user", by.User, "other", user, "err", err)
	case friends:
		p.presence.Inform(user, &bus.Presence{User: by.User, Online: !on && p.online(t, by)}, nil)
	}
	return nil
}

// online reports whether an actor is online, as far as the bus knows.
func (p *Commands) online(t Off, by session.Actor) bool {
	return by.Session != nil || p.presence.Online(t, []int64{by.User})[0]
}
