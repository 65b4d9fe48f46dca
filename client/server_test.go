package client_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"

	"chatd/client"
	"chatd/proto"
)

// server is an in-memory chat server for the examples. Each user has one device.
// It expects valid requests.
type server struct {
	addr string
	ln   net.Listener
	all  sync.WaitGroup

	mu     sync.Mutex
	conns  map[*conn]bool
	users  []*account // the user with ID 1 is the first
	groups []*circle  // the group with ID 1 is the first
	logs   map[string]*chatLog
	clock  int64 // the time of the last message, in ms
}

type account struct {
	id       int64
	name     string
	password string
	token    string
	conn     *conn // nil: offline
	friends  map[int64]bool
	blocked  map[int64]bool
}

// circle is a group.
type circle struct {
	name, desc string
	creator    int64
	members    map[int64]bool
}

type chatLog struct {
	messages []proto.Chat
	received map[int64]int64 // by user: the last seq received
	read     map[int64]int64 // by user: the last seq read
}

type conn struct {
	net.Conn
	user *account // nil: not logged in
}

// newServer starts a server with the users ann, ben and eve, whose IDs are 1, 2 and
// 3, and whose password is "secret-1".
func newServer() *server {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s := &server{addr: ln.Addr().String(), ln: ln, conns: map[*conn]bool{}, logs: map[string]*chatLog{}}
	for _, name := range []string{"ann", "ben", "eve"} {
		s.register(name, "secret-1")
	}
	s.all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.all.Go(func() { s.serve(&conn{Conn: c}) })
		}
	})
	return s
}

// Close stops the server and closes all its connections.
func (s *server) Close() {
	s.ln.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.all.Wait()
}

