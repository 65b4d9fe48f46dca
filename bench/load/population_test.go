package load

import (
	"bufio"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chatd/proto"
)

// An inbox counts pushed messages and the user's own, in any order. Receipts go
// up to the first gap.
func TestInbox(t *testing.T) {
	box := newInbox(&conversation{})
	for _, c := range []struct {
		seq     int64
		fresh   bool
		last    int64
		highest int64
	}{
		{1, true, 1, 1}, {4, true, 1, 4}, {3, true, 1, 4}, {4, false, 1, 4}, {1, false, 1, 4},
		{6, true, 1, 6}, {2, true, 4, 6}, {3, false, 4, 6}, {5, true, 6, 6}, {6, false, 6, 6},
	} {
		if fresh := box.add(c.seq); fresh != c.fresh || box.contiguous != c.last || box.highest() != c.highest {
			t.Fatalf("add(%d) = %v with contiguous %d and highest %d; want %v, %d and %d", c.seq, fresh, box.contiguous, box.highest(), c.fresh, c.last, c.highest)
		}
	}
}

// testFrame is one frame that a server sends to a user. The zero testFrame is a
// reconnect.
type testFrame struct {
	op       proto.Op
	from, to int64
	group    int64
	seq, n   int64
	altered  bool
	errno    proto.Errno
}

// A user notices every wrong frame, although after a reconnect messages may
// come again.
func TestUserNoticesWrongFrames(t *testing.T) {
	const me, friend, third, group = 1, 2, 3, 7
	push := func(seq, n int64) testFrame {
		return testFrame{op: proto.ONE_CHAT, from: friend, to: me, seq: seq, n: n}
	}
	groupPush := func(from, seq, n int64) testFrame {
		return testFrame{op: proto.GROUP_CHAT, from: from, group: group, seq: seq, n: n}
	}
	ack := func(seq, n int64) testFrame { return testFrame{op: proto.ONE_CHAT_ACK, to: friend, seq: seq, n: n} }
	typed := func(n int64) testFrame { return testFrame{op: proto.EVENT, from: friend, to: me, n: n} }
	reconnect := testFrame{}
	for _, c := range []struct {
		name   string
		frames []testFrame
		want   string // part of a fault; "": none
	}{
		{"correct", []testFrame{push(1, 1), ack(2, 1), push(3, 2), typed(1), groupPush(third, 1, 1), groupPush(friend, 2, 1)}, ""},
		{"an ACK before an earlier push", []testFrame{ack(2, 1), push(1, 1)}, ""},
		{"a refusal", []testFrame{push(1, 1), {op: proto.ONE_CHAT_ACK, to: friend, errno: proto.TooFast}}, ""},
		{"again, after a reconnect", []testFrame{push(1, 1), push(2, 2), reconnect, push(1, 1), push(2, 2), push(3, 3)}, ""},
		{"its own, after a reconnect", []testFrame{ack(1, 1), reconnect, {op: proto.ONE_CHAT, from: me, to: friend, seq: 1, n: 1}}, ""},
		{"events dropped", []testFrame{typed(1), typed(4)}, ""},
		{"push twice", []testFrame{push(1, 1), push(1, 1)}, "1 came twice"},
		{"pushes swapped", []testFrame{push(2, 2), push(1, 1)}, "1 came after 2"},
		{"again after a reconnect, in another order", []testFrame{push(1, 1), push(2, 2), reconnect, push(2, 2), push(1, 1)}, "1 came after 2"},
		{"its own on the same connection", []testFrame{ack(1, 1), {op: proto.ONE_CHAT, from: me, to: friend, seq: 1, n: 1}}, "seq 1 came again"},
		{"texts swapped", []testFrame{push(1, 2), push(2, 1)}, "out of order"},
		{"two messages with the same seq", []testFrame{ack(1, 1), push(1, 1)}, "seq 1 came again"},
		{"acknowledged twice", []testFrame{ack(1, 1), ack(1, 1)}, "had already arrived"},
		{"altered", []testFrame{{op: proto.ONE_CHAT, from: friend, to: me, seq: 1, n: 1, altered: true}}, "altered"},
		{"from a stranger", []testFrame{{op: proto.ONE_CHAT, from: third, to: me, seq: 1, n: 1}}, "altered"},
		{"for another user", []testFrame{{op: proto.ONE_CHAT, from: friend, to: third, seq: 1, n: 1}}, "altered"},
		{"of another group", []testFrame{{op: proto.GROUP_CHAT, from: friend, group: group + 1, seq: 1, n: 1}}, "altered"},
		{"event twice", []testFrame{typed(1), typed(1)}, "1 came twice"},
		{"event from a stranger", []testFrame{{op: proto.EVENT, from: third, to: me, n: 1}}, "altered"},
		{"more than was sent", []testFrame{push(1, 1), push(2, 2), push(9, 3)}, "seq 9 arrived"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			g := &Generator{Env: &Env{Faults: &Faults{}, Clock: Clock{time.Now()}}}
			population := NewPopulation(g, PopulationConfig{UserCount: 4, TextSize: 40})
			all := &conversation{name: "all", id: group, members: population.users}
			pair := &conversation{name: "pair", members: population.users[:2]}
			for i, u := range population.users {
				u.account.ID = int64(i + 1)
				u.inboxes = [2]*inbox{newInbox(pair), newInbox(all)}
			}
			u := population.users[0]
			var highest [2]int64 // everything correct was acknowledged to someone
			for _, m := range c.frames {
				receive(t, u, m)
				if i := int(m.group / group); m.seq < 9 {
					highest[i] = max(highest[i], m.seq)
				}
			}
			for i, box := range u.inboxes {
				box.highestAcked.Store(highest[i])
			}
			u.checkExcess()
			n, first := g.Faults.Summary()
			if (n == 0) != (c.want == "") || !slices.ContainsFunc(append(first, ""), func(s string) bool { return strings.Contains(s, c.want) }) {
				t.Errorf("%d faults %q, want one with %q", n, first, c.want)
			}
		})
	}
}

