package model

import (
	"context"
	"slices"
	"testing"

	"chatd/model/feed"
)

func block(db interface {
	Block(ctx context.Context, user, other int64, on bool) (feed.Relation, error)
}, user, other int64, on bool) error {
	_, err := db.Block(ctx, user, other, on)
	return err
}

func delFriend(h *harness, user, friend int64) error {
	_, err := h.DelFriend(ctx, user, friend)
	return err
}

// AddFriend makes both users friends at once, and has a distinct error for each
// refusal.
func TestFriends(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(5)
		r, err := h.AddFriend(ctx, u[0], u[1], 2)
		want(t, err, nil)
		if want := (feed.Relation{What: feed.Befriended, By: feed.Party{User: u[0], Number: 1, Name: "user0"}, Other: feed.Party{User: u[1], Number: 1, Name: "user1"}}); r != want {
			t.Errorf("AddFriend = %+v, want %+v", r, want)
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
		want(t, block(h, u[2], u[0], true), nil)
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
		want(t, delFriend(h, u[1], u[0]), nil)
		want(t, delFriend(h, u[0], u[1]), ErrAlready)
		want(t, delFriend(h, u[0], 999), ErrNotFound)
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
			want(t, block(h, by, whom, false), nil)
			check(false)
			want(t, block(h, by, whom, true), nil)
			want(t, block(h, by, whom, true), nil)
			check(true)
			want(t, block(h, by, whom, false), nil)
			check(false)
		}
		want(t, block(h, u[0], 999, true), ErrNotFound)
		want(t, block(h, u[0], u[0], true), ErrNotAllowed)
		if b, err := h.Blocked(ctx, u[1], u[2]); b || err != nil {
			t.Errorf("Blocked(user1, user2) = %t (error %v), want false", b, err)
		}
	})
}
