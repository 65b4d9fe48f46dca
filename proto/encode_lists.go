package proto

import "strconv"

// appendList appends the list f of r, or [] if it is nil. It is written by hand,
// although it isn't the hot path: it is faster than the libraries
// (bench/results.md), encodes a message in a list exactly as it is pushed, and
// can't fail.
func appendList(dst []byte, r *Response, f Field) []byte {
	switch f {
	case FFeatures:
		return appendArray(dst, r.Features, appendFeature)
	case FFriends:
		return appendArray(dst, r.Friends, appendFriend)
	case FGroups:
		return appendArray(dst, r.Groups, appendGroup)
	case FUsers:
		return appendArray(dst, r.Users, appendMember)
	case FOffline:
		return appendArray(dst, r.Offline, AppendChat)
	case FMessages:
		return appendArray(dst, r.Messages, AppendChat)
	case FConversations:
		return appendArray(dst, r.Conversations, appendConversation)
	}
	return append(dst, "[]"...)
}

// appendArray appends list as a JSON array, with appendOne for each element.
func appendArray[T any](dst []byte, list []T, appendOne func([]byte, *T) []byte) []byte {
	dst = append(dst, '[')
	for i := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendOne(dst, &list[i])
	}
	return append(dst, ']')
}

// goneTrue is in items about users whose account was deleted.
const goneTrue = `,"gone":true`

// AppendChat appends c to dst as it is pushed. A message in offlinemsg and
// messages has the same bytes, and "gone" if Gone is set. It doesn't allocate if dst has enough capacity.
func AppendChat(dst []byte, c *Chat) []byte {
	dst = append(dst, fieldKeys[FMsgID]...)
	dst = strconv.AppendInt(dst, int64(c.Op), 10)
	dst = appendIntField(dst, FID, c.ID)
	dst = appendStringField(dst, FName, c.Name)
	if c.Op == GROUP_CHAT {
		dst = appendIntField(dst, FGroupID, c.GroupID)
	} else {
		dst = appendIntField(dst, FToID, c.ToID)
	}
	dst = appendStringField(dst, FMsg, c.Msg)
	dst = appendIntField(dst, FTime, c.Time)
	dst = appendIntField(dst, FSeq, c.Seq)
	dst = appendStringField(dst, FCID, c.CID)
	if c.Gone {
		dst = append(dst, goneTrue...)
	}
	return append(dst, '}')
}

func appendFeature(dst []byte, name *string) []byte { return AppendString(dst, *name) }

func appendFriend(dst []byte, f *Friend) []byte {
	dst = appendID(dst, f.ID)
	dst = appendStringField(dst, FName, f.Name)
	dst = appendStringField(dst, FState, f.State)
	return append(dst, '}')
}

func appendGroup(dst []byte, g *Group) []byte {
	dst = appendID(dst, g.ID)
	dst = appendStringField(dst, FGroupName, g.GroupName)
	dst = appendStringField(dst, FGroupDesc, g.GroupDesc)
	dst = appendIntField(dst, FSeq, g.Seq)
	if g.Users != nil {
		dst = append(dst, fieldKeys[FUsers]...)
		dst = appendArray(dst, g.Users, appendMember)
	}
	if g.Count != 0 {
		dst = appendIntField(dst, FCount, g.Count)
	}
	return append(dst, '}')
}

func appendMember(dst []byte, m *Member) []byte {
	dst = appendID(dst, m.ID)
	dst = appendStringField(dst, FName, m.Name)
	dst = appendStringField(dst, FState, m.State)
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
	dst = appendStringField(dst, FName, c.Name)
	if c.Gone {
		dst = append(dst, goneTrue...)
	}
	dst = appendIntField(dst, FFirst, c.First)
	dst = appendIntField(dst, FLast, c.Last)
	dst = appendIntField(dst, FRead, c.Read)
	dst = appendIntField(dst, FTime, c.Time)
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

func appendIntField(dst []byte, f Field, v int64) []byte {
	dst = append(dst, fieldKeys[f]...)
	return strconv.AppendInt(dst, v, 10)
}

func appendStringField(dst []byte, f Field, v string) []byte {
	dst = append(dst, fieldKeys[f]...)
	return AppendString(dst, v)
}
