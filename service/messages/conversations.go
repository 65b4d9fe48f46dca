package messages

import (
	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/delivery"
	"chatd/service/session"
)

// Conversations returns a page of the user's conversations, latest first.
func (m *Messages) Conversations(t Turn, c *conn, r *proto.Request) {
	a, ss, before := session.Answer(r), c.Session(t), r.Before
	n, err := pageSize(r, proto.MaxConversations)
	if err != nil {
		c.Refuse(t, a, err)
		return
	}
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (rows int, err error) {
		// The store reads all conversations of the user to find the latest.
		if rows, err = m.store.CountConversations(t, ss.User); err != nil {
			return 0, err
		}
		list, more, err := m.store.Conversations(t, ss.User, before, n)
		if err != nil {
			return 0, err
		}
		a.Conversations = make([]proto.Conversation, len(list))
		for i := range list {
			a.Conversations[i] = entry(&list[i], ss.User)
		}
		n := fitting(a.Conversations)
		a.Conversations, a.More = a.Conversations[:n], more || n < len(list)
		return rows, nil
	}, func(t Turn, rows int) {
		c.ChargeRows(t, rows)
		c.Reply(t, &a)
	})
}

// fitting returns how many of the conversations fit into one frame. The next
// page starts before a time, so conversations with the same time must be on the
// same page. If they don't fit into one frame, fitting removes the messages of
// some.
func fitting(list []proto.Conversation) int {
	const room = proto.MaxResponse - 4<<10
	size, n := 0, 0
	measure := func(i int) int {
		return len(proto.AppendResponse(nil, &proto.Response{Op: proto.CONVERSATIONS_ACK, Conversations: list[i : i+1]}))
	}
	for i := range list {
		more := measure(i)
		if size+more > room && n == 0 {
			list[i].Message = nil
			more = measure(i)
		}
		if size += more; size > room {
			return n
		}
		if i+1 == len(list) || list[i+1].Time != list[i].Time {
			n = i + 1
		}
	}
	return n
}

func entry(c *model.Conversation, user int64) proto.Conversation {
	e := proto.Conversation{Peer: c.Peer, GroupID: c.Group, Name: c.Name, Gone: c.Gone, First: c.First, Last: c.Last, Read: c.Read, Time: c.Time}
	if c.Message != nil {
		msg := delivery.Chat(c.Message, c.Group, user, c.Peer)
		e.Message = &msg
	}
	return e
}
