package service

import (
	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
)

// receipt notes how far a device has come, and with read how far its user.
func (s *Service) receipt(t Turn, x *client, r *proto.Request) {
	l, ss := s.loops[t.Loop()], x.session
	if tp := l.topicOf(ss.user, r.GroupID, r.Peer); tp != nil && l.users[ss.user].in(tp) {
		seq := min(r.Seq, tp.last)
		sb := tp.sub(ss)
		s.store.Deliver(ss.user, ss.device, tp.conv, seq)
		sb.told = max(sb.told, seq)
		if r.Read && seq > sb.read {
			sb.read = seq
			s.readUpTo(ss, tp.conv, r.GroupID, r.Peer, seq)
		}
		return
	}
	a, read, seq := answer(r), r.Read, r.Seq
	offLoop(s, t, x, reactor.Quick, a, func(t Off) (model.View, error) {
		return s.store.View(t, ss.user, a.GroupID, a.Peer)
	}, func(t Turn, v model.View) {
		if seq = min(seq, v.Last); seq == 0 {
			return
		}
		s.store.Deliver(ss.user, ss.device, v.Conv, seq)
		if read {
			s.readUpTo(ss, v.Conv, a.GroupID, a.Peer, seq)
		}
	})
}

// topicOf is the topic of a group, or of two users; nil if there is none.
func (l *loop) topicOf(user, group, peer int64) *topic {
	if group != 0 {
		if tp := l.topics[group]; tp != nil && tp.group != 0 {
			return tp
		}
		return nil
	}
	return l.pairs[way{min(user, peer), max(user, peer)}]
}

// readUpTo stores a read receipt, and tells the reader's other devices and,
// between two users, the other one.
func (s *Service) readUpTo(ss *Session, conv, group, peer, seq int64) {
	s.store.Read(ss.user, conv, seq)
	rr := proto.Response{Op: proto.RECEIPT, GroupID: group, Peer: peer, ID: ss.user, Seq: seq, Read: true}
	s.tell(ss.user, proto.AppendResponse(nil, &rr), ss)
	if group == 0 && peer != ss.user {
		rr.Peer = ss.user
		s.tell(peer, proto.AppendResponse(nil, &rr), nil)
	}
}
