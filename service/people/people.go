// Package people makes and lists friends, blocks users, and finds them. Commands
// (commands.go) make the changes; People has the handlers for requests.
package people

import (
	"context"

	"chatd/model"
	"chatd/model/feed"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/delivery"
	"chatd/service/presence"
	"chatd/service/session"
)

// Turn and Off are short names for the types of package reactor.
type (
	Turn = reactor.Turn
	Off  = reactor.Off
	conn = session.Conn
)

// Store holds the methods of the store that people needs. All may block.
type Store interface {
	UserByID(ctx context.Context, id int64) (model.User, error)
	UserByNameKey(ctx context.Context, key string) (model.User, error)
	AddFriend(ctx context.Context, user, friend int64, max int) (feed.Relation, error)
	DelFriend(ctx context.Context, user, friend int64) (feed.Relation, error)
	AreFriends(ctx context.Context, a, b int64) (friends, hidden bool, err error)
	Block(ctx context.Context, user, other int64, on bool) (feed.Relation, error)
}

// People has the handlers of one node.
type People struct{ Commands }

// New returns the handlers.
func New(cfg *Config, store Store, c *bus.Courier, s *session.Sessions, p *presence.Presence, d *delivery.Delivery) *People {
	return &People{Commands{cfg: cfg, store: store, courier: c, sessions: s, presence: p, delivery: d}}
}

// List returns the friends of a session that is logging in, with the states that
// the user may see. It blocks.
func (p *People) List(t Off, ss *session.Session) ([]proto.Friend, error) {
	fs, states, err := p.presence.Friends(t, ss)
	if err != nil {
		return nil, err
	}
	list := make([]proto.Friend, len(fs))
	for i, f := range fs {
		list[i] = proto.Friend{ID: f.ID, Name: f.Name, State: states[i]}
	}
	return list, nil
}
