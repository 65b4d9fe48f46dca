package model

import (
	"slices"
	"testing"
)

// Tests who may create, join, leave and dismiss a group, and that each change of
// its members raises its version.
func TestGroups(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(5)
		g := testJoin(t, h, u)
		testMembers(t, h, u, g)
		testLeaveAndKick(t, h, u, g)
		testDismiss(t, h, u, g)
	})
}

func testJoin(t *testing.T, h *harness, u []int64) (g int64) {
	a, err := h.CreateGroup(ctx, u[0], "name", "desc", 1)
	want(t, err, nil)
	g = a.Group
	wantChange(t, "CreateGroup", a, Append{Group: g, Conv: g, Version: 1}, joinOf(u[0], "user0", 1))
	_, err = h.CreateGroup(ctx, u[0], "name", "desc", 1)
	want(t, err, ErrFull)
	h.store(toGroup(u[0], g, "1"), toGroup(u[0], g, "2"))
	a, err = h.JoinGroup(ctx, g, u[1], 3, 1)
	want(t, err, nil)
	wantChange(t, "JoinGroup", a, Append{Group: g, Conv: g, Version: 2, Last: 2}, joinOf(u[1], "user1", 2))
	_, err = h.JoinGroup(ctx, g, u[1], 3, 9)
	want(t, err, ErrAlready)
	_, err = h.JoinGroup(ctx, 999, u[1], 3, 9)
	want(t, err, ErrNotFound)
	_, err = h.JoinGroup(ctx, g, 999, 3, 9)
	want(t, err, ErrNotFound)
	h.group(u[2], u[3])
	_, err = h.JoinGroup(ctx, g, u[2], 3, 1)
	want(t, err, ErrFull)
	_, err = h.JoinGroup(ctx, g, u[2], 3, 2)
	want(t, err, nil)
	_, err = h.JoinGroup(ctx, g, u[3], 3, 9)
	want(t, err, ErrFull)
	return g
}

// joinOf describes the join of a user to the group of testJoin.
func joinOf(user int64, name string, count int64) Change {
	return Change{Kind: Joined, User: user, UserName: name, GroupName: "name", GroupDesc: "desc", Count: count}
}

// wantChange checks the description of a change.
func wantChange(t *testing.T, what string, got *Append, want Append, change Change) {
	t.Helper()
	if got.Change == nil || *got.Change != change {
		t.Errorf("%s: change %+v, want %+v", what, got.Change, change)
	}
	if got.Group != want.Group || got.Conv != want.Conv || got.Version != want.Version || got.Last != want.Last {
		t.Errorf("%s: group %d, conversation %d, version %d, last seq %d; want %d, %d, %d, %d", what,
			got.Group, got.Conv, got.Version, got.Last, want.Group, want.Conv, want.Version, want.Last)
	}
}

func testMembers(t *testing.T, h *harness, u []int64, g int64) {
	members, err := h.Members(ctx, g, 0, 0)
	want(t, err, nil)
	if !slices.Equal(members, []Member{
		{u[0], "user0", "creator", 0}, {u[1], "user1", "normal", 2}, {u[2], "user2", "normal", 2},
	}) {
		t.Errorf("Members = %+v, want user0 to user2", members)
	}
	page, err := h.Members(ctx, g, u[0], 1)
	want(t, err, nil)
	if len(page) != 1 || page[0].User != u[1] {
		t.Errorf("Members, a page of one = %+v, want user1", page)
	}
	version, ids, err := h.MemberIDs(ctx, g)
	want(t, err, nil)
	if version != 3 || !slices.Equal(ids, []Member{{User: u[0]}, {User: u[1], Joined: 2}, {User: u[2], Joined: 2}}) {
		t.Errorf("MemberIDs = version %d, %+v; want version 3, user0 to user2", version, ids)
	}
}

