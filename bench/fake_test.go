package main

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

// fake is a server of the tests: as much of the protocol as a load needs, and
// the lies that a harness must see through.
type fake struct {
	t    *testing.T
	l    net.Listener
	done sync.WaitGroup

	// push and ack change what a message, the n-th of its sender, leads to; of
	// a group for the last member alone. Nil: the truth.
	push, ack func(n int64, r proto.Response) []proto.Response
	// welcome changes the n-th answer to a LOGIN.
	welcome func(n int64, r proto.Response) []proto.Response

	mu     sync.Mutex
	users  []*fakeUser // by id, from 1
	group  []*fakeUser // the members of the only one
	said   int64       // in it
	conns  []net.Conn
	logins int64
}

// fakeUser is locked by the fake's mu.
type fakeUser struct {
	id     int64
	conn   net.Conn
	spoken int64           // messages to the group
	sent   map[int64]int64 // messages and events, by receiver
	missed []proto.Response
}

// fakeOffline is how many messages a LOGIN_ACK has; the rest follow as pushes.
const fakeOffline = 2

const fakeGroup = 7

// newFake listens; it ends with the test.
func newFake(t *testing.T) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, l: l}
	f.done.Go(f.accept)
	t.Cleanup(func() {
		_ = l.Close()
		f.mu.Lock()
		for _, c := range f.conns {
			_ = c.Close()
		}
		f.mu.Unlock()
		f.done.Wait()
	})
	return f
}

func (f *fake) addr() string { return f.l.Addr().String() }

func (f *fake) accept() {
	for {
		c, err := f.l.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns = append(f.conns, c)
		f.mu.Unlock()
		f.done.Go(func() { f.serve(c) })
	}
}

// serve answers one connection until it ends.
func (f *fake) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	var dec proto.Decoder
	var me *fakeUser
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

func (f *fake) handle(c net.Conn, me *fakeUser, r *proto.Request) *fakeUser {
	switch r.Op {
	case proto.REG:
		f.mu.Lock()
		f.users = append(f.users, &fakeUser{id: int64(len(f.users) + 1), sent: make(map[int64]int64)})
		id := int64(len(f.users))
		f.mu.Unlock()
		f.send(c, proto.Response{Op: proto.REG_ACK, ID: id})
	case proto.LOGIN:
		me = f.logIn(c, r)
	case proto.CREATE_GROUP, proto.ADD_GROUP:
		f.mu.Lock()
		f.group = append(f.group, me)
		f.mu.Unlock()
		f.send(c, proto.Response{Op: r.Op.Ack(), GroupID: fakeGroup})
	case proto.GROUP_CHAT:
		f.mu.Lock()
		defer f.mu.Unlock()
		me.spoken++
		f.said++
		f.toGroup(me, proto.Response{Op: proto.GROUP_CHAT, ID: me.id, GroupID: r.GroupID, Msg: r.Msg, CID: r.CID, Seq: f.said})
		f.tell(c, f.ack, me.spoken, proto.Response{Op: proto.GROUP_CHAT_ACK, GroupID: r.GroupID, CID: r.CID, Seq: f.said})
	case proto.PING:
		f.send(c, proto.Response{Op: proto.PONG})
	case proto.RECEIPT:
		f.mu.Lock()
		me.missed = slices.DeleteFunc(me.missed, func(m proto.Response) bool { return m.ID == r.Peer && m.Seq <= r.Seq })
		f.mu.Unlock()
	case proto.ONE_CHAT:
		m := proto.Response{Op: proto.ONE_CHAT, ID: me.id, ToID: r.ToID, Msg: r.Msg, CID: r.CID}
		m.Seq = f.deliver(me, m, true)
		f.tell(c, f.ack, m.Seq, proto.Response{Op: proto.ONE_CHAT_ACK, ToID: r.ToID, CID: r.CID, Seq: m.Seq})
	case proto.EVENT:
		event := proto.Response{Op: proto.EVENT, ID: me.id, ToID: r.ToID, GroupID: r.GroupID, Event: r.Event, Data: r.Data}
		if r.GroupID == 0 {
			f.deliver(me, event, false)
			break
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		me.spoken++
		f.toGroup(me, event)
	}
	return me
}

// logIn answers with what the user has missed, and pushes the rest.
func (f *fake) logIn(c net.Conn, r *proto.Request) *fakeUser {
	id := r.ID
	if r.Token != "" {
		id, _ = strconv.ParseInt(r.Token, 10, 64) // 0: there is no such user
	}
	me := f.user(id)
	f.mu.Lock()
	defer f.mu.Unlock()
	me.conn = c
	f.logins++
	a := proto.Response{Op: proto.LOGIN_ACK, ID: id, Token: strconv.FormatInt(id, 10), Window: proto.DefaultWindow}
	few := min(fakeOffline, len(me.missed))
	for _, m := range me.missed[:few] {
		a.Offline = append(a.Offline, proto.Chat{Op: m.Op, ID: m.ID, ToID: m.ToID, Msg: string(m.Msg), Seq: m.Seq, CID: string(m.CID)})
	}
	a.More = few < len(me.missed)
	f.tell(c, f.welcome, f.logins, a)
	for _, m := range me.missed[few:] {
		f.send(c, m)
	}
	return me
}

// deliver passes a message or event on, and says which of its sender's to this
// receiver it was. What is stored is kept until a receipt says that it has arrived.
func (f *fake) deliver(from *fakeUser, m proto.Response, stored bool) (n int64) {
	to := f.user(m.ToID)
	f.mu.Lock()
	defer f.mu.Unlock()
	from.sent[to.id]++
	n = from.sent[to.id]
	if stored {
		m.Seq = n
	}
	all := []proto.Response{m}
	if f.push != nil {
		all = f.push(n, m)
	}
	for _, m := range all {
		if stored {
			m.Msg, m.CID = slices.Clone(m.Msg), slices.Clone(m.CID)
			to.missed = append(to.missed, m)
		}
		f.send(to.conn, m)
	}
	return n
}

// toGroup pushes to all members but the sender; f is locked.
func (f *fake) toGroup(from *fakeUser, r proto.Response) {
	for i, u := range f.group {
		switch {
		case u == from:
		case i == len(f.group)-1:
			f.tell(u.conn, f.push, from.spoken, r)
		default:
			f.send(u.conn, r)
		}
	}
}

func (f *fake) user(id int64) *fakeUser {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.users[id-1]
}

func (f *fake) tell(c net.Conn, lie func(int64, proto.Response) []proto.Response, n int64, r proto.Response) {
	if lie == nil {
		f.send(c, r)
		return
	}
	for _, r := range lie(n, r) {
		f.send(c, r)
	}
}

func (f *fake) send(c net.Conn, r proto.Response) {
	_, _ = c.Write(proto.AppendFrame(nil, proto.AppendResponse(nil, &r))) // a harness that is gone
}
