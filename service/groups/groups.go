// Package groups has the handlers for groups: create, join, leave, remove a
// member, dismiss, and list members.
package groups

import (
	"context"
	"log/slog"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
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
	CreateGroup(ctx context.Context, creator int64, name, desc string, maxGroups int) (int64, error)
	JoinGroup(ctx context.Context, group, user int64, maxMembers, maxGroups int) (model.JoinResult, error)
	LeaveGroup(ctx context.Context, group, user int64) (version int64, err error)
	KickMember(ctx context.Context, group, by, user int64) (version int64, err error)
	DismissGroup(ctx context.Context, group, by int64) (version int64, members []int64, err error)
	Groups(ctx context.Context, user int64) ([]model.Group, error)
	Members(ctx context.Context, group, after int64, limit int) ([]model.Member, error)
	VisibleRange(ctx context.Context, user, group, peer int64) (model.VisibleRange, error)
}

// Groups has the handlers of one node.
type Groups struct {
	cfg      *Config
	log      *slog.Logger
	store    Store
	presence *presence.Presence
	delivery *delivery.Delivery
}

// New returns the handlers.
func New(cfg *Config, log *slog.Logger, store Store, p *presence.Presence, d *delivery.Delivery) *Groups {
	return &Groups{cfg: cfg, log: log, store: store, presence: p, delivery: d}
}

// CreateGroup creates a group. The user becomes its creator and only member.
func (g *Groups) CreateGroup(t Turn, c *conn, r *proto.Request) {
	a, ss, name, desc := session.Answer(r), c.Session(t), r.GroupName, r.GroupDesc
	if err := proto.CheckName(name); err != nil {
		c.Refuse(t, a, err)
		return
	}
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (int64, error) {
		return g.store.CreateGroup(t, ss.User, name, desc, g.cfg.MaxGroups)
	}, func(t Turn, id int64) {
		a.GroupID = id
		g.delivery.MembersChanged(t, delivery.Joined(id, ss.User, ss.Name, model.FirstVersion, 0), ss)
		c.Reply(t, &a)
	})
}

// AddGroup adds the user to a group.
func (g *Groups) AddGroup(t Turn, c *conn, r *proto.Request) {
	a, ss := session.Answer(r), c.Session(t)
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (model.JoinResult, error) {
		j, err := g.store.JoinGroup(t, a.GroupID, ss.User, g.cfg.MaxMembers, g.cfg.MaxGroups)
		if err != nil {
			return j, err
		}
		a.GroupName, a.GroupDesc, a.Seq, a.Count = j.Name, j.Desc, j.Seq, j.Count
		if j.Count <= proto.MaxPageUsers {
			us, err := g.page(t, ss.User, a.GroupID, 0)
			if err != nil { // the user has joined: answer without the list
				g.log.Error("listing the members of a group failed", "group", a.GroupID, "err", err)
				return j, nil
			}
			a.Users, a.Count = us, 0
		}
		return j, nil
	}, func(t Turn, j model.JoinResult) {
		g.delivery.MembersChanged(t, delivery.Joined(a.GroupID, ss.User, ss.Name, j.Version, j.Seq), ss)
		c.Reply(t, &a)
	})
}

// LeaveGroup removes the user from a group.
func (g *Groups) LeaveGroup(t Turn, c *conn, r *proto.Request) {
	a, ss := session.Answer(r), c.Session(t)
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (int64, error) {
		return g.store.LeaveGroup(t, a.GroupID, ss.User)
	}, func(t Turn, version int64) {
		g.delivery.MembersChanged(t, delivery.Left(a.GroupID, version, ss.User), ss)
		c.Reply(t, &a)
	})
}

// KickMember removes another member from a group. Only its creator may.
func (g *Groups) KickMember(t Turn, c *conn, r *proto.Request) {
	a, ss := session.Answer(r), c.Session(t)
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (int64, error) {
		return g.store.KickMember(t, a.GroupID, ss.User, a.UserID)
	}, func(t Turn, version int64) {
		g.delivery.MembersChanged(t, delivery.Left(a.GroupID, version, a.UserID), ss)
		c.Reply(t, &a)
	})
}

// DismissGroup deletes a group. Only its creator may.
func (g *Groups) DismissGroup(t Turn, c *conn, r *proto.Request) {
	a, ss := session.Answer(r), c.Session(t)
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (int64, error) {
		version, _, err := g.store.DismissGroup(t, a.GroupID, ss.User)
		return version, err
	}, func(t Turn, version int64) {
		g.delivery.MembersChanged(t, delivery.Dismissed(a.GroupID, version), ss)
		c.Reply(t, &a)
	})
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
func (g *Groups) page(t Off, asker, group, after int64) ([]proto.Member, error) {
	ms, err := g.store.Members(t, group, after, proto.MaxPageUsers+1)
	if err != nil {
		return nil, err
	}
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
// proto.MaxPageUsers members, as long as there are at most maxUsers in total. It
// blocks.
func (g *Groups) List(t Off, user int64, maxUsers int) ([]proto.Group, error) {
	gs, err := g.store.Groups(t, user)
	if err != nil {
		return nil, err
	}
	list := make([]proto.Group, len(gs))
	for i, o := range gs {
		list[i] = proto.Group{ID: o.ID, GroupName: o.Name, GroupDesc: o.Desc, Seq: o.Last, Count: o.Count}
		if o.Count > proto.MaxPageUsers || int(o.Count) > maxUsers {
			continue
		}
		us, err := g.page(t, user, o.ID, 0)
		if err != nil {
			return nil, err
		}
		maxUsers -= len(us)
		list[i].Users, list[i].Count = us, 0
	}
	return list, nil
}
