package service

import (
	"bytes"
	"errors"
	"slices"

	"chatd/model"
	"chatd/proto"
)

// sending is a chat message between its frame and its ACK.
type sending struct {
	model.Append
	session *Session
	client  *client // the loop's
	op      proto.Op
	fields  proto.Fields
	rid     int64
	taken   bool // it is counted as unanswered
	refused bool // it isn't in the log's hands: it waits for the answers of those before it
	parked  bool // so it is, and will be sent again: it must not be overtaken
}

// oneChat takes a message for another user, or for oneself.
func (s *Service) oneChat(t Turn, x *client, r *proto.Request) {
	s.send(t, x, r, model.Append{Peer: r.ToID})
}

// groupChat takes a message for a group.
func (s *Service) groupChat(t Turn, x *client, r *proto.Request) {
	s.send(t, x, r, model.Append{Group: r.GroupID})
}

// send gathers a message for the log. Whether it may be stored, and so much
// as whether there is somebody to have it, the log decides in its
// transaction: nothing that is asked earlier would still be true then.
func (s *Service) send(t Turn, x *client, r *proto.Request, a model.Append) {
	ss := x.session
	if r.Has(proto.FID) && r.ID != ss.user {
		s.refuseChat(t, x, r, proto.Errorf(proto.NotAllowed, "id is not the session's own"))
		return
	}
	if x.parked > 0 {
		// What was refused before this one hasn't been told so yet: taken now, it
		// would overtake that.
		s.m.limited[behindRefused].Inc()
		s.refuseChat(t, x, r, proto.SlowDown(leastWait))
		return
	}
	st := x.stops[target{r.GroupID, r.ToID}]
	if st.stands(t, r.CID) {
		s.m.behind.Inc()
		s.refuseChat(t, x, r, errBehind)
		return
	}
	text := make([]byte, 0, len(r.CID)+len(r.Msg))
	text = append(append(text, r.CID...), r.Msg...)
	a.Sender, a.Retry = ss.user, r.Retry
	a.CID, a.Body = text[:len(r.CID):len(r.CID)], text[len(r.CID):]
	if !s.unanswered.take(x, &a) {
		s.refuseChat(t, x, r, s.pause(t, x, model.ErrBusy)) // what follows would overtake it
		return
	}
	a.Line, a.Round = x.line, x.roundOf(st)
	sn := &sending{taken: true, Append: a, session: ss, client: x, op: r.Op, fields: r.Fields & (1 << proto.FRID), rid: r.RID}
	sn.Owner = sn
	x.sending = append(x.sending, sn)
	l := s.loops[t.Loop()]
	l.sends = append(l.sends, sn)
}

// refuseChat refuses a request, a chat message once all before it are answered:
// ACKs keep the order of sending.
func (s *Service) refuseChat(t Turn, x *client, r *proto.Request, err error) {
	if r.Op != proto.ONE_CHAT && r.Op != proto.GROUP_CHAT || len(x.sending) == 0 {
		if s.refuse(t, x, answer(r), err); err == errBehind {
			x.failed(t, &sending{Append: model.Append{Peer: r.ToID, Group: r.GroupID, CID: r.CID}})
		}
		return
	}
	sn := &sending{Append: model.Append{Peer: r.ToID, Group: r.GroupID, CID: bytes.Clone(r.CID)},
		client: x, op: r.Op, fields: r.Fields & (1 << proto.FRID), rid: r.RID}
	x.sending = append(x.sending, sn)
	sn.refuse(t, err)
}

// refuse leaves a message in its place for the answers of those before it.
func (sn *sending) refuse(t Turn, err error) {
	sn.Err, sn.refused = err, true
	if sn.parked = again(err); sn.parked {
		sn.client.parked++
		sn.client.conn.Untold(t)
	}
}

// pause has all be refused that a connection sends for as long as a refusal
// says, which says so then.
func (s *Service) pause(t Turn, x *client, err error) error {
	e := *s.errno(proto.ERROR, err)
	e.RetryAfter = proto.SlowDown(x.conn.Pause(t, e.RetryAfter)).RetryAfter
	return &e
}

// again says whether a message that is refused so is sent again after a while.
func again(err error) bool {
	var e *proto.Error
	return errors.Is(err, model.ErrBusy) || errors.As(err, &e) && e.Errno == proto.TooFast
}

// awaits reports whether a stored message is one that this connection has
// sent and that isn't acknowledged yet: a page of the log can be quicker than
// the word of the commit.
func (x *client) awaits(tp *topic, m *model.Message) bool {
	return slices.ContainsFunc(x.sending, func(sn *sending) bool {
		return !sn.refused && sn.Sender == m.Sender && sn.Group == tp.group && bytes.Equal(sn.CID, m.CID) &&
			(sn.Group != 0 || sn.Sender+sn.Peer == tp.lo+tp.hi)
	})
}

// turnEnd hands on what a turn has gathered: messages to the log, events to
// the other loops.
func (l *loop) turnEnd(t Turn) {
	if len(l.sends) > 0 {
		sends := l.sends
		l.sends = nil
		batch := make([]*model.Append, len(sends))
		for i, sn := range sends {
			batch[i] = &sn.Append
		}
		if err := l.s.store.Append(batch...); err != nil {
			for _, sn := range sends {
				sn.refuse(t, err)
			}
			for _, sn := range sends {
				l.ackRefused(t, sn.client)
			}
		}
	}
	for i, es := range l.events {
		if len(es) > 0 {
			l.events[i] = nil
			n := 0
			for j := range es {
				n += len(es[j].body)
			}
			if err := t.PostSized(i, n, func(t Turn) { l.s.loops[i].relay(t, es) }); err != nil {
				l.s.m.eventsDropped.Add(len(es)) // events are for the moment: who can't keep up goes without
			}
		}
	}
}

// ack answers a chat message that was in the log's hands, and those behind it
// that weren't.
func (l *loop) ack(t Turn, sn *sending) {
	x := sn.client
	if x.sending[0] == sn { // as a rule
		x.sending = x.sending[1:]
	} else {
		i := slices.Index(x.sending, sn)
		x.sending = slices.Delete(x.sending, i, i+1)
	}
	l.answer(t, sn)
	l.ackRefused(t, x)
}

// ackRefused answers those messages that were refused and have none before
// them.
func (l *loop) ackRefused(t Turn, x *client) {
	for len(x.sending) > 0 && x.sending[0].refused {
		sn := x.sending[0]
		x.sending = x.sending[1:]
		if sn.parked {
			// Its time begins now: what the client sends until it hears of it would
			// overtake it.
			x.parked--
			sn.Err = l.s.pause(t, x, sn.Err)
		}
		l.answer(t, sn)
	}
	x.conn.Resume(t)
}

func (l *loop) answer(t Turn, sn *sending) {
	x := sn.client
	if sn.taken {
		l.s.unanswered.give(x, &sn.Append)
	}
	a := proto.Response{Op: sn.op.Ack(), Fields: sn.fields, RID: sn.rid, CID: sn.CID, ToID: sn.Peer, GroupID: sn.Group,
		Seq: sn.Seq, Time: sn.Time}
	if sn.Err != nil {
		if errno := l.s.refuse(t, x, a, sn.Err); errno == proto.Unavailable && x.failed(t, sn) {
			l.s.kick(sn.session, proto.Slow, "too many conversations in which messages could not be stored; connect again")
		}
	} else {
		x.stored(sn)
		l.s.m.acks.Inc()
		x.reply(t, &a)
	}
}
