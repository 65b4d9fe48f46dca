package client

import (
	"cmp"
	"maps"
	"slices"

	"chatd/proto"
)

// lists are the friends and groups, as the last login told them and what
// came since has changed them. It belongs to Client.mu.
type lists struct {
	friends map[int64]proto.Friend
	groups  map[int64]proto.Group // Users nil: too many to be listed, Count says how many
}

func newLists() lists {
	return lists{friends: make(map[int64]proto.Friend), groups: make(map[int64]proto.Group)}
}

func (l *lists) replace(friends []proto.Friend, groups []proto.Group) {
	clear(l.friends)
	for _, f := range friends {
		l.friends[f.ID] = f
	}
	clear(l.groups)
	for _, g := range groups {
		l.groups[g.ID] = g
	}
}

// addFriend adds or renames; an empty state keeps the one that is known.
func (l *lists) addFriend(f proto.Friend) {
	if f.State == "" {
		f.State = cmp.Or(l.friends[f.ID].State, proto.Offline)
	}
	l.friends[f.ID] = f
}

func (l *lists) setPresence(user int64, state string) {
	if f, ok := l.friends[user]; ok {
		f.State = state
		l.friends[user] = f
	}
	for _, g := range l.groups {
		if i := memberIndex(g, user); i >= 0 {
			g.Users[i].State = state
		}
	}
}

func (l *lists) addMember(group int64, m proto.Member) {
	g, ok := l.groups[group]
	switch {
	case !ok:
		// Another device of ours joined it: the push names the group by its
		// id alone; the next login tells the rest.
		g = proto.Group{ID: group, Users: []proto.Member{m}}
	case g.Users == nil:
		g.Count++
	case memberIndex(g, m.ID) < 0:
		g.Users = append(g.Users, m)
	}
	l.groups[group] = g
}

func (l *lists) removeMember(group, user int64) {
	g, ok := l.groups[group]
	if !ok {
		return
	}
	if i := memberIndex(g, user); i >= 0 {
		g.Users = slices.Delete(g.Users, i, i+1)
	} else if g.Users == nil && g.Count > 0 {
		g.Count--
	}
	l.groups[group] = g
}

func memberIndex(g proto.Group, user int64) int {
	return slices.IndexFunc(g.Users, func(m proto.Member) bool { return m.ID == user })
}

// Friends returns the friends, by rising id, as the last login and what came
// since have told; none where Config.Brief is set. It does not ask the server, and
// what it returns is the caller's.
func (c *Client) Friends() []proto.Friend {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Values(c.lists.friends), func(a, b proto.Friend) int { return cmp.Compare(a.ID, b.ID) })
}

// Groups returns the groups, by rising id, as Friends does the friends. A
// group whose Users are nil has too many to be listed: see GroupUsers.
func (c *Client) Groups() []proto.Group {
	c.mu.Lock()
	defer c.mu.Unlock()
	groups := slices.SortedFunc(maps.Values(c.lists.groups), func(a, b proto.Group) int { return cmp.Compare(a.ID, b.ID) })
	for i := range groups {
		groups[i].Users = slices.Clone(groups[i].Users)
	}
	return groups
}
