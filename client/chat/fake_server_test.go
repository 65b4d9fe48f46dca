package main

import (
	"bufio"
	"net"
	"strings"
	"sync"
	"testing"

	"chatd/proto"
)

// fakeServer answers requests of alice (user 1), the only user who can log in.
// Her friend is bob (2), her group is golang (5). It records the requests.
type fakeServer struct {
	t       *testing.T
	ln      net.Listener
	offline []proto.Chat // the offlinemsg of every login
	gone    bool         // bob's account was deleted

	mu    sync.Mutex
	asked []string // op of each request, and the text of messages
	seq   int64    // of the last message
}

func newFakeServer(t *testing.T) *fakeServer {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{t: t, ln: ln}
	var wg sync.WaitGroup
	var conns []net.Conn
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			conns = append(conns, conn)
			s.mu.Unlock()
			wg.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		s.mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		s.mu.Unlock()
		wg.Wait()
	})
	return s
}

func (s *fakeServer) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	var dec proto.Decoder
	for {
		body, err := proto.ReadFrame(r, nil)
		if err != nil {
			return
		}
		q, bad := dec.Decode(body)
		if bad != nil {
			s.t.Errorf("the client sent an invalid request: %v: %s", bad, body)
			return
		}
		var out []byte
		for _, resp := range s.answer(q) {
			out = proto.AppendFrame(out, proto.AppendResponse(nil, resp))
		}
		conn.Write(out)
	}
}

// answer returns the responses to a request. A message that begins with "echo "
// is sent back by bob.
func (s *fakeServer) answer(q *proto.Request) []*proto.Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &proto.Response{Op: q.Op.Ack(), RID: q.RID, Fields: 1 << proto.FRID, FriendID: q.FriendID, GroupID: q.GroupID,
		UserID: q.UserID, ToID: q.ToID, Peer: q.Peer, CID: q.CID, On: q.On}
	all := []*proto.Response{r}
	s.asked = append(s.asked, q.Op.String())
	switch q.Op {
	case proto.REG:
		r.ID = 1
		if q.Name == "taken" {
			r.Errno, r.ErrMsg = proto.Refused, "the name is taken"
		}
		if q.Name == "invited" && q.Code != "C0DE" {
			r.Errno, r.ErrMsg = proto.NotFound, "registration needs an invitation code"
		}
	case proto.LOGIN:
		if q.Token == "" && q.Password != "secret:1" || q.Token != "" && q.Token != "tok" {
			r.Errno, r.ErrMsg = proto.Refused, "wrong name or password"
		}
		r.ID, r.Name, r.Token, r.Device, r.Window, r.Epoch = 1, "alice", "tok", "terminal", 256, 1
		r.Friends = []proto.Friend{{ID: 2, Name: "bob", State: proto.Online}}
		r.Groups = []proto.Group{{ID: 5, GroupName: "golang", GroupDesc: "about go", Users: []proto.Member{
			{ID: 1, Name: "alice", State: proto.Online, Role: proto.Creator}}}}
		r.Offline = s.offline
	case proto.ONE_CHAT, proto.GROUP_CHAT:
		s.asked[len(s.asked)-1] += " " + string(q.Msg)
		s.seq++
		r.Seq, r.Time = s.seq, 1e12
		if strings.HasPrefix(string(q.Msg), "echo ") {
			s.seq++
			all = append(all, &proto.Response{Op: proto.ONE_CHAT, ID: 2, Name: "bob", ToID: 1, Msg: q.Msg[5:], Time: 1e12,
				Seq: s.seq, CID: []byte("c")})
		}
	case proto.FIND_USER:
		if r.ID, r.Name = 3, q.Name; q.Name != "carol" {
			r.Errno = proto.NotFound
		}
	case proto.ADD_FRIEND:
		r.Name, r.State = "carol", proto.Offline
	case proto.CREATE_GROUP:
		r.GroupID = 6
	case proto.ADD_GROUP:
		r.GroupName, r.Errno, r.ErrMsg = "golang", proto.AlreadySo, "already a member"
	case proto.LEAVE_GROUP:
		r.Errno, r.ErrMsg = proto.NotAllowed, "the creator can't leave"
	case proto.SYNC:
		r.First, r.Last = 1, 1
		r.Messages = []proto.Chat{{Op: proto.ONE_CHAT, ID: 2, Name: "bob", ToID: 1, Msg: "long ago", Time: 1e12, Seq: 1, CID: "c", Gone: s.gone}}
	case proto.GROUP_USERS:
		r.Users = []proto.Member{{ID: 1, Name: "alice", State: proto.Online, Role: proto.Creator}}
	case proto.CONVERSATIONS:
		r.Conversations = []proto.Conversation{{Peer: 2, Name: "bob", Gone: s.gone, First: 1, Last: 7, Read: 4, Time: 1e12}}
	case proto.PASSWORD:
		r.Token = "tok"
		if q.Password != "secret:1" {
			r.Errno, r.ErrMsg = proto.Refused, "wrong password"
		}
	case proto.RECEIPT, proto.EVENT:
		return nil
	}
	return all
}
