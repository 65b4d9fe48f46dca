package session

import (
	"fmt"
	"testing"

	"chatd/model"
	"chatd/proto"
	"chatd/service/limits"
)

// The errmsg of a store error names the user or group that the request was about.
func TestErrmsgNamesTheID(t *testing.T) {
	for _, c := range []struct {
		text func(*proto.Response) string
		a    proto.Response
		want string
	}{
		{notFoundText, proto.Response{Op: proto.GROUP_CHAT_ACK, GroupID: 3}, "no group has the ID 3; it may have been dismissed"},
		{notFoundText, proto.Response{Op: proto.KICK_MEMBER_ACK, GroupID: 3, UserID: 7}, "no group has the ID 3; it may have been dismissed"},
		{notFoundText, proto.Response{Op: proto.ONE_CHAT_ACK, ToID: 7}, "no user has the ID 7"},
		{notFoundText, proto.Response{Op: proto.SYNC_ACK, Peer: 7}, "no user has the ID 7"},
		{notFoundText, proto.Response{Op: proto.BLOCK_ACK, UserID: 7}, "no user has the ID 7"},
		{notFoundText, proto.Response{Op: proto.FIND_USER_ACK}, "no user has this name"},
		{notFoundText, proto.Response{Op: proto.PASSWORD_ACK}, "no such user, group or conversation"},
		{notAllowedText, proto.Response{Op: proto.ONE_CHAT_ACK, ToID: 7}, "user 7 has blocked you"},
		{notAllowedText, proto.Response{Op: proto.ADD_FRIEND_ACK, FriendID: 7}, "user 7 has blocked you"},
		{notAllowedText, proto.Response{Op: proto.SYNC_ACK, GroupID: 3}, "you are not a member of group 3"},
		{notAllowedText, proto.Response{Op: proto.ERROR, GroupID: 3}, "you are not a member of group 3"},
		{notAllowedText, proto.Response{Op: proto.DISMISS_GROUP_ACK, GroupID: 3}, "only the creator of group 3 can delete it"},
		{notAllowedText, proto.Response{Op: proto.LEAVE_GROUP_ACK, GroupID: 3}, "you can't leave group 3: you are not a member, or you created it and can only delete it"},
		{notAllowedText, proto.Response{Op: proto.KICK_MEMBER_ACK, GroupID: 3, UserID: 7}, "you can't remove user 7 from group 3: only its creator can, and only other members"},
		{alreadyText, proto.Response{Op: proto.ADD_FRIEND_ACK, FriendID: 7}, "user 7 is already your friend"},
		{alreadyText, proto.Response{Op: proto.DEL_FRIEND_ACK, FriendID: 7}, "user 7 is not your friend"},
		{alreadyText, proto.Response{Op: proto.ADD_GROUP_ACK, GroupID: 3}, "you are already a member of group 3"},
	} {
		if got := c.text(&c.a); got != c.want {
			t.Errorf("errmsg of %s = %q, want %q", c.a.Op, got, c.want)
		}
	}
}

// ErrFull becomes the limit that the request reached.
func TestErrmsgOfAFullList(t *testing.T) {
	for _, c := range []struct {
		a    proto.Response
		err  error
		kind limits.Kind
		want string
	}{
		{proto.Response{Op: proto.ONE_CHAT_ACK, ToID: 7}, model.ErrStranger, limits.ToStranger, "user 7 hasn't answered you yet; you can send more after an answer, or when you are friends"},
		{proto.Response{Op: proto.ONE_CHAT_ACK, ToID: 7}, model.ErrStrangers, limits.FromStrangers, "user 7 has got too many messages from people who aren't friends; try again later"},
		{proto.Response{Op: proto.ADD_GROUP_ACK, GroupID: 3}, fmt.Errorf("join: %w", model.ErrGroupFull), limits.FullMembers, "group 3 is full"},
		{proto.Response{Op: proto.ADD_GROUP_ACK, GroupID: 3}, model.ErrFull, limits.FullGroups, "you are in as many groups as a user can be; leave one first"},
		{proto.Response{Op: proto.CREATE_GROUP_ACK}, model.ErrFull, limits.FullGroups, "you are in as many groups as a user can be; leave one first"},
		{proto.Response{Op: proto.ADD_FRIEND_ACK, FriendID: 7}, model.ErrFull, limits.FullFriends, "your friend list or that of user 7 is full"},
	} {
		if kind, got := full(&c.a, c.err); kind != c.kind || got != c.want {
			t.Errorf("full(%s, %v) = %v, %q; want %v, %q", c.a.Op, c.err, kind, got, c.kind, c.want)
		}
	}
}
