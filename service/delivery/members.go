package delivery

import (
	"errors"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/session"
)

// MembersChanged tells everyone of a committed change in a group's membership:
// the members here and on other nodes, and the user who joined or left. actor's
// own session is answered elsewhere. When MembersChanged returns, the change is
// in force on this loop: what is answered then comes after it.
func (d *Delivery) MembersChanged(t Turn, m *bus.Members, actor *session.Session) {
	for i, l := range d.topics {
		if i == t.Loop() {
			l.applyMembers(t, m, actor)
		} else {
			_ = d.r.Post(i, func(t Turn) { l.applyMembers(t, m, actor) }) // stopped: nobody to tell
		}
	}
	p := bus.Payload{Members: m}
	if m.User != 0 { // for nodes without another member of the group; the others wait for what follows
		d.courier.Publish(bus.User(m.User), p)
	}
	d.courier.Publish(bus.Group(m.Group), p)
}

// MembersChangedElsewhere brings another node's change, heard on channel c, to
// the loops of this one. A node may hear of the same change twice; its version
// tells.
func (d *Delivery) MembersChangedElsewhere(c bus.Channel, m *bus.Members) {
	// The group's channel brings it again. But a user who has just joined may be on
	// a loop that doesn't know the group, while this node's subscription to it
	// isn't in force yet.
	if c.Group || m.Joined || d.sessions.Watchers(m.Group) == 0 {
		d.each(func(t Turn, l *TopicsOnLoop) { l.applyMembers(t, m, nil) })
	}
}

// applyMembers applies a change to the loop's topic of the group and tells the
// sessions here. It reads the members again where the topic missed an earlier
// change, or may have.
func (l *TopicsOnLoop) applyMembers(t Turn, m *bus.Members, actor *session.Session) {
	tp := l.topics[m.Group]
	u := l.users[m.User]
	switch {
	case tp == nil && u == nil:
		return
	case tp == nil && m.Joined:
		tp = l.newGroup(t, m.Group, m.Version, m.Seq)
		l.add(t, tp, m.User, m.Seq)
		l.notify(t, tp, m.Notice, actor)
		// Messages since the join went by, and notices of other users here who
		// joined at the same time may be on their way.
		tp.catchUpAll(t)
		l.reload(t, tp, m.Version)
		return
	case tp == nil: // the members were read again before this notice came
		u.notify(t, m.Notice, actor)
		return
	case m.User == 0:
		l.notify(t, tp, m.Notice, actor)
		l.drop(t, tp)
		return
	case !tp.announced.isNew(m.Version), u != nil && m.Version <= tp.version && u.in(t, tp) != m.Joined:
		// The user has come and gone since; or the topic was made for another user
		// while this notice was on its way: the store knows.
		if m.Joined && u != nil && !u.in(t, tp) {
			l.reload(t, tp, m.Version)
		}
		return
	}
	l.notify(t, tp, m.Notice, actor)
	if u != nil && !u.in(t, tp) { // not in yet, or no longer
		u.notify(t, m.Notice, actor)
	}
	switch {
	case m.Version <= tp.version:
	case m.Version != tp.version+1 || tp.reloading:
		l.reload(t, tp, m.Version)
	case m.Joined:
		tp.version, tp.last = m.Version, max(tp.last, m.Seq)
		l.add(t, tp, m.User, m.Seq)
		// Messages may have come before this notice of the join.
		for i := range tp.cursors {
			if cu := &tp.cursors[i]; cu.session.User == m.User && cu.sent != unknown && cu.sent < tp.last {
				cu.backlog = true
			}
		}
		l.catchUp(t, tp)
	default:
		tp.version = m.Version
		l.remove(t, tp, m.User)
	}
}

// announced are the versions of a membership whose change the members were told.
type announced struct {
	newest  int64
	missing uint64 // bit i: newest-i wasn't announced yet
}

// isNew notes that a version is being announced, and reports whether it wasn't
// before. Changes that two loops make at the same time may come in the wrong
// order.
func (a *announced) isNew(version int64) bool {
	ahead := version - a.newest
	switch {
	case ahead > 0:
		a.newest, a.missing = version, a.missing<<ahead|(1<<ahead-1)&^1
		return true
	case ahead <= -64 || a.missing>>-ahead&1 == 0:
		return false
	}
	a.missing &^= 1 << -ahead
	return true
}

