package test

import (
	"bufio"
	"encoding/json"
	"net"
	"testing"
	"time"

	"chatd/proto"
)

// raw is a client without the SDK, which would hide duplicates, resends and losses.
type raw struct {
	t    *testing.T
	conn net.Conn
	br   *bufio.Reader
	acks map[string]answer // GROUP_CHAT_ACKs by cid
	got  map[int64]string  // texts of pushed messages by seq
	high int64             // seq of the last push on this connection
	kick *answer           // the KICK, if one has arrived
}

// answer is a frame from the server, with the fields that these tests use.
type answer struct {
	Op      proto.Op     `json:"msgid"`
	Errno   int          `json:"errno"`
	Reason  string       `json:"reason"`
	Retry   int64        `json:"retry_after_ms"`
	ID      int64        `json:"id"`
	GroupID int64        `json:"groupid"`
	Token   string       `json:"token"`
	Seq     int64        `json:"seq"`
	Time    int64        `json:"time"`
	CID     string       `json:"cid"`
	Msg     string       `json:"msg"`
	Last    int64        `json:"last"`
	Epoch   int64        `json:"epoch"`
	More    bool         `json:"more"`
	Offline []proto.Chat `json:"offlinemsg"`
	Message []proto.Chat `json:"messages"`
}

func dialRaw(t *testing.T, addr string) *raw {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &raw{t: t, conn: c, br: bufio.NewReader(c), acks: make(map[string]answer), got: make(map[int64]string)}
}

// send writes requests with one system call. An error means that the server has
// closed the connection.
func (w *raw) send(reqs ...*proto.Request) error {
	var b []byte
	for _, r := range reqs {
		b = proto.AppendFrame(b, proto.AppendRequest(nil, r))
	}
	_, err := w.conn.Write(b)
	return err
}

// read reads a frame and records it if it is an ACK, a push or a KICK. All pushes must
// be of the same conversation.
func (w *raw) read() (answer, error) {
	w.t.Helper()
	if err := w.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return answer{}, err
	}
	b, err := proto.ReadFrame(w.br, nil)
	if err != nil {
		return answer{}, err
	}
	var a answer
	if err := json.Unmarshal(b, &a); err != nil {
		w.t.Fatalf("cannot decode frame %s: %v", b, err)
	}
	switch a.Op {
	case proto.GROUP_CHAT_ACK:
		w.acks[a.CID] = a
	case proto.GROUP_CHAT:
		w.push(a.Seq, a.Msg)
	case proto.LOGIN_ACK:
		for _, m := range a.Offline {
			w.push(m.Seq, m.Msg)
		}
	case proto.KICK:
		w.kick = &a
	}
	return a, nil
}

// push records a pushed message. Its seq must follow that of the last one.
func (w *raw) push(seq int64, text string) {
	w.t.Helper()
	if seq <= w.high || w.high != 0 && seq != w.high+1 {
		w.t.Errorf("push with seq %d after seq %d, want %d", seq, w.high, w.high+1)
	}
	w.got[seq], w.high = text, seq
}

// call sends a request, reads frames up to its answer, and returns it. An errno fails
// the test.
func (w *raw) call(r *proto.Request) answer {
	w.t.Helper()
	if err := w.send(r); err != nil {
		w.t.Fatal(err)
	}
	for {
		a, err := w.read()
		if err != nil {
			w.t.Fatalf("%v: %v", r.Op, err)
		}
		if a.Op == r.Op.Ack() {
			if a.Errno != 0 {
				w.t.Fatalf("%v: errno %d, want 0", r.Op, a.Errno)
			}
			return a
		}
	}
}

// drainAll reads frames until the server closes the connection.
func (w *raw) drainAll() {
	w.t.Helper()
	for {
		if _, err := w.read(); err != nil {
			if e, ok := err.(net.Error); ok && e.Timeout() {
				w.t.Fatal("the server hasn't closed the connection")
			}
			return
		}
	}
}

// log returns the cids of all messages of a group, in order of seq, which must have no
// gap.
func (w *raw) log(group int64) (cids []string) {
	w.t.Helper()
	for {
		a := w.call(&proto.Request{Op: proto.SYNC, GroupID: group, After: int64(len(cids)), Fields: 1 << proto.FAfter, Limit: 200})
		for _, m := range a.Message {
			if m.Seq != int64(len(cids)+1) {
				w.t.Fatalf("SYNC of group %d returned seq %d, want %d", group, m.Seq, len(cids)+1)
			}
			cids = append(cids, m.CID)
		}
		if !a.More {
			return cids
		}
	}
}

// account registers a user, logs in, and returns its ID.
func (w *raw) account(name string) (id int64) {
	w.t.Helper()
	w.call(&proto.Request{Op: proto.REG, Name: name, Password: "secret 1"})
	return w.call(&proto.Request{Op: proto.LOGIN, Name: name, Password: "secret 1", Ack: true}).ID
}

func (w *raw) login(name string) {
	w.t.Helper()
	w.call(&proto.Request{Op: proto.LOGIN, Name: name, Password: "secret 1", Ack: true, Brief: true})
}

func groupChat(group int64, text string, retry bool) *proto.Request {
	return &proto.Request{Op: proto.GROUP_CHAT, GroupID: group, Msg: []byte(text), CID: []byte("cid " + text), Retry: retry}
}
