// Package groups creates groups, adds and removes members, and lists them. Commands
// (commands.go) make the changes; Groups has the handlers for requests.
package groups

import (
	"context"
	"log/slog"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/audit"
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

// Store holds the methods of the store that groups need. All may block.
type Store interface {
	CreateGroup(ctx context.Context, creator int64, name, desc string, maxGroups int) (*model.Append, error)
	JoinGroup(ctx context.Context, group, user int64, maxMembers, maxGroups int) (*model.Append, error)
	LeaveGroup(ctx context.Context, group, user int64) (*model.Append, error)
	KickMember(ctx context.Context, group, by, user int64) (*model.Append, error)
	DismissGroup(ctx context.Context, group, by int64) (*model.Append, error)
	Groups(ctx context.Context, user int64) ([]model.Group, error)
	Members(ctx context.Context, group, after int64, limit int) ([]model.Member, error)
	VisibleRange(ctx context.Context, user, group, peer int64) (model.VisibleRange, error)
}

// Groups has the handlers of one node.
type Groups struct{ Commands }

// New returns the handlers.
func New(cfg *Config, log *slog.Logger, au *audit.Log, store Store, p *presence.Presence, d *delivery.Delivery) *Groups {
	return &Groups{Commands{cfg: cfg, log: log, store: store, presence: p, delivery: d, audit: au}}
}

// CreateGroup serves CREATE_GROUP.
func (g *Groups) CreateGroup(t Turn, c *conn, r *proto.Request) {
	a, by, name, desc := session.Answer(r), c.Session(t).Actor(), r.GroupName, r.GroupDesc
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (int64, error) {
		return g.Create(t, by, name, desc)
	}, func(t Turn, id int64) {
		a.GroupID = id
		c.Reply(t, &a)
	})
}

// AddGroup serves ADD_GROUP. The session gets the pushes and notices of the group
// after the ACK, whose seq and users are the state from which they continue.
func (g *Groups) AddGroup(t Turn, c *conn, r *proto.Request) {
	a, ss := session.Answer(r), c.Session(t)
	by := ss.Actor()
	ss.BeginJoin(t, a.GroupID)
	session.TryJob(t, c, reactor.Quick, func(t Off) (proto.Group, error) {
		return g.Join(t, by, a.GroupID)
	}, func(t Turn, j proto.Group, err error) {
		if err != nil {
			c.Refuse(t, a, err)
		} else {
			a.GroupName, a.GroupDesc, a.Seq, a.Users, a.Count = j.GroupName, j.GroupDesc, j.Seq, j.Users, j.Count
			c.Reply(t, &a)
		}
		g.delivery.On(t).EndJoin(t, ss)
	})
}

// LeaveGroup serves LEAVE_GROUP.
func (g *Groups) LeaveGroup(t Turn, c *conn, r *proto.Request) {
	a, by := session.Answer(r), c.Session(t).Actor()
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (struct{}, error) {
		return struct{}{}, g.Leave(t, by, a.GroupID)
	}, func(t Turn, _ struct{}) { c.Reply(t, &a) })
}

// KickMember serves KICK_MEMBER.
func (g *Groups) KickMember(t Turn, c *conn, r *proto.Request) {
	a, by := session.Answer(r), c.Session(t).Actor()
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (struct{}, error) {
		return struct{}{}, g.Kick(t, by, a.GroupID, a.UserID)
	}, func(t Turn, _ struct{}) { c.Reply(t, &a) })
}

// DismissGroup serves DISMISS_GROUP.
func (g *Groups) DismissGroup(t Turn, c *conn, r *proto.Request) {
	a, by := session.Answer(r), c.Session(t).Actor()
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (struct{}, error) {
		return struct{}{}, g.Dismiss(t, by, a.GroupID)
	}, func(t Turn, _ struct{}) { c.Reply(t, &a) })
}

// GroupUsers returns a page of a group's members. Only members may ask.
func (g *Groups) GroupUsers(t Turn, c *conn, r *proto.Request) {
	a, ss, after := session.Answer(r), c.Session(t), r.After
	session.RunJob(t, c, reactor.Quick, a, func(t Off) ([]proto.Member, error) {
		if _, err := g.store.VisibleRange(t, ss.User, a.GroupID, 0); err != nil {
			return nil, err
		}
		return g.page(t, ss.User, a.GroupID, after)
	}, func(t Turn, us []proto.Member) {
		if len(us) > proto.MaxPageUsers {
			us, a.More = us[:proto.MaxPageUsers], true
		}
		a.Users = us
		c.Reply(t, &a)
	})
}

// page reads up to one member more than a page, so that the caller sees whether
// there are more. The states are those that asker may see.
func (g *Commands) page(t Off, asker, group, after int64) ([]proto.Member, error) {
	ms, err := g.store.Members(t, group, after, proto.MaxPageUsers+1)
	if err != nil {
		return nil, err
	}
	return g.withStates(t, asker, ms)
}

// withStates returns members with the states that asker may see.
func (g *Commands) withStates(t Off, asker int64, ms []model.Member) ([]proto.Member, error) {
	ids := make([]int64, len(ms))
	for i := range ms {
		ids[i] = ms[i].User
	}
	states, err := g.presence.States(t, asker, ids)
	if err != nil {
		return nil, err
	}
	us := make([]proto.Member, len(ms))
	for i, m := range ms {
		us[i] = proto.Member{ID: m.User, Name: m.Name, State: states[i], Role: m.Role}
	}
	return us, nil
}

// List returns a user's groups. It includes the members of groups with up to
// proto.MaxPageUsers members, as long as there are at most maxUsers in total. The
// seq of a group is that of memberships, which were read before: the device gets
// all later messages. It blocks.
func (g *Groups) List(t Off, user int64, memberships []model.Membership, maxUsers int) ([]proto.Group, error) {
	gs, err := g.store.Groups(t, user)
	if err != nil {
		return nil, err
	}
	last := make(map[int64]int64)
	for i := range memberships {
		last[memberships[i].Conv] = memberships[i].Last
	}
	list, sizes := make([]proto.Group, len(gs)), make([]int, len(gs))
	var members []model.Member // of all groups
	for i, o := range gs {
		// If memberships has no such group, or the user has joined it again since, the
		// device gets the messages after the join.
		list[i] = proto.Group{ID: o.ID, GroupName: o.Name, GroupDesc: o.Desc, Seq: max(last[o.ID], o.Joined), Count: o.Count}
		if o.Count > proto.MaxPageUsers || int(o.Count) > maxUsers-len(members) {
			continue
		}
		ms, err := g.store.Members(t, o.ID, 0, proto.MaxPageUsers+1)
		if err != nil {
			return nil, err
		}
		members, sizes[i] = append(members, ms...), len(ms)
		list[i].Count = 0
	}
	us, err := g.withStates(t, user, members)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Count == 0 {
			list[i].Users, us = us[:sizes[i]:sizes[i]], us[sizes[i]:]
		}
	}
	return list, nil
}
