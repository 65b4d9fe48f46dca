package model

import (
	"slices"
	"testing"
)

// AddFriend makes both users friends at once, and has a distinct error for each
// refusal.
func TestFriends(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(5)
		name, err := h.AddFriend(ctx, u[0], u[1], 2)
		want(t, err, nil)
		if name != "user1" {
			t.Errorf("AddFriend = %q, want user1", name)
		}
		for _, x := range [][2]int64{{u[0], u[1]}, {u[1], u[0]}} {
			_, err = h.AddFriend(ctx, x[0], x[1], 2)
			want(t, err, ErrAlready)
			f, hidden, err := h.AreFriends(ctx, x[0], x[1])
			want(t, err, nil)
			if !f || hidden {
				t.Errorf("AreFriends(%d, %d) = %t, hidden %t; want true, false", x[0], x[1], f, hidden)
			}
		}
		_, err = h.AddFriend(ctx, u[0], 999, 2)
		want(t, err, ErrNotFound)
		_, err = h.AddFriend(ctx, u[0], u[0], 2)
		want(t, err, ErrNotAllowed)
		want(t, h.Block(ctx, u[2], u[0], true), nil)
		_, err = h.AddFriend(ctx, u[0], u[2], 2)
		want(t, err, ErrNotAllowed)
		_, err = h.AddFriend(ctx, u[2], u[0], 2) // the blocker may add the blocked user
		want(t, err, nil)
		_, err = h.AddFriend(ctx, u[0], u[3], 2)
		want(t, err, ErrFull)
		_, err = h.AddFriend(ctx, u[3], u[0], 2) // the friend has too many friends
		want(t, err, ErrFull)
		l, err := h.Friends(ctx, u[0])
		want(t, err, nil)
		if !slices.Equal(l, []Friend{{ID: u[1], Name: "user1"}, {ID: u[2], Name: "user2", Hidden: true}}) {
			t.Errorf("Friends = %+v, want user1, and user2 hidden", l)
		}
		want(t, h.DelFriend(ctx, u[1], u[0]), nil)
		want(t, h.DelFriend(ctx, u[0], u[1]), ErrAlready)
		want(t, h.DelFriend(ctx, u[0], 999), ErrNotFound)
		if f, _, _ := h.AreFriends(ctx, u[0], u[1]); f {
			t.Error("AreFriends = true after DelFriend, want false")
		}
	})
}

// A block works in one direction only, whichever of the two user IDs is lower.
func TestBlocks(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(3)
		for _, x := range [][2]int64{{u[0], u[1]}, {u[2], u[0]}} {
			by, whom := x[0], x[1]
			_, err := h.AddFriend(ctx, by, whom, 10)
			want(t, err, nil)
			check := func(blocked bool) {
				t.Helper()
				for _, q := range []struct {
					by, whom int64
					want     bool
				}{{by, whom, blocked}, {whom, by, false}} {
					got, err := h.Blocked(ctx, q.by, q.whom)
					want(t, err, nil)
					_, hidden, err := h.AreFriends(ctx, q.whom, q.by)
					want(t, err, nil)
					friendships, err := h.Friendships(ctx, []int64{q.by, u[1]})
					want(t, err, nil)
					blockers, err := h.BlockersAmong(ctx, q.whom, u)
					want(t, err, nil)
					if slices.Contains(blockers, q.by) != q.want {
						t.Errorf("BlockersAmong(%d) = %v, want user %d in it: %t", q.whom, blockers, q.by, q.want)
					}
					if got != q.want || hidden != q.want || !slices.Contains(friendships, Friendship{q.by, q.whom, q.want, q.want != blocked}) {
						t.Errorf("user %d blocks user %d: want %t, got Blocked = %t, hidden = %t, Friendships = %v",
							q.by, q.whom, q.want, got, hidden, friendships)
					}
				}
			}
			check(false)
			want(t, h.Block(ctx, by, whom, false), nil)
			check(false)
			want(t, h.Block(ctx, by, whom, true), nil)
			want(t, h.Block(ctx, by, whom, true), nil)
			check(true)
			want(t, h.Block(ctx, by, whom, false), nil)
			check(false)
		}
		want(t, h.Block(ctx, u[0], 999, true), ErrNotFound)
		want(t, h.Block(ctx, u[0], u[0], true), ErrNotAllowed)
		if b, err := h.Blocked(ctx, u[1], u[2]); b || err != nil {
			t.Errorf("Blocked(user1, user2) = %t (error %v), want false", b, err)
		}
	})
}
