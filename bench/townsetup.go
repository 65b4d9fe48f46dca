package main

import (
	"context"
	"fmt"

	"chatd/proto"
)

// settle makes the town's people, their friendships and groups. They are away
// when it returns: else each would be told of all who join after it.
func (t *town) settle(ctx context.Context) error {
	rs := newRecruits(t.l.server)
	size := t.members
	groups := (len(t.people) + size - 1) / size
	return each(ctx, groups, setupAtATime, t.l.progress, "groups", func(ctx context.Context, g int) error {
		first := g * size
		members := t.people[first:min(first+size, len(t.people))]
		group := &conversation{name: fmt.Sprintf("group %d", g), members: members}
		for i, p := range members {
			p.number = first + i
			if err := t.enroll(ctx, rs, p, group); err != nil {
				return err
			}
		}
		for i := 0; i < len(members); i += 2 {
			pair := &conversation{name: fmt.Sprintf("friends %d and %d", first+i, first+i+1), members: members[i : i+2]}
			for _, p := range members[i : i+2] {
				p.talks = [2]*talking{newTalking(pair), newTalking(group)}
			}
		}
		return nil
	})
}

// enroll registers p and has it join the group, which the first to come
// founds; every second one makes friends with the one before.
func (t *town) enroll(ctx context.Context, rs *recruits, p *person, group *conversation) error {
	c, u, window, err := rs.enter(ctx, p.number, true)
	if err != nil {
		return err
	}
	defer c.abort()
	p.me, p.window = u, window
	join := &proto.Request{Op: proto.ADD_GROUP, GroupID: group.id}
	if group.id == 0 {
		join = &proto.Request{Op: proto.CREATE_GROUP, GroupName: "bench " + group.name}
	}
	a, err := c.call(ctx, join)
	if err != nil {
		return err
	}
	group.id = a.GroupID
	if p.number%2 == 1 {
		_, err = c.call(ctx, &proto.Request{Op: proto.ADD_FRIEND, FriendID: t.people[p.number-1].me.id})
	}
	return err
}

// arrive has all users come online.
func (t *town) arrive(ctx context.Context) error {
	err := each(ctx, len(t.people), setupAtATime, t.l.progress, "connections", func(ctx context.Context, i int) error {
		return t.people[i].arrive(ctx)
	})
	if err != nil {
		return err
	}
	t.logins.collect(nil) // before the measured time
	t.logins.total.Reset()
	for _, p := range t.people {
		t.l.workers = append(t.l.workers, p.live)
	}
	t.l.drive, t.l.giveUp = t.day, t.nudgeAll
	return nil
}
