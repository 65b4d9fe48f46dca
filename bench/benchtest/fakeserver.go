package benchtest

import (
	"bufio"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"

	"chatd/proto"
)

// FakeServer implements as much of the protocol as the scenarios need. Its
// fields make it break the protocol.
type FakeServer struct {
	t    *testing.T
	l    net.Listener
	done sync.WaitGroup

	// Push and Ack replace the push and the ACK of a sender's n-th message. In a
	// group, Push affects the last member only. Nil: the server is correct.
	Push, Ack func(n int64, r proto.Response) []proto.Response
	// Welcome replaces the n-th answer to a LOGIN.
	Welcome func(n int64, r proto.Response) []proto.Response

	Mu            sync.Mutex
	Users         []*FakeUser // by id, from 1
	group         []*FakeUser // members of the only group
	groupMessages int64       // sent to the group
	conns         []net.Conn
	logins        int64
}

// FakeUser is guarded by the server's mutex.
type FakeUser struct {
	Id        int64
	conn      net.Conn
	groupSent int64           // messages to the group
	sent      map[int64]int64 // messages and events, by receiver
	Missed    []proto.Response
}

// fakeOffline is how many messages a LOGIN_ACK contains. The rest follow as
// pushes.
const fakeOffline = 2

const fakeGroup = 7

// NewFakeServer starts a server on a free port. It stops when the test ends.
func NewFakeServer(t *testing.T) *FakeServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &FakeServer{t: t, l: l}
	f.done.Go(f.accept)
	t.Cleanup(func() {
		_ = l.Close()
		f.Mu.Lock()
		for _, c := range f.conns {
			_ = c.Close()
		}
		f.Mu.Unlock()
		f.done.Wait()
	})
	return f
}

func (f *FakeServer) Addr() string { return f.l.Addr().String() }

func (f *FakeServer) accept() {
	for {
		c, err := f.l.Accept()
		if err != nil {
			return
		}
		f.Mu.Lock()
		f.conns = append(f.conns, c)
		f.Mu.Unlock()
		f.done.Go(func() { f.serve(c) })
	}
}

// serve answers one connection until it ends.
func (f *FakeServer) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	var dec proto.Decoder
	var me *FakeUser
	head := make([]byte, proto.HeaderSize)
	for {
		if _, err := io.ReadFull(in, head); err != nil {
			return
		}
		size, tooLong := proto.FrameLen(head)
		if tooLong != nil {
			f.t.Error(tooLong)
			return
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		r, bad := dec.Decode(body)
		if bad != nil {
			f.t.Error(bad)
			return
		}
		me = f.handle(c, me, r)
	}
}

func (f *FakeServer) handle(c net.Conn, me *FakeUser, r *proto.Request) *FakeUser {
	switch r.Op {
	case proto.REG:
		f.Mu.Lock()
		f.Users = append(f.Users, &FakeUser{Id: int64(len(f.Users) + 1), sent: make(map[int64]int64)})
		id := int64(len(f.Users))
		f.Mu.Unlock()
		f.send(c, proto.Response{Op: proto.REG_ACK, ID: id})
	case proto.LOGIN:
		me = f.logIn(c, r)
	case proto.CREATE_GROUP, proto.ADD_GROUP:
		f.Mu.Lock()
		f.group = append(f.group, me)
		f.Mu.Unlock()
		f.send(c, proto.Response{Op: r.Op.Ack(), GroupID: fakeGroup})
	case proto.GROUP_CHAT:
		f.Mu.Lock()
		defer f.Mu.Unlock()
		me.groupSent++
		f.groupMessages++
		f.toGroup(me, proto.Response{Op: proto.GROUP_CHAT, ID: me.Id, GroupID: r.GroupID, Msg: r.Msg, CID: r.CID, Seq: f.groupMessages})
		f.sendVia(c, f.Ack, me.groupSent, proto.Response{Op: proto.GROUP_CHAT_ACK, GroupID: r.GroupID, CID: r.CID, Seq: f.groupMessages})
	case proto.PING:
		f.send(c, proto.Response{Op: proto.PONG})
	case proto.RECEIPT:
		f.Mu.Lock()
		me.Missed = slices.DeleteFunc(me.Missed, func(m proto.Response) bool { return m.ID == r.Peer && m.Seq <= r.Seq })
		f.Mu.Unlock()
	case proto.ONE_CHAT:
		m := proto.Response{Op: proto.ONE_CHAT, ID: me.Id, ToID: r.ToID, Msg: r.Msg, CID: r.CID}
		m.Seq = f.deliver(me, m, true)
		f.sendVia(c, f.Ack, m.Seq, proto.Response{Op: proto.ONE_CHAT_ACK, ToID: r.ToID, CID: r.CID, Seq: m.Seq})
	case proto.EVENT:
		event := proto.Response{Op: proto.EVENT, ID: me.Id, ToID: r.ToID, GroupID: r.GroupID, Event: r.Event, Data: r.Data}
		if r.GroupID == 0 {
			f.deliver(me, event, false)
			break
		}
		f.Mu.Lock()
		defer f.Mu.Unlock()
		me.groupSent++
		f.toGroup(me, event)
	}
	return me
}