// login returns a client that is logged in as the named user.
func (s *server) login(name string, h client.Handlers) *client.Client {
	c, err := client.New(client.Config{Addrs: []string{s.addr}, Handlers: h, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	if err := c.Login(context.Background(), name, "secret-1"); err != nil {
		panic(err)
	}
	return c
}

// kick ends a user's connection with a KICK.
func (s *server) kick(name, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.named(name)
	u.conn.push(&proto.Response{Op: proto.KICK, Reason: reason, ErrMsg: "a later login with the same device name has replaced this session"})
	u.conn.Close()
}

func (s *server) register(name, password string) *account {
	u := &account{id: int64(len(s.users) + 1), name: name, password: password, friends: map[int64]bool{}, blocked: map[int64]bool{}}
	s.users = append(s.users, u)
	return u
}

func (s *server) named(name string) *account {
	for _, u := range s.users {
		if u.name == name {
			return u
		}
	}
	return nil
}

func (c *conn) push(r *proto.Response) {
	if c != nil {
		c.Write(proto.AppendFrame(nil, proto.AppendResponse(nil, r)))
	}
}

func (s *server) serve(c *conn) {
	s.mu.Lock()
	s.conns[c] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		if c.user != nil && c.user.conn == c {
			s.went(c.user, nil)
		}
		s.mu.Unlock()
		c.Close()
	}()
	var d proto.Decoder
	for r := bufio.NewReader(c); ; {
		body, err := proto.ReadFrame(r, nil)
		if err != nil {
			return
		}
		q, bad := d.Decode(body)
		if bad != nil {
			panic(fmt.Sprintf("an example sent the invalid request %s: %v", body, bad))
		}
		s.mu.Lock()
		a := s.handle(c, q)
		if a == nil {
			a = &proto.Response{Errno: proto.NotFound, ErrMsg: "no such user, group or conversation"}
		}
		if a.Op = q.Op.Ack(); a.Op != proto.ERROR {
			a.RID, a.Fields = q.RID, q.Fields&(1<<proto.FRID)
			a.CID, a.ToID, a.GroupID, a.FriendID, a.UserID, a.Peer = q.CID, q.ToID, cmp.Or(q.GroupID, a.GroupID), q.FriendID, q.UserID, q.Peer
			c.push(a)
		}
		s.mu.Unlock()
	}
}

// went makes a user online on c, or offline if c is nil, and notifies friends.
func (s *server) went(u *account, c *conn) {
	u.conn = c
	for id := range u.friends {
		s.users[id-1].conn.push(&proto.Response{Op: proto.PRESENCE, ID: u.id, State: u.state()})
	}
}

func (u *account) state() string {
	if u.conn != nil {
		return proto.Online
	}
	return proto.Offline
}

// key returns the key of a conversation in server.logs.
func key(user, peer, group int64) string {
	if group != 0 {
		return fmt.Sprint("g", group)
	}
	return fmt.Sprint("u", min(user, peer), "-", max(user, peer))
}

func (s *server) log(user, peer, group int64) *chatLog {
	k := key(user, peer, group)
	if s.logs[k] == nil {
		s.logs[k] = &chatLog{received: map[int64]int64{}, read: map[int64]int64{}}
	}
	return s.logs[k]
}

// others returns the connections of the other users of a conversation; nil for those
// who are offline.
func (s *server) others(user, peer, group int64) (all []*conn) {
	if group == 0 {
		return []*conn{s.users[peer-1].conn}
	}
	for id := range s.groups[group-1].members {
		if id != user {
			all = append(all, s.users[id-1].conn)
		}
	}
	return all
}

// handle processes a request and returns its answer. nil means that there is no
// such user or group.
func (s *server) handle(c *conn, q *proto.Request) *proto.Response {
	a, u := &proto.Response{}, c.user
	switch q.Op {
	case proto.REG:
		if s.named(q.Name) != nil {
			return &proto.Response{Errno: proto.Refused, ErrMsg: "the name is taken; choose another one"}
		}
		a.ID = s.register(q.Name, q.Password).id
	case proto.LOGIN:
		return s.enter(c, q)
	case proto.LOGOUT:
		u.token = ""
	case proto.ONE_CHAT, proto.GROUP_CHAT:
		log := s.log(u.id, q.ToID, q.GroupID)
		s.clock++
		a.Seq, a.Time = int64(len(log.messages)+1), 1700000000000+s.clock
		m := proto.Chat{Op: q.Op, ID: u.id, Name: u.name, ToID: q.ToID, GroupID: q.GroupID, Msg: string(q.Msg), CID: string(q.CID), Seq: a.Seq, Time: a.Time}
		log.messages = append(log.messages, m)
		for _, other := range s.others(u.id, q.ToID, q.GroupID) {
			other.push(&proto.Response{Op: m.Op, ID: m.ID, Name: m.Name, ToID: m.ToID, GroupID: m.GroupID, Msg: q.Msg, CID: q.CID, Seq: m.Seq, Time: m.Time})
		}
	case proto.RECEIPT:
		log := s.log(u.id, q.Peer, q.GroupID)
		log.received[u.id] = max(log.received[u.id], q.Seq)
		if q.Read {
			log.read[u.id] = q.Seq
			for _, other := range s.others(u.id, q.Peer, 0) {
				other.push(&proto.Response{Op: proto.RECEIPT, ID: u.id, Peer: u.id, Seq: q.Seq, Read: true})
			}
		}
	case proto.EVENT:
		for _, other := range s.others(u.id, q.ToID, q.GroupID) {
			other.push(&proto.Response{Op: proto.EVENT, ID: u.id, Name: u.name, ToID: q.ToID, GroupID: q.GroupID, Event: q.Event, Data: q.Data})
		}
	case proto.SYNC:
		log := s.log(u.id, q.Peer, q.GroupID)
		a.First, a.Last = 1, int64(len(log.messages))
		from, to := q.After, a.Last
		if !q.Has(proto.FAfter) {
			if q.Has(proto.FBefore) {
				to = q.Before - 1
			}
			from = max(0, to-q.Limit)
		}
		a.Messages, a.More = append([]proto.Chat{}, log.messages[from:to]...), from > 0
	case proto.CONVERSATIONS:
		a.Conversations = s.conversations(u)
	case proto.PASSWORD:
		if q.Password != u.password {
			return &proto.Response{Errno: proto.Refused, ErrMsg: "wrong ID, name, password or token"}
		}
		u.password, u.token = q.NewPassword, u.token+"+"
		a.Token = u.token
	case proto.FIND_USER:
		found := s.named(q.Name)
		if q.UserID > 0 && q.UserID <= int64(len(s.users)) {
			found = s.users[q.UserID-1]
		}
		if found == nil {
			return nil
		}
		a.ID, a.Name = found.id, found.name
		if u.friends[found.id] {
			a.State = found.state()
		}
	case proto.ADD_FRIEND, proto.DEL_FRIEND, proto.BLOCK:
		return s.befriend(u, q)
	case proto.CREATE_GROUP:
		s.groups = append(s.groups, &circle{name: q.GroupName, desc: q.GroupDesc, creator: u.id, members: map[int64]bool{u.id: true}})
		a.GroupID = int64(len(s.groups))
	case proto.ADD_GROUP, proto.LEAVE_GROUP, proto.KICK_MEMBER, proto.DISMISS_GROUP, proto.GROUP_USERS:
		return s.inGroup(u, q)
	}
	return a
}

func (s *server) enter(c *conn, q *proto.Request) *proto.Response {
	i := slices.IndexFunc(s.users, func(u *account) bool {
		return q.Token != "" && u.token == q.Token || q.Token == "" && (u.name == q.Name || u.id == q.ID) && u.password == q.Password
	})
	if i < 0 {
		return &proto.Response{Errno: proto.Refused, ErrMsg: "wrong ID, name, password or token"}
	}
	u := s.users[i]
	u.token = cmp.Or(u.token, "token of "+u.name)
	c.user = u
	s.went(u, c)
	a := &proto.Response{ID: u.id, Name: u.name, Device: proto.DefaultDevice, Token: u.token, Node: "node", Window: proto.DefaultWindow, Epoch: 1,
		Features: []string{proto.FeatureRegister}}
	for _, id := range slices.Sorted(maps.Keys(u.friends)) {
		a.Friends = append(a.Friends, proto.Friend{ID: id, Name: s.users[id-1].name, State: s.users[id-1].state()})
	}
	for _, log := range s.logs {
		for _, m := range log.messages {
			if mine := m.GroupID == 0 && (m.ID == u.id || m.ToID == u.id) || m.GroupID != 0 && s.groups[m.GroupID-1].members[u.id]; mine && m.ID != u.id && m.Seq > log.received[u.id] {
				a.Offline = append(a.Offline, m)
			}
		}
	}
	return a
}

func (s *server) conversations(u *account) []proto.Conversation {
	list := []proto.Conversation{}
	for _, log := range s.logs {
		if len(log.messages) == 0 || log.messages[0].GroupID != 0 {
			continue
		}
		m := log.messages[len(log.messages)-1]
		if m.ID == u.id || m.ToID == u.id {
			peer := s.users[m.ID+m.ToID-u.id-1]
			list = append(list, proto.Conversation{Peer: peer.id, Name: peer.name, First: 1, Last: m.Seq, Read: log.read[u.id], Time: m.Time, Message: &m})
		}
	}
	slices.SortFunc(list, func(a, b proto.Conversation) int { return cmp.Compare(b.Time, a.Time) })
	return list
}

func (s *server) befriend(u *account, q *proto.Request) *proto.Response {
	id := max(q.FriendID, q.UserID)
	if id > int64(len(s.users)) {
		return nil
	}
	f := s.users[id-1]
	switch q.Op {
	case proto.ADD_FRIEND:
		if f.blocked[u.id] {
			return &proto.Response{Errno: proto.NotAllowed, ErrMsg: fmt.Sprintf("user %d has blocked you", f.id)}
		}
		u.friends[id], f.friends[u.id] = true, true
		f.conn.push(&proto.Response{Op: proto.ADD_FRIEND, ID: u.id, Name: u.name})
	case proto.DEL_FRIEND:
		delete(u.friends, id)
		delete(f.friends, u.id)
		f.conn.push(&proto.Response{Op: proto.DEL_FRIEND, ID: u.id})
	case proto.BLOCK:
		u.blocked[id] = q.On
	}
	return &proto.Response{Name: f.name, State: f.state(), On: q.On}
}

func (s *server) inGroup(u *account, q *proto.Request) *proto.Response {
	if q.GroupID > int64(len(s.groups)) {
		return nil
	}
	g := s.groups[q.GroupID-1]
	tell := func(r *proto.Response) {
		r.GroupID = q.GroupID
		for _, other := range s.others(u.id, 0, q.GroupID) {
			other.push(r)
		}
	}
	switch q.Op {
	case proto.ADD_GROUP:
		g.members[u.id] = true
		tell(&proto.Response{Op: proto.ADD_GROUP, ID: u.id, Name: u.name})
	case proto.LEAVE_GROUP:
		if u.id == g.creator {
			return &proto.Response{Errno: proto.NotAllowed, ErrMsg: fmt.Sprintf("you can't leave group %d: you are not a member, or you created it and can only delete it", q.GroupID)}
		}
		delete(g.members, u.id)
		tell(&proto.Response{Op: proto.LEAVE_GROUP, ID: u.id})
	case proto.KICK_MEMBER:
		tell(&proto.Response{Op: proto.LEAVE_GROUP, ID: q.UserID})
		delete(g.members, q.UserID)
	case proto.DISMISS_GROUP:
		tell(&proto.Response{Op: proto.DISMISS_GROUP})
		g.members = map[int64]bool{}
	}
	a := &proto.Response{GroupName: g.name, GroupDesc: g.desc, Users: []proto.Member{}}
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		role := proto.Normal
		if id == g.creator {
			role = proto.Creator
		}
		a.Users = append(a.Users, proto.Member{ID: id, Name: s.users[id-1].name, State: s.users[id-1].state(), Role: role})
	}
	return a
}
