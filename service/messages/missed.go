package messages

import (
	"chatd/model"
	"chatd/proto"
	"chatd/service/delivery"
	"chatd/service/limits"
)

// Missed reads the first messages that a device lacks in the user's
// conversations, with one query. They have at most room bytes in JSON. sent
// has, for each membership, the last seq that the device has with them. If they can't
// be read, there are none: the session gets them as a backlog, for which one unreadable
// conversation doesn't hold up the others. It blocks.
func (m *Messages) Missed(t Off, user int64, memberships []model.Membership, room int) (missed []proto.Chat, sent []int64) {
	sent = make([]int64, len(memberships))
	var parts []model.PageRequest
	left := int64(min(m.delivery.MaxPage(), proto.MaxOffline))
	for i := range memberships {
		p := &memberships[i]
		sent[i] = p.Delivered
		if n := min(p.Last-p.Delivered, left); n > 0 {
			parts = append(parts, model.PageRequest{Conv: p.Conv, After: p.Delivered, Limit: int(n)})
			left -= n
		}
	}
	if len(parts) == 0 {
		return nil, sent
	}
	if left == 0 {
		m.sessions.Limited.Reached(limits.FullPage, 1)
	}
	ms, err := m.store.Pages(t, parts, room)
	if err != nil {
		if t.Err() == nil {
			m.log.Error("reading the missed messages of a login failed; they follow as a backlog", "user", user, "conversations", len(parts), "err", err)
		}
		return nil, sent
	}
	at := 0
	for j := range ms {
		for memberships[at].Conv != ms[j].Conv {
			at++
		}
		p := &memberships[at]
		c := delivery.Chat(&ms[j], p.Group, user, p.Peer)
		if room -= chatSize(&c); room < 0 {
			break
		}
		missed = append(missed, c)
		sent[at] = c.Seq
	}
	return missed, sent
}
