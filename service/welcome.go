package service

import (
	"errors"

	"chatd/model"
	"chatd/proto"
	"chatd/service/bus"
)

// welcome is what a session is told as it begins.
type welcome struct {
	places  []model.Place
	sent    []int64 // how far offline brings each place
	friends []proto.Friend
	groups  []proto.Group
	offline []proto.Chat
}

// loginOverhead is more than what a LOGIN_ACK has besides its lists.
const loginOverhead = 4 << 10

// welcome reads what a session has to be told. It runs after the session has
// been put into the lists: what comes later is noted there.
// errRefused: whatever ended its token before that could not find it.
func (s *Service) welcome(t Off, ss *Session, brief bool) (w welcome, err error) {
	s.await(t)
	// Other nodes have to know from here on that there is a session to tell.
	s.publish(bus.User(ss.user), bus.Payload{Login: ss.login()})
	_, _, w.places, err = s.store.TokenPlaces(t, *ss.token.Load(), ss.user)
	if errors.Is(err, model.ErrNotFound) {
		err = errRefused
	}
	if err != nil {
		return w, err
	}
	room := proto.MaxResponse - loginOverhead
	if !brief {
		if w.friends, err = s.friendList(t, ss.user); err != nil {
			return w, err
		}
		if w.groups, err = s.groupList(t, ss.user, maxListUsers); err != nil {
			return w, err
		}
		if w.size() > room { // names can be long: then nobody's members are listed
			if w.groups, err = s.groupList(t, ss.user, 0); err != nil {
				return w, err
			}
		}
		room -= w.size()
	}
	return w, s.missed(t, ss.user, &w, min(room, proto.MaxOfflineBytes))
}

// size is what the lists take in LOGIN_ACK, in bytes.
func (w *welcome) size() int {
	return len(proto.AppendResponse(nil, &proto.Response{Op: proto.LOGIN_ACK, Friends: w.friends, Groups: w.groups}))
}

// missed reads the first messages that the device lacks, as many as there is
// room for: all that can be among them in one question.
func (s *Service) missed(t Off, user int64, w *welcome, room int) error {
	w.sent = make([]int64, len(w.places))
	var parts []model.Part
	left := int64(min(s.cfg.MaxPage, proto.MaxOffline))
	for i := range w.places {
		p := &w.places[i]
		w.sent[i] = p.Delivered
		if n := min(p.Last-p.Delivered, left); n > 0 {
			parts = append(parts, model.Part{Conv: p.Conv, After: p.Delivered, Limit: int(n)})
			left -= n
		}
	}
	if len(parts) == 0 {
		return nil
	}
	if left == 0 {
		s.m.limited[fullPage].Inc()
	}
	ms, err := s.store.Parts(t, parts, room)
	if err != nil {
		return err
	}
	at := 0
	for j := range ms {
		for w.places[at].Conv != ms[j].Conv {
			at++
		}
		p := &w.places[at]
		c := chat(&ms[j], p.Group, user, p.Peer)
		if room -= chatSize(&c); room < 0 {
			break
		}
		w.offline = append(w.offline, c)
		w.sent[at] = c.Seq
	}
	return nil
}

func chatSize(c *proto.Chat) int { return len(proto.AppendChat(nil, c)) + 1 }

// friendList is a user's friends, with what the user may see of them.
func (s *Service) friendList(t Off, user int64) ([]proto.Friend, error) {
	fs, err := s.store.Friends(t, user)
	if err != nil {
		return nil, err
	}
	ids := make([]int64, len(fs))
	for i := range fs {
		ids[i] = fs[i].ID
	}
	on := s.online(t, ids)
	list := make([]proto.Friend, len(fs))
	for i, f := range fs {
		online := on[i] && !f.Hidden
		list[i] = proto.Friend{ID: f.ID, Name: f.Name, State: state(online)}
		s.presence.believes(user, f.ID, online)
	}
	return list, nil
}

