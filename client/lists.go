package client

import (
	"cmp"
	"maps"
	"slices"

	"chatd/proto"
)

// lists holds the friends and groups: those of the last login, with the changes
// since. Client.mu guards it.
type lists struct {
	friends map[int64]proto.Friend
	groups  map[int64]proto.Group // if a group has too many members to list, Users is nil and Count is set
}

func newLists() lists {
	return lists{friends: make(map[int64]proto.Friend), groups: make(map[int64]proto.Group)}
}

// replace sets both lists.
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

// addFriend adds or updates a friend. An empty state keeps the known one.
func (l *lists) addFriend(f proto.Friend) {
	if f.State == "" {
		f.State = cmp.Or(l.friends[f.ID].State, proto.Offline)
	}
	l.friends[f.ID] = f
}

// setPresence sets a user's state, as a friend and as a member of groups.
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

// addMember adds a member to a group.
func (l *lists) addMember(group int64, m proto.Member) {
	g, ok := l.groups[group]
	switch {
	case !ok:
		// Another device of the user joined. The push has only the group's ID; the next
		// login returns the rest.
		g = proto.Group{ID: group, Users: []proto.Member{m}}
	case g.Users == nil:
		g.Count++
	case memberIndex(g, m.ID) < 0:
		g.Users = append(g.Users, m)
	}
	l.groups[group] = g
}

// removeMember removes a user from a group.
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

// memberIndex returns the index of user in g.Users, -1 if it isn't there.
func memberIndex(g proto.Group, user int64) int {
	return slices.IndexFunc(g.Users, func(m proto.Member) bool { return m.ID == user })
}

// Friends returns the friends, sorted by ID: those of the last login, with the
// changes since. It is empty if Config.Brief is set. It doesn't ask the server.
// The caller may modify the result.
func (c *Client) Friends() []proto.Friend {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Values(c.lists.friends), func(a, b proto.Friend) int { return cmp.Compare(a.ID, b.ID) })
}

// Groups returns the groups, sorted by ID, like Friends. If a group has too many
// members to list, its Users is nil; use GroupUsers.
func (c *Client) Groups() []proto.Group {
	c.mu.Lock()
	defer c.mu.Unlock()
	groups := slices.SortedFunc(maps.Values(c.lists.groups), func(a, b proto.Group) int { return cmp.Compare(a.ID, b.ID) })
	for i := range groups {
		groups[i].Users = slices.Clone(groups[i].Users)
	}
	return groups
}
