package delivery

import (
	"errors"
	"maps"
	"math"
	"math/bits"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/session"
)

// announcement returns what loops and other nodes have to know of a committed
// change of a group's members.
func announcement(a *model.Append) *bus.Members {
	switch c := a.Change; c.Kind {
	case model.Joined:
		return Joined(a.Group, c.User, c.UserName, a.Version, a.Last)
	case model.Left:
		return left(a.Group, c.User, a.Version)
	default: // model.Dismissed
		return &bus.Members{Group: a.Group, Version: a.Version,
			Notice: proto.AppendResponse(nil, &proto.Response{Op: proto.DISMISS_GROUP, GroupID: a.Group})}
	}
}

// Joined returns the announcement that a user has joined a group. seq is that of
// the last message before the join.
func Joined(group, user int64, name string, version, seq int64) *bus.Members {
	return &bus.Members{Group: group, Version: version, User: user, Joined: true, Seq: seq,
		Notice: proto.AppendResponse(nil, &proto.Response{Op: proto.ADD_GROUP, GroupID: group, ID: user, Name: name})}
}

// left returns the announcement that a user is no longer in a group.
func left(group, user, version int64) *bus.Members {
	return &bus.Members{Group: group, Version: version, User: user,
		Notice: proto.AppendResponse(nil, &proto.Response{Op: proto.LEAVE_GROUP, GroupID: group, ID: user})}
}

// EndJoin ends the wait of a session for its ADD_GROUP_ACK, and delivers what has
// come for it in the group meanwhile.
func (l *TopicsOnLoop) EndJoin(t Turn, ss *session.Session) {
	tp := l.topics[ss.Joining(t)]
	ss.EndJoin(t)
	if tp == nil {
		return
	}
	if cu := tp.cursor(t, ss); cu != nil && cu.backlog {
		l.catchUp(t, tp)
	}
}

// MembersChangedElsewhere applies a change that another node has published on
// channel c. A node may receive the same change on the channels of the group and
// of the user; applyMembers recognizes the second one by its version.
func (d *Delivery) MembersChangedElsewhere(c bus.Channel, m *bus.Members) {
	// A message on the user's channel is ignored if it comes on the group's
	// channel as well. A join never is: the user may be on a loop that doesn't
	// know the group, and this node's subscription to the group may not be
	// active yet.
	if c.Kind == bus.GroupChannel || m.Joined || d.sessions.Watchers(m.Group) == 0 {
		d.each(func(t Turn, l *TopicsOnLoop) { l.applyMembers(t, m, nil) })
	}
}

