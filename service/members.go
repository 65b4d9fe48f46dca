package service

import (
	"errors"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
)

// changed tells everyone of a change in a group's membership that the store
// has committed: the members here and on other nodes, and whoever came or
// went. actor's own session is answered elsewhere. On this loop the change is
// in force when changed returns: what is answered then comes after it.
func (s *Service) changed(t Turn, m *bus.Members, actor *Session) {
	for i, l := range s.loops {
		if i == t.Loop() {
			l.members(t, m, actor)
		} else {
			_ = s.r.Post(i, func(t Turn) { l.members(t, m, actor) }) // stopped: nobody to tell
		}
	}
	p := bus.Payload{Members: m}
	if m.User != 0 { // for nodes without another member of the group; the others wait for what follows
		s.publish(bus.User(m.User), p)
	}
	s.publish(bus.Group(m.Group), p)
}

// members brings a change on another node to all loops of this one. A node
// may hear of the same change twice; the version tells.
func (s *Service) members(m *bus.Members) {
	for i, l := range s.loops {
		_ = s.r.Post(i, func(t Turn) { l.members(t, m, nil) }) // stopped: nobody to tell
	}
}

// members applies a change to the loop's topic of the group, and passes the
// notice of it on. Where the topic has missed a change before this one, or
// whether it has can't be told, the members are read again.
func (l *loop) members(t Turn, m *bus.Members, actor *Session) {
	tp := l.topics[m.Group]
	u := l.users[m.User]
	switch {
	case tp == nil && u == nil:
		return
	case tp == nil && m.Joined:
		tp = l.newGroup(m.Group, m.Version, m.Seq)
		l.add(tp, m.User, m.Seq)
		l.notify(t, tp, m.Notice, actor)
		// What was said since the join went by, and of others here who joined
		// at the same time the word may be on its way.
		for i := range tp.subs {
			tp.subs[i].behind = true
		}
		l.reload(t, tp, m.Version)
		return
	case tp == nil: // the members were read again before this word of it came
		l.notifyUser(t, u, m.Notice, actor)
		return
	case m.User == 0:
		l.notify(t, tp, m.Notice, actor)
		l.drop(tp)
		return
	case !tp.news(m.Version), u != nil && m.Version <= tp.version && u.in(tp) != m.Joined:
		// Came and went since; or the topic was made for another user, with this
		// word still on its way: the store knows.
		if m.Joined && u != nil && !u.in(tp) {
			l.reload(t, tp, m.Version)
		}
		return
	}
	l.notify(t, tp, m.Notice, actor)
	if u != nil && !u.in(tp) { // not in yet, or no longer
		l.notifyUser(t, u, m.Notice, actor)
	}
	switch {
	case m.Version <= tp.version:
	case m.Version != tp.version+1 || tp.reloading:
		l.reload(t, tp, m.Version)
	case m.Joined:
		tp.version, tp.last = m.Version, max(tp.last, m.Seq)
		l.add(tp, m.User, m.Seq)
		// Messages may have come before this word of the join.
		for i := range tp.subs {
			if sb := &tp.subs[i]; sb.session.user == m.User && sb.sent != unknown && sb.sent < tp.last {
				sb.behind = true
			}
		}
		l.catchUp(t, tp)
	default:
		tp.version = m.Version
		l.remove(tp, m.User)
	}
}

// news notes a version whose change is being told, and reports whether it
// had not been yet. Changes that two loops make at the same time may come in
// the wrong order.
func (tp *topic) news(version int64) bool {
	ahead := version - tp.newest
	switch {
	case ahead > 0:
		tp.newest, tp.untold = version, tp.untold<<ahead|(1<<ahead-1)&^1
		return true
	case ahead <= -64 || tp.untold>>-ahead&1 == 0:
		return false
	}
	tp.untold &^= 1 << -ahead
	return true
}

// notifyUser sends a notice to all sessions of a user on this loop but the actor's.
func (l *loop) notifyUser(t Turn, u *user, body []byte, actor *Session) {
	for _, ss := range u.sessions {
		if ss != actor {
			l.notice(t, ss, body)
		}
	}
}

// notify sends a notice to all sessions in a topic but the actor's.
func (l *loop) notify(t Turn, tp *topic, body []byte, actor *Session) {
	if len(body) == 0 {
		return
	}
	for i := range tp.subs {
		if ss := tp.subs[i].session; ss != actor {
			l.notice(t, ss, body)
		}
	}
}

type membership struct {
	version int64
	members []model.Member
}

// reload reads who is in a group, at the given version or a later one. Until
// it is known nothing is pushed: what comes meanwhile is read from the log for
// those who turn out to be members.
func (l *loop) reload(t Turn, tp *topic, version int64) {
	tp.heard = max(tp.heard, version)
	if tp.reloading || tp.dropped || len(tp.subs) == 0 {
		return
	}
	tp.reloading = true
	l.s.m.reloads.Inc()
	store, group := l.s.store, tp.group
	again := func(t Turn) {
		tp.reloading = false
		l.reload(t, tp, tp.heard)
	}
	err := reactor.Go(t, tp.reader(&tp.subs[0]), reactor.Quick, func(t Off) (m membership, err error) {
		l.s.await(t)
		m.version, m.members, err = store.MemberIDs(t, group)
		return m, err
	}, func(t Turn, m membership, err error) {
		switch {
		case tp.dropped:
		case errors.Is(err, model.ErrNotFound):
			l.notify(t, tp, proto.AppendResponse(nil, &proto.Response{Op: proto.DISMISS_GROUP, GroupID: group}), nil)
			l.drop(tp)
		case err != nil:
			if l.s.ctx.Err() == nil {
				l.s.log.Error("reading the members of a group failed", "group", tp.group, "err", err)
				t.After(retryRead, again)
			}
		default:
			tp.reloading = false
			l.replace(t, tp, &m)
		}
	})
	if err != nil { // the lane is full
		t.After(retryBusy, again)
	}
}

// replace makes the topic go by a membership just read.
func (l *loop) replace(t Turn, tp *topic, m *membership) {
	if m.version < max(tp.version, tp.heard) { // read before a change that was told meanwhile
		l.reload(t, tp, tp.heard)
		return
	}
	tp.version = m.version
	in := make(map[int64]int64) // when they joined
	for _, o := range m.members {
		if l.users[o.User] != nil {
			in[o.User] = o.Joined
			l.add(tp, o.User, unknown)
		}
	}
	out := make(map[int64]bool)
	for i := range tp.subs {
		sb := &tp.subs[i]
		joined, ok := in[sb.session.user]
		if !ok {
			out[sb.session.user] = true
			continue
		}
		// Who left and came back isn't shown what was said without them.
		sb.floor = joined
		if sb.sent != unknown && sb.sent < joined {
			sb.sent = joined
		}
	}
	for id := range out {
		l.remove(tp, id)
	}
	for i := range tp.subs {
		sb := &tp.subs[i]
		sb.behind = sb.behind || sb.sent < tp.last
	}
	l.catchUp(t, tp)
}