// receive passes a frame to u.
func receive(t *testing.T, u *user, m testFrame) {
	t.Helper()
	text := NewText(u.population.TextSize)
	putHex(text, uint64(m.n))
	putHex(text[hexSize:], 1)
	if m.altered {
		text[len(text)-1]++
	}
	cid := make([]byte, cidSize)
	putHex(cid, u.nonce)
	putHex(cid[hexSize:], uint64(m.n))
	switch m.op {
	case proto.ONE_CHAT, proto.GROUP_CHAT:
		u.handleMessage(m.op, m.from, m.to, m.group, m.seq, text, 2)
	case proto.EVENT:
		u.handleEvent(&proto.Response{Op: m.op, ID: m.from, ToID: m.to, Event: []byte(eventTyping), Data: text}, 2)
	case proto.ONE_CHAT_ACK:
		u.unacked++
		u.population.unacked.Add(1)
		if err := u.handleAck(&proto.Response{Op: m.op, Errno: m.errno, ToID: m.to, Seq: m.seq, CID: cid}, 2); err != nil {
			t.Error(err)
		}
	default:
		u.resetConnection()
	}
}

// A push that is read together with LOGIN_ACK is handled even if nothing
// follows.
func TestUserReadsPushesAfterLogin(t *testing.T) {
	g := &Generator{Env: &Env{Faults: &Faults{}, Clock: Clock{time.Now()}}}
	population := NewPopulation(g, PopulationConfig{UserCount: 2, TextSize: 40})
	pair := &conversation{name: "pair", members: population.users}
	for i, u := range population.users {
		u.account.ID = int64(i + 1)
		u.inboxes = [2]*inbox{newInbox(pair), newInbox(&conversation{})}
	}
	u := population.users[0]
	text := NewText(population.TextSize)
	putHex(text, 1)
	putHex(text[hexSize:], 1)
	push := proto.Response{Op: proto.ONE_CHAT, ID: 2, ToID: 1, Seq: 1, Msg: text}
	u.readBuf.buf = make([]byte, userBufferSize)
	u.readBuf.end = copy(u.readBuf.buf, proto.AppendFrame(nil, proto.AppendResponse(nil, &push)))
	pair.highestAcked.Store(1)
	population.allAcked.Store(true)

	ours, theirs := net.Pipe()
	u.c, u.online = &Conn{nc: ours, readBuffer: &u.readBuf}, true
	defer time.AfterFunc(time.Minute, func() { _ = theirs.Close() }).Stop()
	var server sync.WaitGroup
	server.Go(func() {
		var dec proto.Decoder
		for in := bufio.NewReader(theirs); ; {
			body, err := proto.ReadFrame(in, nil)
			if err != nil {
				return
			}
			if r, bad := dec.Decode(body); bad == nil && r.Op == proto.PING {
				pong := proto.AppendFrame(nil, proto.AppendResponse(nil, &proto.Response{Op: proto.PONG}))
				if _, err := theirs.Write(pong); err != nil {
					return
				}
			}
		}
	})
	if err := u.readLoop(); err != nil {
		t.Errorf("readLoop with all messages in the buffer: %v", err)
	}
	_ = ours.Close()
	server.Wait()
	if n, first := g.Faults.Summary(); n != 0 || u.missingCount() != 0 {
		t.Errorf("%d faults %q and %d missing messages, want none", n, first, u.missingCount())
	}
}
