package proto

import "strconv"

// Push is an event or a chat message as the server passes it on: a Response with
// the op EVENT, ONE_CHAT or GROUP_CHAT, in a form that is faster to encode.
type Push struct {
	Op            Op
	Sender        []byte // by AppendSender
	ToID, GroupID int64  // one of them is 0
	Event, Data   []byte // of an event
	Msg, CID      []byte // of a chat message
	Time, Seq     int64  // of a chat message
	Plain         Fields // of Event, Data, Msg and CID: those in Request.Plain
}

// AppendSender appends the fields of a push that name its sender. They are the same
// in all pushes with this sender, so callers keep them.
func AppendSender(dst []byte, id int64, name string) []byte {
	dst = append(dst, fieldKeys[FID]...)
	dst = strconv.AppendInt(dst, id, 10)
	dst = append(dst, fieldKeys[FName]...)
	return AppendString(dst, name)
}

// AppendPush appends the JSON of p to dst: the same bytes as AppendResponse. It
// doesn't allocate if dst has enough capacity.
func AppendPush(dst []byte, p *Push) []byte {
	dst = append(dst, fieldKeys[FMsgID]...)
	dst = strconv.AppendInt(dst, int64(p.Op), 10)
	dst = append(dst, p.Sender...)
	if p.GroupID == 0 {
		dst = append(dst, fieldKeys[FToID]...)
		dst = strconv.AppendInt(dst, p.ToID, 10)
	} else {
		dst = append(dst, fieldKeys[FGroupID]...)
		dst = strconv.AppendInt(dst, p.GroupID, 10)
	}
	if p.Op == EVENT {
		dst = append(dst, fieldKeys[FEvent]...)
		dst = appendText(dst, p.Event, p.Plain.Has(FEvent))
		if len(p.Data) > 0 {
			dst = append(dst, fieldKeys[FData]...)
			dst = appendText(dst, p.Data, p.Plain.Has(FData))
		}
		return append(dst, '}')
	}
	dst = append(dst, fieldKeys[FMsg]...)
	dst = appendText(dst, p.Msg, p.Plain.Has(FMsg))
	dst = append(dst, fieldKeys[FTime]...)
	dst = strconv.AppendInt(dst, p.Time, 10)
	dst = append(dst, fieldKeys[FSeq]...)
	dst = strconv.AppendInt(dst, p.Seq, 10)
	dst = append(dst, fieldKeys[FCID]...)
	dst = appendText(dst, p.CID, p.Plain.Has(FCID))
	return append(dst, '}')
}

// appendText is AppendString for a text that is known to need no escapes if plain
// is set.
func appendText(dst, text []byte, plain bool) []byte {
	if !plain {
		return AppendString(dst, text)
	}
	dst = append(dst, '"')
	dst = append(dst, text...)
	return append(dst, '"')
}
