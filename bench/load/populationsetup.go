package load

import (
	"context"
	"fmt"

	"chatd/proto"
)

// SetUp registers all users and makes their friendships and groups. All users
// are offline when it returns, so that they aren't notified of those who join
// later.
func (p *Population) SetUp(ctx context.Context) error {
	accounts := NewAccounts(p.generator.Server)
	size := p.GroupSize
	groups := (len(p.users) + size - 1) / size
	return ForEach(ctx, groups, SetupConcurrency, p.generator.Progress, "groups", func(ctx context.Context, g int) error {
		first := g * size
		members := p.users[first:min(first+size, len(p.users))]
		group := &conversation{name: fmt.Sprintf("group %d", g), members: members}
		for i, u := range members {
			u.number = first + i
			if err := p.setUpUser(ctx, accounts, u, group); err != nil {
				return err
			}
		}
		for i := 0; i < len(members); i += 2 {
			pair := &conversation{name: fmt.Sprintf("friends %d and %d", first+i, first+i+1), members: members[i : i+2]}
			for _, u := range members[i : i+2] {
				u.inboxes = [2]*inbox{newInbox(pair), newInbox(group)}
			}
		}
		return nil
	})
}

// setUpUser registers u and has it join the group. The group's first user
// creates it. Every second user becomes a friend of the one before it.
func (p *Population) setUpUser(ctx context.Context, accounts *Accounts, u *user, group *conversation) error {
	c, account, window, err := accounts.Register(ctx, u.number, true)
	if err != nil {
		return err
	}
	defer c.Abort()
	u.account, u.window = account, window
	join := &proto.Request{Op: proto.ADD_GROUP, GroupID: group.id}
	if group.id == 0 {
		join = &proto.Request{Op: proto.CREATE_GROUP, GroupName: "bench " + group.name}
	}
	a, err := c.Call(ctx, join)
	if err != nil {
		return err
	}
	group.id = a.GroupID
	if u.number%2 == 1 {
		_, err = c.Call(ctx, &proto.Request{Op: proto.ADD_FRIEND, FriendID: p.users[u.number-1].account.ID})
	}
	return err
}

// Connect brings all users online.
func (p *Population) Connect(ctx context.Context) error {
	err := ForEach(ctx, len(p.users), SetupConcurrency, p.generator.Progress, "connections", func(ctx context.Context, i int) error {
		return p.users[i].connect(ctx)
	})
	if err != nil {
		return err
	}
	p.logins.Collect(nil) // not part of the measured time
	p.logins.Total.Reset()
	for _, u := range p.users {
		p.generator.workers = append(p.generator.workers, u.run)
	}
	p.generator.drive, p.generator.wakeAll = p.runActions, p.wakeAll
	return nil
}
