package proto

import "strconv"

// appendList appends the list f of r, [] where it is nil. By hand, though it is
// not the hot path: that is faster than any library (bench/results.md), writes
// a message in a list as it is pushed, and can't fail.
func appendList(dst []byte, r *Response, f Field) []byte {
	switch f {
	case FFriends:
		return appendEach(dst, r.Friends, appendFriend)
	case FGroups:
		return appendEach(dst, r.Groups, appendGroup)
	case FUsers:
		return appendEach(dst, r.Users, appendMember)
	case FOffline:
		return appendEach(dst, r.Offline, AppendChat)
	case FMessages:
		return appendEach(dst, r.Messages, AppendChat)
	case FConversations:
		return appendEach(dst, r.Conversations, appendConversation)
	}
	return append(dst, "[]"...)
}

func appendEach[T any](dst []byte, list []T, one func([]byte, *T) []byte) []byte {
	dst = append(dst, '[')
	for i := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = one(dst, &list[i])
	}
	return append(dst, ']')
}

// AppendChat appends c to dst as it is pushed. The same bytes are its element
// in offlinemsg and messages. It does not allocate where dst has room.
func AppendChat(dst []byte, c *Chat) []byte {
	dst = append(dst, fieldKeys[FMsgID]...)
	dst = strconv.AppendInt(dst, int64(c.Op), 10)
	dst = appendInt(dst, FID, c.ID)
	dst = appendText(dst, FName, c.Name)
	if c.Op == GROUP_CHAT {
		dst = appendInt(dst, FGroupID, c.GroupID)
	} else {
		dst = appendInt(dst, FToID, c.ToID)
	}
	dst = appendText(dst, FMsg, c.Msg)
	dst = appendInt(dst, FTime, c.Time)
	dst = appendInt(dst, FSeq, c.Seq)
	dst = appendText(dst, FCID, c.CID)
	return append(dst, '}')
}

func appendFriend(dst []byte, f *Friend) []byte {
	dst = appendID(dst, f.ID)
	dst = appendText(dst, FName, f.Name)
	dst = appendText(dst, FState, f.State)
	return append(dst, '}')
}

func appendGroup(dst []byte, g *Group) []byte {
	dst = appendID(dst, g.ID)
	dst = appendText(dst, FGroupName, g.GroupName)
	dst = appendText(dst, FGroupDesc, g.GroupDesc)
	dst = appendInt(dst, FSeq, g.Seq)
	if g.Users != nil {
		dst = append(dst, fieldKeys[FUsers]...)
		dst = appendEach(dst, g.Users, appendMember)
	}
	if g.Count != 0 {
		dst = appendInt(dst, FCount, g.Count)
	}
	return append(dst, '}')
}

func appendMember(dst []byte, m *Member) []byte {
	dst = appendID(dst, m.ID)
	dst = appendText(dst, FName, m.Name)
	dst = appendText(dst, FState, m.State)
	dst = append(dst, `,"role":`...)
	dst = AppendString(dst, m.Role)
	return append(dst, '}')
}

func appendConversation(dst []byte, c *Conversation) []byte {
	if c.GroupID != 0 {
		dst = append(dst, `{"groupid":`...)
		dst = strconv.AppendInt(dst, c.GroupID, 10)
	} else {
		dst = append(dst, `{"peer":`...)
		dst = strconv.AppendInt(dst, c.Peer, 10)
	}
	dst = appendText(dst, FName, c.Name)
	dst = appendInt(dst, FFirst, c.First)
	dst = appendInt(dst, FLast, c.Last)
	dst = appendInt(dst, FRead, c.Read)
	dst = appendInt(dst, FTime, c.Time)
	if c.Message != nil {
		dst = append(dst, `,"message":`...)
		dst = AppendChat(dst, c.Message)
	}
	return append(dst, '}')
}

func appendID(dst []byte, id int64) []byte {
	dst = append(dst, `{"id":`...)
	return strconv.AppendInt(dst, id, 10)
}

func appendInt(dst []byte, f Field, v int64) []byte {
	dst = append(dst, fieldKeys[f]...)
	return strconv.AppendInt(dst, v, 10)
}

func appendText(dst []byte, f Field, v string) []byte {
	dst = append(dst, fieldKeys[f]...)
	return AppendString(dst, v)
}
