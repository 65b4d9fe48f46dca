package messages

import (
	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/delivery"
	"chatd/service/limits"
	"chatd/service/session"
)

// defaultPage is the default limit of SYNC and CONVERSATIONS.
const defaultPage = 50

// pageSize returns the limit of a request, or the default. most is the maximum.
func pageSize(r *proto.Request, most int64) (int, error) {
	if !r.Has(proto.FLimit) {
		return defaultPage, nil
	}
	if r.Limit < 1 || r.Limit > most {
		return 0, proto.Errorf(proto.BadRequest, "limit must be 1 to %d, got %d", most, r.Limit)
	}
	return int(r.Limit), nil
}

// Sync returns a page of a conversation to a user who may see it. It doesn't
// change cursors.
func (m *Messages) Sync(t Turn, c *conn, r *proto.Request) {
	a, ss, q := session.Answer(r), c.Session(t), *r // a copy is safe to keep: SYNC has no fields of type []byte
	n, err := pageSize(r, proto.MaxSyncMessages)
	if err == nil && q.Has(proto.FAfter) && q.Has(proto.FBefore) {
		err = proto.Errorf(proto.BadRequest, "send either after or before, not both")
	}
	if err != nil {
		c.Refuse(t, a, err)
		return
	}
	n = min(n, m.delivery.MaxPage())
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (struct{}, error) {
		v, err := m.store.VisibleRange(t, ss.User, q.GroupID, q.Peer)
		a.First, a.Last = v.First, v.Last
		if err != nil || v.Last < v.First {
			return struct{}{}, err
		}
		var ms []model.Message
		forward := q.Has(proto.FAfter)
		if forward {
			ms, err = m.store.Page(t, v.Conv, max(q.After, v.First-1), n, proto.MaxSyncBytes)
		} else {
			before := v.Last + 1 // the last page
			if q.Has(proto.FBefore) {
				before = max(1, min(before, q.Before))
			}
			ms, err = m.store.PageBefore(t, v.Conv, before, v.First, n, proto.MaxSyncBytes)
		}
		// The user may have been removed after v was read, and must not get
		// messages after that.
		for len(ms) > 0 && ms[len(ms)-1].Seq > v.Last {
			ms = ms[:len(ms)-1]
		}
		if err != nil || len(ms) == 0 {
			return struct{}{}, err
		}
		if len(ms) == m.delivery.MaxPage() {
			m.sessions.Limited.Reached(limits.FullPage, 1)
		}
		a.Messages = fit(ms, forward, q.GroupID, ss.User, q.Peer)
		if forward {
			a.More = a.Messages[len(a.Messages)-1].Seq < a.Last
		} else {
			a.More = a.Messages[0].Seq > a.First
		}
		return struct{}{}, nil
	}, func(t Turn, _ struct{}) {
		c.ChargeRows(t, len(a.Messages))
		c.Reply(t, &a)
	})
}

// fit returns as many of the messages as fit into an answer: the first ones, or
// the last ones if forward is false. JSON escapes can make messages longer than
// they are in the store.
func fit(ms []model.Message, forward bool, group, user, peer int64) []proto.Chat {
	cs := make([]proto.Chat, len(ms))
	for i := range ms {
		cs[i] = delivery.Chat(&ms[i], group, user, peer)
	}
	room, n := proto.MaxSyncBytes, 0
	for n < len(cs) {
		c := &cs[n]
		if !forward {
			c = &cs[len(cs)-1-n]
		}
		if room -= chatSize(c); room < 0 && n > 0 {
			break
		}
		n++
	}
	if forward {
		return cs[:n]
	}
	return cs[len(cs)-n:]
}

func chatSize(c *proto.Chat) int { return len(proto.AppendChat(nil, c)) + 1 }
