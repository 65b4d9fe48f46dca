package groups

import (
	"context"
	"log/slog"

	"chatd/model"
	"chatd/proto"
	"chatd/service/audit"
	"chatd/service/delivery"
	"chatd/service/presence"
	"chatd/service/session"
)

// Commands change groups and their members. Each one checks whether an actor may
// make the change, makes it, and announces it. It doesn't know how the request
// came. Commands block, and return errors that Sessions.Errno understands.
//
// When a command returns, it has posted the change to all event loops. So a
// function that is posted to a loop afterwards, such as the end of a job, runs
// when the loop follows the new membership.
type Commands struct {
	cfg      *Config
	log      *slog.Logger
	store    Store
	presence *presence.Presence
	delivery *delivery.Delivery
	audit    *audit.Log
}

// Create creates a group and returns its ID. The actor becomes its creator and
// only member. The caller has checked the lengths of name and desc. Errors: those
// of Store.CreateGroup, and BadRequest if the name is invalid.
func (g *Commands) Create(t Off, by session.Actor, name, desc string) (id int64, err error) {
	if err := proto.CheckGroupName(name); err != nil {
		return 0, err
	}
	a, err := g.store.CreateGroup(t, by.User, name, desc, g.cfg.MaxGroups)
	g.record(audit.CreateGroup, by, groupOf(a), 0, err)
	if err != nil {
		return 0, err
	}
	g.announce(t, by, a)
	return a.Group, nil
}

// Join adds the actor to a group, and returns the group, with its members if there
// are at most proto.MaxPageUsers, else with their number. The errors are those of
// Store.JoinGroup.
func (g *Commands) Join(t Off, by session.Actor, group int64) (proto.Group, error) {
	a, err := g.store.JoinGroup(t, group, by.User, g.cfg.MaxMembers, g.cfg.MaxGroups)
	g.record(audit.JoinGroup, by, group, 0, err)
	if err != nil {
		return proto.Group{}, err
	}
	g.announce(t, by, a)
	c := a.Change
	joined := proto.Group{ID: group, GroupName: c.GroupName, GroupDesc: c.GroupDesc, Seq: a.Last, Count: c.Count}
	if c.Count > proto.MaxPageUsers {
		return joined, nil
	}
	us, err := g.page(t, by.User, group, 0)
	if err != nil { // the actor has joined: return the group without the list
		g.log.Error("listing the members of a group failed", "group", group, "err", err)
		return joined, nil
	}
	joined.Users, joined.Count = us, 0
	return joined, nil
}

// Leave removes the actor from a group. The errors are those of Store.LeaveGroup.
func (g *Commands) Leave(t Off, by session.Actor, group int64) error {
	a, err := g.store.LeaveGroup(t, group, by.User)
	g.record(audit.LeaveGroup, by, group, 0, err)
	if err != nil {
		return err
	}
	g.announce(t, by, a)
	return nil
}

// Kick removes another member from a group. The errors are those of
// Store.KickMember.
func (g *Commands) Kick(t Off, by session.Actor, group, user int64) error {
	a, err := g.store.KickMember(t, group, by.User, user)
	g.record(audit.KickMember, by, group, user, err)
	if err != nil {
		return err
	}
	g.announce(t, by, a)
	return nil
}

// Dismiss deletes a group. The errors are those of Store.DismissGroup.
func (g *Commands) Dismiss(t Off, by session.Actor, group int64) error {
	a, err := g.store.DismissGroup(t, group, by.User)
	g.record(audit.DismissGroup, by, group, 0, err)
	if err != nil {
		return err
	}
	g.announce(t, by, a)
	return nil
}

// record adds a command to the audit log.
func (g *Commands) record(action audit.Action, by session.Actor, group, target int64, err error) {
	outcome, reason := session.Outcome(err)
	g.audit.Add(audit.Event{Action: action, Outcome: outcome, Reason: reason, Addr: by.Addr(), User: by.User, Name: by.Name, Group: group, Target: target})
}

// groupOf returns the group of a change, or 0 if there is none.
func groupOf(a *model.Append) int64 {
	if a == nil {
		return 0
	}
	return a.Group
}

// announce announces a committed change, even if t has ended: other nodes must
// hear of it.
func (g *Commands) announce(t Off, by session.Actor, a *model.Append) {
	a.Owner = by.Session
	g.delivery.Committed(context.WithoutCancel(t), []*model.Append{a})
}
