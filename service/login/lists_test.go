package login

import (
	"strings"
	"testing"

	"chatd/proto"
)

// shorten leaves out no more than it must: first members, then descriptions, then the
// last friends and groups. The result fits.
func TestShorten(t *testing.T) {
	const groups, members = 10, 5
	lists := func(friends int, desc string) *welcome {
		w := &welcome{}
		for i := range friends {
			w.friends = append(w.friends, proto.Friend{ID: int64(1 + i), Name: strings.Repeat("f", 40), State: proto.Online})
		}
		for i := range groups {
			g := proto.Group{ID: int64(1 + i), GroupName: strings.Repeat("g", 40), GroupDesc: desc, Seq: 7}
			for j := range members {
				g.Users = append(g.Users, proto.Member{ID: int64(1 + j), Name: strings.Repeat("m", 40), State: proto.Online, Role: proto.Normal})
			}
			w.groups = append(w.groups, g)
		}
		return w
	}
	all := lists(100, "description")
	size := listBytes(all.friends, all.groups)
	for _, c := range []struct {
		room            int
		whole           bool
		friends, groups int
		members, desc   bool
	}{
		{size, true, 100, groups, true, true},
		{size - 1, true, 100, groups, false, true},
		{size - 4700, false, 100, groups, false, false},
		{4000, false, 30, groups, false, false},
		{700, false, 0, 5, false, false},
	} {
		w := lists(100, "description")
		got, whole := w.shorten(c.room)
		g := w.groups[0]
		if got != listBytes(w.friends, w.groups) || got > c.room || whole != c.whole || len(w.friends) < c.friends || len(w.groups) < c.groups ||
			(g.Users != nil) != c.members || g.Users == nil && g.Count != members || (g.GroupDesc != "") != c.desc {
			t.Errorf("%d bytes in %d: got %d bytes, whole %t, %d friends, %d groups, first group %+v;\nwant whole %t, at least %d friends and %d groups, members %t, description %t",
				size, c.room, got, whole, len(w.friends), len(w.groups), g, c.whole, c.friends, c.groups, c.members, c.desc)
		}
	}
}