// applyMembers applies a change to the loop's topic of the group, and sends the
// notice to the sessions on this loop. It reloads the members if the topic may
// have missed an earlier change.
func (l *TopicsOnLoop) applyMembers(t Turn, m *bus.Members, actor *session.Session) {
	tp := l.topics[m.Group]
	u := l.users[m.User]
	switch {
	case tp == nil && u == nil, tp == nil && m.Version <= u.heard[m.Group]: // known already
		return
	case tp == nil && m.Joined:
		tp = l.newGroup(t, m.Group, m.Version, m.Seq)
		l.add(t, tp, m.User, m.Seq)
		tp.announced.latest(m.User, m.Version)
		l.notify(t, tp, m.Notice, actor)
		// This loop may have missed messages since the join, and joins of its
		// other users.
		tp.catchUpAll(t)
		l.reload(t, tp, m.Version)
		return
	case tp == nil: // a reload has already removed the user
		u.hear(t, m.Group, m.Version)
		u.notify(t, m.Notice, actor)
		return
	case m.User == 0:
		l.dismissed(t, tp, m.Notice, actor)
		return
	case !tp.announced.isNew(m.Version), u != nil && m.Version <= tp.version && u.in(t, tp) != m.Joined:
		// This change is known already, or outdated. But if the topic was
		// created for another user after the join, this user may be missing:
		// ask the store.
		if m.Joined && u != nil && !u.in(t, tp) {
			l.reload(t, tp, m.Version)
		}
		return
	}
	if u != nil && !m.Joined {
		u.hear(t, m.Group, m.Version)
	}
	if tp.announced.latest(m.User, m.Version) { // otherwise the notice of a later change was sent already
		l.notify(t, tp, m.Notice, actor)
		if u != nil && !u.in(t, tp) { // l.notify has skipped this user
			u.notify(t, m.Notice, actor)
		}
	}
	switch {
	case m.Version <= tp.version:
	case m.Version != tp.version+1 || tp.reloading:
		l.reload(t, tp, m.Version)
	case m.Joined:
		tp.version, tp.last = m.Version, max(tp.last, m.Seq)
		l.add(t, tp, m.User, m.Seq)
		// Messages may have arrived before this notice.
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

// announced is the set of membership versions that members have been notified
// of.
type announced struct {
	newest  int64
	missing uint64          // bit i: newest-i is not in the set
	users   map[int64]int64 // by user, the newest version about them; older ones than newest-63 may be left out
}

// latest reports whether no newer change about a user is in the set, and records
// this one.
func (a *announced) latest(user, version int64) bool {
	if a.users[user] > version {
		return false
	}
	if a.users == nil {
		a.users = make(map[int64]int64)
	}
	if a.users[user] = version; len(a.users) > 128 {
		maps.DeleteFunc(a.users, func(_, v int64) bool { return v < a.newest-63 })
	}
	return true
}

// isNew adds a version to the set, and reports whether it was missing. Versions
// may arrive out of order, because two workers or nodes may announce changes of a
// group at the same time.
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

// hear records that the user's sessions were notified of changes of the user's own
// membership of a group, up to a version: the topic, which knows that too, may be
// dropped before the changes are found in the feed.
func (u *userOnLoop) hear(t Turn, group, version int64) {
	if u.heard == nil {
		u.heard = make(map[int64]int64)
	}
	u.heard[group] = max(u.heard[group], version)
	for other := range u.heard {
		if len(u.heard) <= maxHeard {
			break
		}
		if other != group {
			delete(u.heard, other)
		}
	}
}

// dismissed notifies the members that a group was dismissed, and drops its topic.
func (l *TopicsOnLoop) dismissed(t Turn, tp *topicOnLoop, notice []byte, actor *session.Session) {
	l.notify(t, tp, notice, actor)
	for i := range tp.cursors {
		if u := l.users[tp.cursors[i].session.User]; u != nil {
			u.hear(t, tp.group, math.MaxInt64)
		}
	}
	l.drop(t, tp)
}

// notify sends a notice to all sessions of a user on this loop, except actor.
func (u *userOnLoop) notify(t Turn, body []byte, actor *session.Session) {
	for _, ss := range u.sessions {
		if ss != actor {
			ss.Notify(t, body)
		}
	}
}

// notify sends a notice to all sessions in a topic, except actor, whose user is
// charged for each.
func (l *TopicsOnLoop) notify(t Turn, tp *topicOnLoop, body []byte, actor *session.Session) {
	if len(body) == 0 {
		return
	}
	for i := range tp.cursors {
		if ss := tp.cursors[i].session; ss != actor {
			ss.Notify(t, body)
		}
	}
	if actor != nil {
		l.d.limits.Pushed(actor.Rate, t.Now(), len(tp.cursors), len(body))
	}
}

// Receivers estimates how many sessions on this node get a group's messages. It
// returns 0 if the loop doesn't know that the user is a member. It assumes that other
// loops have as many of the sessions as this one: to ask them would take too long.
func (l *TopicsOnLoop) Receivers(t Turn, user, group int64) int {
	tp := l.topicOf(t, user, group, 0)
	if u := l.users[user]; tp == nil || u == nil || !u.in(t, tp) {
		return 0
	}
	return len(tp.cursors) * bits.OnesCount64(l.d.sessions.Watchers(group))
}

type membership struct {
	version int64
	members []model.Member
}

// reload reads the members of a group, in the given version or a later one.
// Until that is done, no messages are pushed in the group. Afterwards the
// members get them from the log.
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
	err := reactor.Go(t, tp.idleConn(t), reactor.Quick, func(t Off) (m membership, err error) {
		d.courier.Await(t)
		m.version, m.members, err = d.store.MemberIDs(t, group)
		return m, err
	}, func(t Turn, m membership, err error) {
		switch {
		case tp.dropped:
		case errors.Is(err, model.ErrNotFound):
			l.dismissed(t, tp, proto.AppendResponse(nil, &proto.Response{Op: proto.DISMISS_GROUP, GroupID: group}), nil)
		case err != nil:
			if d.ctx.Err() == nil {
				d.log.Error("reading the members of a group failed; retrying", "group", tp.group, "err", err)
				t.After(retryRead, again)
			}
		default:
			tp.reloading = false
			l.setMembers(t, tp, &m)
		}
	})
	if err != nil { // the worker's queue is full
		t.After(retryBusy, again)
	}
}

// idleConn returns the connection of a session in the topic, if possible of one
// without a job: jobs of one connection run one after another.
func (tp *topicOnLoop) idleConn(t Turn) *reactor.Conn {
	for i := range tp.cursors {
		if c := tp.cursors[i].session.Conn(t); !c.Busy(t) {
			return c.Conn
		}
	}
	return tp.cursors[0].session.Conn(t).Conn
}

// setMembers adds and removes cursors, so that the topic has the members in m.
func (l *TopicsOnLoop) setMembers(t Turn, tp *topicOnLoop, m *membership) {
	if m.version < max(tp.version, tp.wantVersion) { // m was read before the latest change
		l.reload(t, tp, tp.wantVersion)
		return
	}
	tp.version = m.version
	in := make(map[int64]int64) // by user, the seq at which they joined
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
		// A user who left and joined again must not get the messages in between.
		cu.joined = joined
		if cu.sent != unknown && cu.sent < joined {
			cu.sent = joined
		}
	}
	for id := range out {
		if u := l.users[id]; u != nil { // the notice that the user has left comes later
			u.hear(t, tp.group, tp.announced.users[id])
		}
		l.remove(t, tp, id)
	}
	for i := range tp.cursors {
		cu := &tp.cursors[i]
		cu.backlog = cu.backlog || cu.sent < tp.last
	}
	l.catchUp(t, tp)
}
