package session

import (
	"errors"
	"fmt"

	"chatd/model"
	"chatd/proto"
	"chatd/service/limits"
)

// The store's errors say only what kind of thing was wrong. These functions
// write the errmsg, with the IDs that the request named.

// otherUser returns the ID of the user whom the request names besides its
// sender, or 0.
func otherUser(a *proto.Response) int64 { return max(a.ToID, a.Peer, a.FriendID, a.UserID) }

// notFoundText is the errmsg of model.ErrNotFound.
func notFoundText(a *proto.Response) string {
	switch user := otherUser(a); {
	case a.GroupID != 0:
		return fmt.Sprintf("no group has the ID %d; it may have been dismissed", a.GroupID)
	case user != 0:
		return fmt.Sprintf("no user has the ID %d", user)
	case a.Op == proto.FIND_USER_ACK:
		return "no user has this name"
	}
	return "no such user, group or conversation"
}

// notAllowedText is the errmsg of model.ErrNotAllowed.
func notAllowedText(a *proto.Response) string {
	switch a.Op {
	case proto.ONE_CHAT_ACK, proto.ADD_FRIEND_ACK:
		return fmt.Sprintf("user %d has blocked you", otherUser(a))
	case proto.LEAVE_GROUP_ACK:
		return fmt.Sprintf("you can't leave group %d: you are not a member, or you created it and can only delete it", a.GroupID)
	case proto.KICK_MEMBER_ACK:
		return fmt.Sprintf("you can't remove user %d from group %d: only its creator can, and only other members", a.UserID, a.GroupID)
	case proto.DISMISS_GROUP_ACK:
		return fmt.Sprintf("only the creator of group %d can delete it", a.GroupID)
	}
	if a.GroupID != 0 {
		return fmt.Sprintf("you are not a member of group %d", a.GroupID)
	}
	return "not allowed"
}

// alreadyText is the errmsg of model.ErrAlready.
func alreadyText(a *proto.Response) string {
	switch a.Op {
	case proto.ADD_FRIEND_ACK:
		return fmt.Sprintf("user %d is already your friend", a.FriendID)
	case proto.DEL_FRIEND_ACK:
		return fmt.Sprintf("user %d is not your friend", a.FriendID)
	case proto.ADD_GROUP_ACK:
		return fmt.Sprintf("you are already a member of group %d", a.GroupID)
	}
	return "nothing to change"
}

// full returns the limit that a model.ErrFull stands for, and the errmsg.
func full(a *proto.Response, err error) (limits.Kind, string) {
	switch {
	case errors.Is(err, model.ErrStranger):
		return limits.ToStranger, fmt.Sprintf("user %d hasn't answered you yet; you can send more after an answer, or when you are friends", a.ToID)
	case errors.Is(err, model.ErrStrangers):
		return limits.FromStrangers, fmt.Sprintf("user %d has got too many messages from people who aren't friends; try again later", a.ToID)
	case errors.Is(err, model.ErrGroupFull):
		return limits.FullMembers, fmt.Sprintf("group %d is full", a.GroupID)
	case a.Op == proto.ADD_FRIEND_ACK:
		return limits.FullFriends, fmt.Sprintf("your friend list or that of user %d is full", a.FriendID)
	default:
		return limits.FullGroups, "you are in as many groups as a user can be; leave one first"
	}
}
