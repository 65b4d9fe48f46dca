package service

import (
	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
)

// createGroup makes a group with the asker as its creator and only member.
func (s *Service) createGroup(t Turn, x *client, r *proto.Request) {
	a, ss, name, desc := answer(r), x.session, r.GroupName, r.GroupDesc
	if err := proto.CheckName(name); err != nil {
		s.refuse(t, x, a, err)
		return
	}
	offLoop(s, t, x, reactor.Quick, a, func(t Off) (int64, error) {
		return s.store.CreateGroup(t, ss.user, name, desc, s.cfg.MaxGroups)
	}, func(t Turn, id int64) {
		a.GroupID = id
		s.changed(t, joined(id, ss, &model.Joined{Version: model.FirstVersion}), ss)
		x.reply(t, &a)
	})
}

// addGroup joins a group.
func (s *Service) addGroup(t Turn, x *client, r *proto.Request) {
	a, ss := answer(r), x.session
	offLoop(s, t, x, reactor.Quick, a, func(t Off) (model.Joined, error) {
		j, err := s.store.JoinGroup(t, a.GroupID, ss.user, s.cfg.MaxMembers, s.cfg.MaxGroups)
		if err != nil {
			return j, err
		}
		a.GroupName, a.GroupDesc, a.Seq, a.Count = j.Name, j.Desc, j.Seq, j.Count
		if j.Count <= proto.MaxPageUsers {
			us, err := s.users(t, ss.user, a.GroupID, 0)
			if err != nil { // joined all the same
				s.log.Error("listing a group failed", "group", a.GroupID, "err", err)
				return j, nil
			}
			a.Users, a.Count = us, 0
		}
		return j, nil
	}, func(t Turn, j model.Joined) {
		s.changed(t, joined(a.GroupID, ss, &j), ss)
		x.reply(t, &a)
	})
}

// joined is the word that a session's user has joined a group.
func joined(group int64, ss *Session, j *model.Joined) *bus.Members {
	return &bus.Members{Group: group, Version: j.Version, User: ss.user, Joined: true, Seq: j.Seq,
		Notice: proto.AppendResponse(nil, &proto.Response{Op: proto.ADD_GROUP, GroupID: group, ID: ss.user, Name: ss.name})}
}

// left is the word that a user is no longer in a group.
func left(group, version, user int64) *bus.Members {
	return &bus.Members{Group: group, Version: version, User: user,
		Notice: proto.AppendResponse(nil, &proto.Response{Op: proto.LEAVE_GROUP, GroupID: group, ID: user})}
}

// leaveGroup ends the asker's own membership.
func (s *Service) leaveGroup(t Turn, x *client, r *proto.Request) {
	a, ss := answer(r), x.session
	offLoop(s, t, x, reactor.Quick, a, func(t Off) (int64, error) {
		return s.store.LeaveGroup(t, a.GroupID, ss.user)
	}, func(t Turn, version int64) {
		s.changed(t, left(a.GroupID, version, ss.user), ss)
		x.reply(t, &a)
	})
}

// kickMember ends another's membership; for the creator.
func (s *Service) kickMember(t Turn, x *client, r *proto.Request) {
	a, ss := answer(r), x.session
	offLoop(s, t, x, reactor.Quick, a, func(t Off) (int64, error) {
		return s.store.KickMember(t, a.GroupID, ss.user, a.UserID)
	}, func(t Turn, version int64) {
		s.changed(t, left(a.GroupID, version, a.UserID), ss)
		x.reply(t, &a)
	})
}

// dismissGroup ends a group; for the creator.
func (s *Service) dismissGroup(t Turn, x *client, r *proto.Request) {
	a, ss := answer(r), x.session
	offLoop(s, t, x, reactor.Quick, a, func(t Off) (int64, error) {
		version, _, err := s.store.DismissGroup(t, a.GroupID, ss.user)
		return version, err
	}, func(t Turn, version int64) {
		s.changed(t, &bus.Members{Group: a.GroupID, Version: version,
			Notice: proto.AppendResponse(nil, &proto.Response{Op: proto.DISMISS_GROUP, GroupID: a.GroupID})}, ss)
		x.reply(t, &a)
	})
}

// groupUsers lists the members of a group, a page at a time; for members.
func (s *Service) groupUsers(t Turn, x *client, r *proto.Request) {
	a, ss, after := answer(r), x.session, r.After
	offLoop(s, t, x, reactor.Quick, a, func(t Off) ([]proto.Member, error) {
		if _, err := s.store.View(t, ss.user, a.GroupID, 0); err != nil {
			return nil, err
		}
		return s.users(t, ss.user, a.GroupID, after)
	}, func(t Turn, us []proto.Member) {
		if len(us) > proto.MaxPageUsers {
			us, a.More = us[:proto.MaxPageUsers], true
		}
		a.Users = us
		x.reply(t, &a)
	})
}

// users reads a page of members with what asker may see of them, and one
// more where there is one.
func (s *Service) users(t Off, asker, group, after int64) ([]proto.Member, error) {
	ms, err := s.store.Members(t, group, after, proto.MaxPageUsers+1)
	if err != nil {
		return nil, err
	}
	ids := make([]int64, len(ms))
	for i := range ms {
		ids[i] = ms[i].User
	}
	states, err := s.states(t, asker, ids)
	if err != nil {
		return nil, err
	}
	us := make([]proto.Member, len(ms))
	for i, m := range ms {
		us[i] = proto.Member{ID: m.User, Name: m.Name, State: states[i], Role: m.Role}
	}
	return us, nil
}
