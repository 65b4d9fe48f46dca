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
	g, err := h.CreateGroup(ctx, u[0], "name", "desc", 1)
	want(t, err, nil)
	_, err = h.CreateGroup(ctx, u[0], "name", "desc", 1)
	want(t, err, ErrFull)
	h.store(toGroup(u[0], g, "1"), toGroup(u[0], g, "2"))
	j, err := h.JoinGroup(ctx, g, u[1], 3, 1)
	want(t, err, nil)
	if j != (JoinResult{Name: "name", Desc: "desc", Seq: 2, Version: 2, Count: 2}) {
		t.Errorf("JoinGroup = %+v, want seq 2, version 2, 2 members", j)
	}
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
	version, err := h.LeaveGroup(ctx, g, u[1])
	want(t, err, nil)
	if version != 4 {
		t.Errorf("LeaveGroup = version %d, want 4", version)
	}
	_, err = h.KickMember(ctx, g, u[2], u[0])
	want(t, err, ErrNotAllowed)
	_, err = h.KickMember(ctx, g, u[0], u[0])
	want(t, err, ErrNotAllowed)
	_, err = h.KickMember(ctx, g, u[0], u[1])
	want(t, err, ErrNotAllowed)
	version, err = h.KickMember(ctx, g, u[0], u[2])
	want(t, err, nil)
	if version != 5 {
		t.Errorf("KickMember = version %d, want 5", version)
	}
	j, err := h.JoinGroup(ctx, g, u[1], 3, 1)
	want(t, err, nil)
	if j.Count != 2 || j.Version != 6 {
		t.Errorf("JoinGroup after leaving = %+v, want 2 members, version 6", j)
	}
	list, err := h.Groups(ctx, u[1])
	want(t, err, nil)
	if !slices.Equal(list, []Group{{ID: g, Name: "name", Desc: "desc", Last: 2, Count: 2}}) {
		t.Errorf("Groups = %+v, want group %d with 2 members and last seq 2", list, g)
	}
}

func testDismiss(t *testing.T, h *harness, u []int64, g int64) {
	_, _, err := h.DismissGroup(ctx, g, u[1])
	want(t, err, ErrNotAllowed)
	version, gone, err := h.DismissGroup(ctx, g, u[0])
	want(t, err, nil)
	if version != 7 || !slices.Equal(gone, []int64{u[0], u[1]}) {
		t.Errorf("DismissGroup = version %d, members %v; want 7, %v", version, gone, u[:2])
	}
	_, _, err = h.DismissGroup(ctx, g, u[0])
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
