package login

import (
	"strings"

	"chatd/internal/setting"
	"chatd/proto"
)

// A LOGIN_ACK must fit into a frame, or the client can never log in. CheckLists
// refuses settings with which the lists might not fit. If they don't fit all the same,
// because the user's lists are from a time with other settings or there are no
// limits, shorten leaves something out.

// listBytes is the size of both lists in LOGIN_ACK, in bytes.
func listBytes(friends []proto.Friend, groups []proto.Group) int {
	return len(proto.AppendResponse(nil, &proto.Response{Op: proto.LOGIN_ACK, Friends: friends, Groups: groups}))
}

var noLists = listBytes([]proto.Friend{}, []proto.Group{})

func friendBytes(f proto.Friend) int {
	return listBytes([]proto.Friend{f}, []proto.Group{}) - noLists + 1
}

func groupBytes(g proto.Group) int {
	return listBytes([]proto.Friend{}, []proto.Group{g}) - noLists + 1
}

// The largest entries of the lists, in bytes. That of a group is without members, and
// with at most 4 bytes for each character of the description. Only control characters
// have more.
var (
	maxFriendBytes = friendBytes(proto.Friend{ID: proto.MaxID, Name: strings.Repeat("😀", proto.MaxNameChars), State: proto.Offline})
	maxGroupBytes  = groupBytes(proto.Group{ID: proto.MaxID, GroupName: strings.Repeat("😀", proto.MaxNameChars),
		GroupDesc: strings.Repeat("😀", proto.MaxDescChars), Seq: proto.MaxID, Count: proto.MaxID})
)

const listRoom = proto.MaxResponse - loginOverhead // bytes for the lists

// CheckLists adds a problem to p if the answer to a login can't contain that many
// friends and groups. The values come from the settings max-friends and max-groups.
func CheckLists(p *setting.Problems, maxFriends, maxGroups int) {
	size := int64(maxFriends)*int64(maxFriendBytes) + int64(maxGroups)*int64(maxGroupBytes)
	if size <= listRoom || maxFriends < 1 || maxGroups < 1 {
		return
	}
	if most := (listRoom - int64(maxGroups)*int64(maxGroupBytes)) / int64(maxFriendBytes); most >= 1 {
		p.Check(false, "max-friends", "%d friends don't fit into the answer to a login; with %d groups (--max-groups), set at most %d", maxFriends, maxGroups, most)
		return
	}
	maxFriends = min(maxFriends, (listRoom-maxGroupBytes)/maxFriendBytes)
	most := (listRoom - int64(maxFriends)*int64(maxFriendBytes)) / int64(maxGroupBytes)
	p.Check(false, "max-groups", "%d groups don't fit into the answer to a login; with %d friends (--max-friends), set at most %d", maxGroups, maxFriends, most)
}

// shorten makes the lists fit into room bytes, and returns their size. First it leaves
// out the members of groups; then, if that isn't enough, the descriptions of groups,
// the last friends, and the last groups. whole reports whether it has left out nothing
// but members.
func (w *welcome) shorten(room int) (size int, whole bool) {
	if size = listBytes(w.friends, w.groups); size <= room {
		return size, true
	}
	for i := range w.groups {
		if g := &w.groups[i]; g.Users != nil {
			g.Users, g.Count = nil, int64(len(g.Users))
		}
	}
	if size = listBytes(w.friends, w.groups); size <= room {
		return size, true
	}
	for i := range w.groups {
		w.groups[i].GroupDesc = ""
	}
	size = listBytes(w.friends, w.groups)
	for n := len(w.friends); size > room && n > 0; n-- {
		size -= friendBytes(w.friends[n-1])
		w.friends = w.friends[:n-1]
	}
	for n := len(w.groups); size > room && n > 0; n-- {
		size -= groupBytes(w.groups[n-1])
		w.groups = w.groups[:n-1]
	}
	return listBytes(w.friends, w.groups), false
}