// notify sends a notice to all sessions of a user on this loop but the actor's.
func (u *userOnLoop) notify(t Turn, body []byte, actor *session.Session) {
	for _, ss := range u.sessions {
		if ss != actor {
			ss.Notify(t, body)
		}
	}
}

// notify sends a notice to all sessions in a topic but the actor's.
func (l *TopicsOnLoop) notify(t Turn, tp *topicOnLoop, body []byte, actor *session.Session) {
	if len(body) == 0 {
		return
	}
	for i := range tp.cursors {
		if ss := tp.cursors[i].session; ss != actor {
			ss.Notify(t, body)
		}
	}
}

type membership struct {
	version int64
	members []model.Member
}

// reload reads the members of a group, at the given version or a later one.
// Until then nothing is pushed: what comes meanwhile is read from the log for
// those who turn out to be members.
func (l *TopicsOnLoop) reload(t Turn, tp *topicOnLoop, version int64) {
	tp.wantVersion = max(tp.wantVersion, version)
	if tp.reloading || tp.dropped || len(tp.cursors) == 0 {
		return
	}
	tp.reloading = true
	l.d.m.reloads.Inc()
	d, group := l.d, tp.group
	again := func(t Turn) {
		tp.reloading = false
		l.reload(t, tp, tp.wantVersion)
	}
	err := reactor.Go(t, tp.reader(t, &tp.cursors[0]), reactor.Quick, func(t Off) (m membership, err error) {
		d.courier.Await(t)
		m.version, m.members, err = d.store.MemberIDs(t, group)
		return m, err
	}, func(t Turn, m membership, err error) {
		switch {
		case tp.dropped:
		case errors.Is(err, model.ErrNotFound):
			l.notify(t, tp, proto.AppendResponse(nil, &proto.Response{Op: proto.DISMISS_GROUP, GroupID: group}), nil)
			l.drop(t, tp)
		case err != nil:
			if d.ctx.Err() == nil {
				d.log.Error("reading the members of a group failed", "group", tp.group, "err", err)
				t.After(retryRead, again)
			}
		default:
			tp.reloading = false
			l.setMembers(t, tp, &m)
		}
	})
	if err != nil { // the lane is full
		t.After(retryBusy, again)
	}
}

// setMembers makes the topic follow a membership that was just read.
func (l *TopicsOnLoop) setMembers(t Turn, tp *topicOnLoop, m *membership) {
	if m.version < max(tp.version, tp.wantVersion) { // read before a change that came meanwhile
		l.reload(t, tp, tp.wantVersion)
		return
	}
	tp.version = m.version
	in := make(map[int64]int64) // the seq at which each joined
	for _, o := range m.members {
		if l.users[o.User] != nil {
			in[o.User] = o.Joined
			l.add(t, tp, o.User, unknown)
		}
	}
	out := make(map[int64]bool)
	for i := range tp.cursors {
		cu := &tp.cursors[i]
		joined, ok := in[cu.session.User]
		if !ok {
			out[cu.session.User] = true
			continue
		}
		// A user who left and came back isn't shown what was said in between.
		cu.joined = joined
		if cu.sent != unknown && cu.sent < joined {
			cu.sent = joined
		}
	}
	for id := range out {
		l.remove(t, tp, id)
	}
	for i := range tp.cursors {
		cu := &tp.cursors[i]
		cu.backlog = cu.backlog || cu.sent < tp.last
	}
	l.catchUp(t, tp)
}

// A bus.Members says what has changed by its fields: with User 0 the group was
// dismissed, else the user joined (Joined) or is no longer in it. The functions
// below are the only ones that make one.

// Joined announces that a user has joined a group.
func Joined(group, user int64, name string, version, seq int64) *bus.Members {
	return &bus.Members{Group: group, Version: version, User: user, Joined: true, Seq: seq,
		Notice: proto.AppendResponse(nil, &proto.Response{Op: proto.ADD_GROUP, GroupID: group, ID: user, Name: name})}
}

// Left announces that a user is no longer in a group.
func Left(group, version, user int64) *bus.Members {
	return &bus.Members{Group: group, Version: version, User: user,
		Notice: proto.AppendResponse(nil, &proto.Response{Op: proto.LEAVE_GROUP, GroupID: group, ID: user})}
}

// Dismissed announces that a group was dismissed.
func Dismissed(group, version int64) *bus.Members {
	return &bus.Members{Group: group, Version: version,
		Notice: proto.AppendResponse(nil, &proto.Response{Op: proto.DISMISS_GROUP, GroupID: group})}
}
