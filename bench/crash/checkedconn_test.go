package crash

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"chatd/client"
	"chatd/proto"
)

// A session that was replaced is a violation, except if a killed program of the
// same device may have sent the LOGIN that replaced it.
func TestReplacedByKilled(t *testing.T) {
	replaced := &client.KickError{Reason: proto.Replaced}
	for _, c := range []struct {
		err  error
		lost time.Time
		want bool
	}{
		{replaced, time.Time{}, false},
		{replaced, time.Now(), true},
		{replaced, time.Now().Add(-lateLogin), false},
		{&client.KickError{Reason: proto.LoggedOut}, time.Now(), false},
		{proto.Errorf(proto.Refused, "no"), time.Now(), false},
	} {
		if got := (&sender{loginLost: c.lost}).replacedByKilled(c.err); got != c.want {
			t.Errorf("replacedByKilled(%v) with a login lost at %v = %t, want %t", c.err, c.lost, got, c.want)
		}
	}
}

// The SDK silently drops duplicates. checkedConn notices them anyway: a message
// must not be pushed on the connection that sent it, before or after the ACK,
// and pushed seqs must rise. A message sent on another connection may be pushed
// until it is acknowledged.
func TestCheckedConn(t *testing.T) {
	own := func(n int32) message { return message{0, n} }
	ack := func(seq int64) *proto.Response {
		return &proto.Response{Op: proto.ONE_CHAT_ACK, CID: fmt.Append(nil, "cid ", seq), ToID: 8, Seq: seq}
	}
	push := func(seq int64, m message) *proto.Response {
		return &proto.Response{Op: proto.ONE_CHAT, ID: 7, ToID: 8, CID: fmt.Append(nil, "cid ", seq), Seq: seq, Msg: []byte(m.text()), Name: "a"}
	}
	missed := func(seqs ...int64) *proto.Response {
		r := &proto.Response{Op: proto.LOGIN_ACK, ID: 7, Name: "a", Token: "t", Device: "phone"}
		for _, seq := range seqs {
			r.Offline = append(r.Offline, proto.Chat{Op: proto.ONE_CHAT, ID: 7, ToID: 8, Name: "a", CID: fmt.Sprint("cid ", seq), Seq: seq, Msg: own(int32(seq)).text()})
		}
		return r
	}
	refusal := func(seq int64) *proto.Response {
		return &proto.Response{Op: proto.ONE_CHAT_ACK, CID: fmt.Append(nil, "cid ", seq), ToID: 8, Errno: proto.Unavailable, ErrMsg: "no"}
	}
	for _, c := range []struct {
		name  string
		retry bool
		from  []*proto.Response // what the server sends
		want  string            // kinds, and part of one text
	}{
		{"acknowledged", false, []*proto.Response{missed(1, 2), ack(3)}, ""},
		{"pushed before its ACK", false, []*proto.Response{push(3, own(3)), ack(3)}, "[doubled] a's phone: seq 3 of a and b was pushed on the connection that had sent it"},
		{"pushed after its ACK", false, []*proto.Response{ack(3), push(3, own(3))}, "[doubled]"},
		{"a repeat pushed before its ACK", true, []*proto.Response{missed(1, 2, 3), ack(3)}, ""},
		{"a repeat pushed after its ACK", true, []*proto.Response{ack(3), push(3, own(3))}, "[doubled]"},
		{"refused, but stored through another connection", false, []*proto.Response{refusal(3), push(3, own(3))}, ""},
		{"pushed twice", false, []*proto.Response{missed(1, 2), push(2, own(2))}, "[doubled] a's phone: seq 2 of a and b was pushed twice on one connection"},
		{"pushed out of order", false, []*proto.Response{push(4, own(4)), push(2, own(2))}, "[reordered] a's phone: seq 2 of a and b was pushed after seq 4 on one connection"},
		{"pushed to a user who isn't a member", false, []*proto.Response{{Op: proto.GROUP_CHAT, ID: 7, GroupID: 99, Seq: 1, CID: []byte("x"), Msg: []byte("x"), Name: "a"}},
			"[invented] a's phone: was pushed \"x\" from a conversation that its user isn't in"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			j := newJournal(0, 0, "a's phone", true, 1, time.Now())
			k := &directory{convs: []conv{{name: "a and b", members: []int{0, 1}}}, byKey: map[convKey]int{newConvKey(0, 7, 8): 0}}
			near, err := (&sender{journal: j, directory: k}).dial(t.Context(), "tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer near.Close()
			far, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer far.Close()
			q := &proto.Request{Op: proto.ONE_CHAT, ToID: 8, CID: []byte("cid 3"), Msg: []byte(own(3).text()), Retry: c.retry}
			if _, err := near.Write(proto.AppendFrame(nil, proto.AppendRequest(nil, q))); err != nil {
				t.Fatal(err)
			}
			var b []byte
			for _, r := range c.from {
				b = proto.AppendFrame(b, proto.AppendResponse(nil, r))
			}
			if _, err := far.Write(b); err != nil {
				t.Fatal(err)
			}
			if err := far.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			for { // read in pieces that split frames
				if _, err := near.Read(make([]byte, 50)); err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			var kinds []Kind
			var texts []string
			for _, v := range j.violations {
				kinds = append(kinds, v.Kind)
				texts = append(texts, v.Text)
			}
			got := ""
			if len(kinds) > 0 {
				got = fmt.Sprint(kinds) + " " + strings.Join(texts, "\n")
			}
			if !strings.HasPrefix(got, c.want) || (c.want == "") != (got == "") {
				t.Errorf("violations = %q, want %q", got, c.want)
			}
		})
	}
}