// logIn answers with the first missed messages and pushes the rest.
func (f *FakeServer) logIn(c net.Conn, r *proto.Request) *FakeUser {
	id := r.ID
	if r.Token != "" {
		id, _ = strconv.ParseInt(r.Token, 10, 64) // on an error, 0, which no user has
	}
	me := f.user(id)
	f.Mu.Lock()
	defer f.Mu.Unlock()
	me.conn = c
	f.logins++
	a := proto.Response{Op: proto.LOGIN_ACK, ID: id, Token: strconv.FormatInt(id, 10), Window: proto.DefaultWindow}
	few := min(fakeOffline, len(me.Missed))
	for _, m := range me.Missed[:few] {
		a.Offline = append(a.Offline, proto.Chat{Op: m.Op, ID: m.ID, ToID: m.ToID, Msg: string(m.Msg), Seq: m.Seq, CID: string(m.CID)})
	}
	a.More = few < len(me.Missed)
	f.sendVia(c, f.Welcome, f.logins, a)
	for _, m := range me.Missed[few:] {
		f.send(c, m)
	}
	return me
}

// deliver delivers a message or event and returns its number among those from
// this sender to this receiver. Stored messages are kept until a RECEIPT covers
// them.
func (f *FakeServer) deliver(from *FakeUser, m proto.Response, stored bool) (n int64) {
	to := f.user(m.ToID)
	f.Mu.Lock()
	defer f.Mu.Unlock()
	from.sent[to.Id]++
	n = from.sent[to.Id]
	if stored {
		m.Seq = n
	}
	all := []proto.Response{m}
	if f.Push != nil {
		all = f.Push(n, m)
	}
	for _, m := range all {
		if stored {
			m.Msg, m.CID = slices.Clone(m.Msg), slices.Clone(m.CID)
			to.Missed = append(to.Missed, m)
		}
		f.send(to.conn, m)
	}
	return n
}

// toGroup pushes to all members but the sender. The mutex must be held.
func (f *FakeServer) toGroup(from *FakeUser, r proto.Response) {
	for i, u := range f.group {
		switch {
		case u == from:
		case i == len(f.group)-1:
			f.sendVia(u.conn, f.Push, from.groupSent, r)
		default:
			f.send(u.conn, r)
		}
	}
}

func (f *FakeServer) user(id int64) *FakeUser {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	return f.Users[id-1]
}

func (f *FakeServer) sendVia(c net.Conn, lie func(int64, proto.Response) []proto.Response, n int64, r proto.Response) {
	if lie == nil {
		f.send(c, r)
		return
	}
	for _, r := range lie(n, r) {
		f.send(c, r)
	}
}

func (f *FakeServer) send(c net.Conn, r proto.Response) {
	_, _ = c.Write(proto.AppendFrame(nil, proto.AppendResponse(nil, &r))) // the client is gone
}