// groupList is a user's groups. Members are listed where a group is small and
// all lists together have at most maxUsers.
func (s *Service) groupList(t Off, user int64, maxUsers int) ([]proto.Group, error) {
	gs, err := s.store.Groups(t, user)
	if err != nil {
		return nil, err
	}
	list := make([]proto.Group, len(gs))
	for i, g := range gs {
		list[i] = proto.Group{ID: g.ID, GroupName: g.Name, GroupDesc: g.Desc, Seq: g.Last, Count: g.Count}
		if g.Count > proto.MaxPageUsers || int(g.Count) > maxUsers {
			continue
		}
		us, err := s.users(t, user, g.ID, 0)
		if err != nil {
			return nil, err
		}
		maxUsers -= len(us)
		list[i].Users, list[i].Count = us, 0
	}
	return list, nil
}

// states tells of each user what asker may see: who has blocked asker is
// offline to them.
func (s *Service) states(t Off, asker int64, ids []int64) ([]string, error) {
	on := s.online(t, ids)
	hidden, err := s.store.Blockers(t, asker)
	if err != nil {
		return nil, err
	}
	hide := make(map[int64]bool, len(hidden))
	for _, id := range hidden {
		hide[id] = true
	}
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = state(on[i] && !hide[id])
	}
	return list, nil
}

// online tells who is online, as far as the bus can say: where it can't, that
// is no reason to refuse a list.
func (s *Service) online(t Off, ids []int64) []bool {
	on, err := s.bus.Online(t, ids)
	if err != nil && t.Err() == nil {
		s.log.Warn("who is online on other nodes is not known", "err", err)
	}
	return on
}

func state(online bool) string {
	if online {
		return proto.Online
	}
	return proto.Offline
}

// arrive makes a session live: it gets LOGIN_ACK, what was noted while it was
// joining, and from then on what is new, behind its backlog where it has one.
func (l *loop) arrive(t Turn, ss *Session, w *welcome, a proto.Response) {
	s := l.s
	check := l.place(ss, w)
	a.Node, a.Window, a.Epoch = s.node, int64(s.cfg.Window), s.epoch
	a.Friends, a.Groups, a.Offline = w.friends, w.groups, w.offline
	for i := range w.places {
		a.More = a.More || w.sent[i] < w.places[i].Last
	}
	conn := ss.client.conn
	conn.WriteResponse(t, &a)
	ss.live.Store(true)
	for _, body := range ss.held {
		conn.Write(t, body)
	}
	ss.held = nil
	for i := range w.places {
		if tp := l.topics[w.places[i].Conv]; tp != nil {
			if sb := tp.sub(ss); sb != nil && w.sent[i] > w.places[i].Delivered {
				l.sent(t, tp, sb, max(sb.sent, w.sent[i]))
			}
		}
	}
	for tp := range l.users[ss.user].topics {
		if _, ok := check[tp]; ok {
			l.reload(t, tp, check[tp])
		}
		if sb := tp.sub(ss); sb != nil && sb.behind {
			l.catchUp(t, tp)
		}
	}
}

// place sets a new session's cursors to what was read for it. Groups about
// whose members what was read and what was heard since don't agree are
// returned, with the version that was read: they have to be asked again.
func (l *loop) place(ss *Session, w *welcome) (check map[*topic]int64) {
	check = make(map[*topic]int64)
	for tp := range l.users[ss.user].topics {
		if tp.group != 0 {
			check[tp] = 0 // unless confirmed below
		}
	}
	for i := range w.places {
		p := &w.places[i]
		tp := l.topics[p.Conv]
		unheard := tp == nil // messages since the read of p went by
		switch {
		case tp == nil && p.Group != 0:
			tp = l.newGroup(p.Group, p.Version, p.Last)
			l.add(tp, ss.user, unknown)
		case tp == nil:
			tp = l.newPair(p.Conv, min(ss.user, p.Peer), max(ss.user, p.Peer), p.Last)
		}
		if tp.group == 0 || tp.version == p.Version {
			delete(check, tp)
		} else {
			check[tp] = p.Version
		}
		tp.last = max(tp.last, p.Last)
		sb := tp.sub(ss)
		if _, unsure := check[tp]; sb == nil && !unsure { // joined on another device before this session began, and after its first look
			l.add(tp, ss.user, unknown)
			sb = tp.sub(ss)
		}
		if sb == nil { // removed from the group meanwhile: checked
			continue
		}
		sb.sent = max(sb.sent, p.Delivered)
		sb.taken, sb.told = sb.sent, sb.sent
		sb.behind = w.sent[i] < tp.last || unheard && p.Group != 0
	}
	return check
}
