package delivery

import (
	"chatd/model"
	"chatd/proto"
	"chatd/service/session"
)

// Arrive makes a session live. It writes LOGIN_ACK and the notices that waited
// for it. From then on the session gets new messages, in each conversation after
// its backlog. memberships are the conversations of the user, read after Begin.
// sent has, for each of them, the last seq that the device has once it has
// LOGIN_ACK.
func (l *TopicsOnLoop) Arrive(t Turn, ss *session.Session, memberships []model.Membership, sent []int64, ack *proto.Response) {
	check, missed := l.setCursors(t, ss, memberships, sent)
	ss.GoLive(t, ack)
	for i := range memberships {
		if tp := l.topics[memberships[i].Conv]; tp != nil {
			if cu := tp.cursor(t, ss); cu != nil && sent[i] > memberships[i].Delivered {
				l.advance(t, tp, cu, max(cu.sent, sent[i]))
			}
		}
	}
	for tp := range l.users[ss.User].topics {
		if version, ok := check[tp]; ok {
			l.reload(t, tp, version)
		}
		if cu := tp.cursor(t, ss); cu != nil && cu.backlog {
			l.catchUp(t, tp)
		}
	}
	if len(missed) > 0 {
		rd := l.reader(t, ss)
		rd.missed = missed
		l.readSoon(t, rd)
	}
}

// setCursors sets a new session's cursors to the values in memberships. It
// returns the groups whose members must be reloaded, because memberships
// contradicts changes that arrived while it was read. With each of them it
// returns the version of the membership that the reload must reach.
//
// It also returns the pairs with missed messages that have no topic. The reader
// creates their topics when it gets to them: a device may have missed messages in
// very many pairs, and to create all topics in one turn would delay other users.
func (l *TopicsOnLoop) setCursors(t Turn, ss *session.Session, memberships []model.Membership, sent []int64) (check map[*topicOnLoop]int64, missed []missedPair) {
	check = make(map[*topicOnLoop]int64)
	for tp := range l.users[ss.User].topics {
		if tp.group != 0 {
			check[tp] = 0 // unless confirmed below
		}
	}
	for i := range memberships {
		p := &memberships[i]
		tp := l.topics[p.Conv]
		unheard := tp == nil // messages committed after p was read may have been missed
		switch {
		case tp == nil && p.Group != 0:
			tp = l.newGroup(t, p.Group, p.Version, p.Last)
			l.add(t, tp, ss.User, unknown)
		case tp == nil && sent[i] == p.Delivered:
			missed = append(missed, missedPair{p.Conv, p.Peer, p.Delivered, p.Last})
			continue
		case tp == nil:
			tp = l.newPair(t, p.Conv, pairOf(ss.User, p.Peer), p.Last)
		}
		if tp.group == 0 || tp.version == p.Version {
			delete(check, tp)
		} else {
			check[tp] = p.Version
		}
		tp.last = max(tp.last, p.Last)
		cu := tp.cursor(t, ss)
		if _, unsure := check[tp]; cu == nil && !unsure { // the user joined on another device after the memberships for Begin were read
			l.add(t, tp, ss.User, unknown)
			cu = tp.cursor(t, ss)
		}
		if cu == nil { // the user was removed from the group meanwhile; check has it
			continue
		}
		cu.sent = max(cu.sent, p.Delivered)
		cu.read, cu.readAt = max(cu.read, p.Read), t.Now().Unix()
		cu.arrived, cu.saved = cu.sent, cu.sent
		cu.backlog = sent[i] < tp.last || unheard && p.Group != 0
	}
	return check, missed
}
