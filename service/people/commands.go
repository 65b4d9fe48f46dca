package people

import (
	"chatd/model/feed"
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
	r, err := p.store.AddFriend(t, by.User, friend, p.cfg.MaxFriends)
	if err != nil {
		return "", err
	}
	p.sessions.TellOf(friend, about(&r, &r.Other), befriended(&r.By), nil)
	p.sessions.TellOf(by.User, about(&r, &r.By), befriended(&r.Other), by.Session)
	p.presence.Befriended(by.User, friend, by.Session)
	return r.Other.Name, nil
}

// DelFriend ends the friendship of the actor and another user. The errors are
// those of Store.DelFriend.
func (p *Commands) DelFriend(t Off, by session.Actor, friend int64) error {
	r, err := p.store.DelFriend(t, by.User, friend)
	if err != nil {
		return err
	}
	p.presence.Unfriended(by.User, friend)
	p.sessions.TellOf(friend, about(&r, &r.Other), unfriended(by.User), nil)
	p.sessions.TellOf(by.User, about(&r, &r.By), unfriended(friend), by.Session)
	return nil
}

// Block blocks another user, or unblocks them if on is false. A blocked user's
// messages and events don't arrive, and they see the actor as offline. Errors:
// those of Store.Block, and BadRequest if the actor is the other user.
func (p *Commands) Block(t Off, by session.Actor, user int64, on bool) error {
	if user == by.User {
		return proto.Errorf(proto.BadRequest, "userid is your own ID; you can't block yourself")
	}
	r, err := p.store.Block(t, by.User, user, on)
	if err != nil {
		return err
	}
	b := &bus.Blocked{By: by.User, Whom: user}
	p.delivery.ForgetBlock(b)
	p.courier.Publish(bus.User(user), bus.Payload{Blocked: b}) // to the nodes from which the blocked user may send events
	p.sessions.TellOf(by.User, about(&r, &r.By), blocked(user, on), by.Session)
	p.presence.BlockChanged(by.User, user)
	return nil
}

// Changed handles a change that another process has committed. This node may have got
// hints about it before, or may get them later. It doesn't block.
func (p *Commands) Changed(r *feed.Relation) {
	by, other := &r.By, &r.Other
	switch r.What {
	case feed.Befriended:
		p.changed(by, other, about(r, by), befriended(other))
		p.changed(other, by, about(r, other), befriended(by))
	case feed.Unfriended:
		p.changed(by, other, about(r, by), unfriended(other.User))
		p.changed(other, by, about(r, other), unfriended(by.User))
	case feed.Blocked, feed.Unblocked:
		p.delivery.ForgetBlock(&bus.Blocked{By: by.User, Whom: other.User})
		p.sessions.TellOfHere(by.User, about(r, by), blocked(other.User, r.What == feed.Blocked), nil)
		p.presence.Check(by.User, other.User, false)
		p.presence.Check(other.User, by.User, false)
	}
}

// changed tells a user on this node that a friendship with another has begun or ended,
// unless a hint has done so.
func (p *Commands) changed(user, other *feed.Party, about bus.About, body []byte) {
	news := p.sessions.TellOfHere(user.User, about, body, nil)
	p.presence.Check(user.User, other.User, news)
}

// about returns what the notice of a change is about, for one of the two users.
func about(r *feed.Relation, who *feed.Party) bus.About {
	a := bus.About{Subject: bus.Friendship, ID: r.By.User + r.Other.User - who.User, Number: who.Number}
	if r.What == feed.Blocked || r.What == feed.Unblocked {
		a.Subject = bus.Block
	}
	return a
}

// befriended returns the body of the notice of a new friend.
func befriended(friend *feed.Party) []byte {
	return proto.AppendResponse(nil, &proto.Response{Op: proto.ADD_FRIEND, ID: friend.User, Name: friend.Name})
}

// unfriended returns the body of the notice that a user is no longer a friend.
func unfriended(friend int64) []byte {
	return proto.AppendResponse(nil, &proto.Response{Op: proto.DEL_FRIEND, ID: friend})
}

// blocked returns the body of the notice that the user has blocked or unblocked another.
func blocked(user int64, on bool) []byte {
	return proto.AppendResponse(nil, &proto.Response{Op: proto.BLOCK, UserID: user, On: on})
}