func testLeaveAndKick(t *testing.T, h *harness, u []int64, g int64) {
	_, err := h.LeaveGroup(ctx, g, u[0])
	want(t, err, ErrNotAllowed)
	_, err = h.LeaveGroup(ctx, g, u[4])
	want(t, err, ErrNotAllowed)
	_, err = h.LeaveGroup(ctx, 999, u[0])
	want(t, err, ErrNotFound)
	a, err := h.LeaveGroup(ctx, g, u[1])
	want(t, err, nil)
	wantChange(t, "LeaveGroup", a, Append{Group: g, Conv: g, Version: 4, Last: 2}, Change{Kind: Left, User: u[1], Count: 2})
	_, err = h.KickMember(ctx, g, u[2], u[0])
	want(t, err, ErrNotAllowed)
	_, err = h.KickMember(ctx, g, u[0], u[0])
	want(t, err, ErrNotAllowed)
	_, err = h.KickMember(ctx, g, u[0], u[1])
	want(t, err, ErrNotAllowed)
	a, err = h.KickMember(ctx, g, u[0], u[2])
	want(t, err, nil)
	wantChange(t, "KickMember", a, Append{Group: g, Conv: g, Version: 5, Last: 2}, Change{Kind: Left, User: u[2], Count: 1})
	a, err = h.JoinGroup(ctx, g, u[1], 3, 1)
	want(t, err, nil)
	wantChange(t, "JoinGroup after leaving", a, Append{Group: g, Conv: g, Version: 6, Last: 2}, joinOf(u[1], "user1", 2))
	list, err := h.Groups(ctx, u[1])
	want(t, err, nil)
	if !slices.Equal(list, []Group{{ID: g, Name: "name", Desc: "desc", Joined: 2, Count: 2}}) {
		t.Errorf("Groups = %+v, want group %d with 2 members, joined after seq 2", list, g)
	}
}

func testDismiss(t *testing.T, h *harness, u []int64, g int64) {
	_, err := h.DismissGroup(ctx, g, u[1])
	want(t, err, ErrNotAllowed)
	a, err := h.DismissGroup(ctx, g, u[0])
	want(t, err, nil)
	wantChange(t, "DismissGroup", a, Append{Group: g, Conv: g, Version: 7, Last: 2}, Change{Kind: Dismissed})
	_, err = h.DismissGroup(ctx, g, u[0])
	want(t, err, ErrNotFound)
	_, _, err = h.MemberIDs(ctx, g)
	want(t, err, ErrNotFound)
	_, err = h.JoinGroup(ctx, g, u[1], 3, 1)
	want(t, err, ErrNotFound)
	_, err = h.VisibleRange(ctx, u[0], g, 0)
	want(t, err, ErrNotFound)
	heads, err := h.LogHeads(ctx, []int64{g})
	want(t, err, nil)
	if len(heads) != 1 || heads[0].Version != 7 {
		t.Errorf("LogHeads = %+v, want version 7, so that other nodes notice the dismissal", heads)
	}
}

// The ID of a pair's conversation doesn't work as a group's.
func TestPairIsNotAGroup(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(3)
		a := toPeer(u[0], u[1], "a")
		h.store(a)
		_, err := h.JoinGroup(ctx, a.Conv, u[2], 10, 10)
		want(t, err, ErrNotFound)
		_, err = h.VisibleRange(ctx, u[2], a.Conv, 0)
		want(t, err, ErrNotFound)
		_, err = h.LeaveGroup(ctx, a.Conv, u[0])
		want(t, err, ErrNotFound)
		_, _, err = h.MemberIDs(ctx, a.Conv)
		want(t, err, ErrNotFound)
		if m, err := h.Members(ctx, a.Conv, 0, 0); len(m) != 0 || err != nil {
			t.Errorf("Members(pair) = %v (error %v), want none", m, err)
		}
		if g, err := h.Groups(ctx, u[0]); len(g) != 0 || err != nil {
			t.Errorf("Groups = %v (error %v), want none", g, err)
		}
	})
}
