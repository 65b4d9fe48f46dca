package delivery

import (
	"chatd/model"
	"chatd/proto"
	"chatd/service/session"
)

// Arrive makes a session live: it gets LOGIN_ACK, the notices that waited for
// that, and from then on what is new, after its backlog if it has one. memberships
// are the conversations of its user, as they were read after Begin; sent is how
// far LOGIN_ACK brings the device in each.
func (l *TopicsOnLoop) Arrive(t Turn, ss *session.Session, memberships []model.Membership, sent []int64, ack *proto.Response) {
	check := l.setCursors(t, ss, memberships, sent)
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
}

// setCursors sets a new session's cursors to what was read for it. It returns
// the groups whose members have to be read again, with the version that was
// read: what was read and what was heard since don't agree.
func (l *TopicsOnLoop) setCursors(t Turn, ss *session.Session, memberships []model.Membership, sent []int64) (check map[*topicOnLoop]int64) {
	check = make(map[*topicOnLoop]int64)
	for tp := range l.users[ss.User].topics {
		if tp.group != 0 {
			check[tp] = 0 // unless confirmed below
		}
	}
	for i := range memberships {
		p := &memberships[i]
		tp := l.topics[p.Conv]
		unheard := tp == nil // messages since p was read went by
		switch {
		case tp == nil && p.Group != 0:
			tp = l.newGroup(t, p.Group, p.Version, p.Last)
			l.add(t, tp, ss.User, unknown)
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
		if _, unsure := check[tp]; cu == nil && !unsure { // the user joined on another device after Begin's memberships were read
			l.add(t, tp, ss.User, unknown)
			cu = tp.cursor(t, ss)
		}
		if cu == nil { // removed from the group meanwhile: checked
			continue
		}
		cu.sent = max(cu.sent, p.Delivered)
		cu.arrived, cu.saved = cu.sent, cu.sent
		cu.backlog = sent[i] < tp.last || unheard && p.Group != 0
	}
	return check
}
