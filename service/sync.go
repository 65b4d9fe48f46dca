package service

import (
	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
)

// defaultPage is SYNC's and CONVERSATIONS' limit where none is given.
const defaultPage = 50

// pageSize is how much of a list is asked for.
func pageSize(r *proto.Request, most int64) (int, error) {
	if !r.Has(proto.FLimit) {
		return defaultPage, nil
	}
	if r.Limit < 1 || r.Limit > most {
		return 0, proto.Errorf(proto.BadRequest, "limit must be from 1 to %d", most)
	}
	return int(r.Limit), nil
}

// sync reads a page of a conversation for someone who may see it. It moves
// no cursor.
func (s *Service) sync(t Turn, x *client, r *proto.Request) {
	a, ss, q := answer(r), x.session, *r // SYNC has no bytes
	n, err := pageSize(r, proto.MaxSyncMessages)
	if err == nil && q.Has(proto.FAfter) && q.Has(proto.FBefore) {
		err = proto.Errorf(proto.BadRequest, "after and before exclude each other")
	}
	if err != nil {
		s.refuse(t, x, a, err)
		return
	}
	n = min(n, s.cfg.MaxPage)
	offLoop(s, t, x, reactor.Quick, a, func(t Off) (struct{}, error) {
		v, err := s.store.View(t, ss.user, q.GroupID, q.Peer)
		a.First, a.Last = v.First, v.Last
		if err != nil || v.Last < v.First {
			return struct{}{}, err
		}
		var ms []model.Message
		forward := q.Has(proto.FAfter)
		if forward {
			ms, err = s.store.Page(t, v.Conv, max(q.After, v.First-1), n, proto.MaxSyncBytes)
		} else {
			before := v.Last + 1 // the last page
			if q.Has(proto.FBefore) {
				before = max(1, min(before, q.Before))
			}
			ms, err = s.store.PageBefore(t, v.Conv, before, v.First, n, proto.MaxSyncBytes)
		}
		// What came after the view may be after the asker was removed, too.
		for len(ms) > 0 && ms[len(ms)-1].Seq > v.Last {
			ms = ms[:len(ms)-1]
		}
		if err != nil || len(ms) == 0 {
			return struct{}{}, err
		}
		if len(ms) == s.cfg.MaxPage {
			s.m.limited[fullPage].Inc()
		}
		a.Messages = fit(ms, forward, q.GroupID, ss.user, q.Peer)
		if forward {
			a.More = a.Messages[len(a.Messages)-1].Seq < a.Last
		} else {
			a.More = a.Messages[0].Seq > a.First
		}
		return struct{}{}, nil
	}, func(t Turn, _ struct{}) {
		x.reply(t, &a)
	})
}

// fit keeps as many messages as an answer may hold on the wire, where
// escapes can make them longer, from the end that was asked for.
func fit(ms []model.Message, forward bool, group, user, peer int64) []proto.Chat {
	cs := make([]proto.Chat, len(ms))
	for i := range ms {
		cs[i] = chat(&ms[i], group, user, peer)
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

// conversations lists what a user takes part in, latest first.
func (s *Service) conversations(t Turn, x *client, r *proto.Request) {
	a, ss, before := answer(r), x.session, r.Before
	n, err := pageSize(r, proto.MaxConversations)
	if err != nil {
		s.refuse(t, x, a, err)
		return
	}
	offLoop(s, t, x, reactor.Quick, a, func(t Off) (struct{}, error) {
		list, more, err := s.store.Conversations(t, ss.user, before, n)
		if err != nil {
			return struct{}{}, err
		}
		a.Conversations = make([]proto.Conversation, len(list))
		for i := range list {
			a.Conversations[i] = entry(&list[i], ss.user)
		}
		n := fitting(a.Conversations)
		a.Conversations, a.More = a.Conversations[:n], more || n < len(list)
		return struct{}{}, nil
	}, func(t Turn, _ struct{}) {
		x.reply(t, &a)
	})
}

// fitting is how many of the conversations go into one frame. The next page
// begins below a time, so those of one time stay together: where they alone
// are too much, some come without their message.
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
	e := proto.Conversation{Peer: c.Peer, GroupID: c.Group, Name: c.Name, First: c.First, Last: c.Last, Read: c.Read, Time: c.Time}
	if c.Message != nil {
		m := chat(c.Message, c.Group, user, c.Peer)
		e.Message = &m
	}
	return e
}
