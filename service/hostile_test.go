package service_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"chatd/proto"
)

// bystander is two users with a conversation, which must not be disturbed by
// what other clients do.
type bystander struct {
	a, b *wire
	n    int64
}

func (n *node) bystander() *bystander {
	ids := n.users("bystander a", "bystander b")
	return &bystander{a: n.login(ids[0]), b: n.login(ids[1])}
}

// check sends a message and checks that it arrives, and that neither user has
// got KICK or ERROR.
func (y *bystander) check(after string) {
	y.a.tb.Helper()
	y.n++
	if seq := y.a.say(with(y.b.id), "still here"); seq != y.n {
		y.a.fatalf("after %s: the bystander's message has seq %d, want %d", after, seq, y.n)
	}
	y.b.upTo(with(y.a.id), y.n)
	for _, w := range []*wire{y.a, y.b} {
		for _, f := range w.stash {
			if f.op() == proto.KICK || f.op() == proto.ERROR {
				w.fatalf("after %s: a bystander got %v, want no KICK or ERROR", after, f)
			}
		}
	}
}

// header returns the header of a TCP frame with n bytes.
func header(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// A client that sends invalid frame lengths or many bad frames gets an ERROR
// and is disconnected. Other clients aren't affected.
func TestBadStreams(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) { s.service.Limits.AbuseWait = 0 })
	y := n.bystander()
	anna := n.user("anna")
	for _, c := range []struct {
		name   string
		bytes  []byte
		errno  proto.Errno // of the ERROR
		reason string      // of the KICK; "": there is none
	}{
		{"length 0", header(0), proto.BadLength, ""},
		{"length 2^32-1", header(1<<32 - 1), proto.BadLength, ""},
		{"length above the limit", header(64<<10 + 1), proto.BadLength, ""},
		{"a length, then garbage", append(header(1<<31), bytes.Repeat([]byte{0xff}, 100)...), proto.BadLength, ""},
		{"ten bad frames", bytes.Repeat(proto.AppendFrame(nil, []byte("}{")), 10), proto.BadRequest, proto.Abuse},
		{"a thousand bad frames", bytes.Repeat(proto.AppendFrame(nil, []byte("[]")), 1000), proto.BadRequest, proto.Abuse},
	} {
		for _, in := range []bool{false, true} {
			w := n.dial()
			if in {
				w.login(anna)
			}
			w.write(c.bytes)
			kick := w.kicked()
			if f := w.stash[0]; f.op() != proto.ERROR || proto.Errno(f.int("errno")) != c.errno {
				t.Errorf("%s: the first frame is %v, want ERROR with errno %d", c.name, f, c.errno)
			}
			if (kick != nil) != (c.reason != "") || kick != nil && kick.str("reason") != c.reason {
				t.Errorf("%s: got KICK %v, want reason %q (empty: no KICK)", c.name, kick, c.reason)
			}
			y.check(c.name)
		}
	}
}

// A bad frame gets an ERROR, and the connection stays open. It only counts as
// abuse if there are ten in a row.
func TestBadFrames(t *testing.T) {
	t.Parallel()
	n := serve(t)
	y := n.bystander()
	anna := n.user("anna")
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	bad := []string{
		" ", "null", "1", `"x"`, "[]", "{", "{}{}", `{"msgid":18,}`, `{"msgid":18}x`, "{}", `{"rid":1}`,
		`{"msgid":"18"}`, `{"msgid":18.5}`, `{"msgid":null}`, `{"msgid":1e1}`, `{"msgid":18,"msgid":18}`,
		`{"msgid":6,"toid":1,"msg":"` + "\xff\xfe" + `","cid":"c"}`, `{"msgid":6,"toid":1,"msg":"\ud800","cid":"c"}`,
		`{"msgid":6,"toid":1,"msg":"x","cid":"c","msg":"y"}`, "{\"msgid\":6,\"toid\":1,\"msg\":\"\x01\",\"cid\":\"c\"}",
		`{"msgid":6,"toid":9007199254740992,"msg":"x","cid":"c"}`, `{"msgid":6,"toid":1e400,"msg":"x","cid":"c"}`,
		`{"msgid":6,"toid":-1,"msg":"x","cid":"c"}`, `{"msgid":6,"toid":1,"msg":1,"cid":"c"}`, `{"msgid":6,"toid":1,"msg":"x"}`,
		`{"msgid":6,"toid":[1],"msg":"x","cid":"c"}`, `{"msgid":18,"rid":99999999999999999999}`, `{"msgid":18,"rid":1.0e0}`,
		`{"msgid":18,"x":` + deep(17) + `}`, `{"msgid":18,"x":` + deep(20000) + `}`, deep(20000),
		`{"msgid":18,"x":` + strings.Repeat("[", 60000) + `}`, strings.Repeat("{\"a\":", 12000),
		`{"MSGID":18}`, "{\"msgid\":18}\x00", "\xef\xbb\xbf{\"msgid\":18}",
	}
	for _, w := range []*wire{n.dial(), n.dialWeb()} {
		w.login(anna)
		for i, b := range bad {
			w.write(w.pack(nil, []byte(b)))
			if len(b) > 40 {
				b = b[:40]
			}
			f := w.next()
			if f.op() != proto.ERROR || proto.Errno(f.int("errno")) != proto.BadRequest {
				t.Errorf("%q got %v, want ERROR with errno %d", b, f, proto.BadRequest)
			}
			if i%7 == 0 {
				w.barrier() // a good frame
			}
		}
		w.barrier()
		y.check("bad frames")
	}
	// Unknown fields are ignored, whatever their values are.
	w := n.login(anna)
	w.ok(obj{"msgid": proto.PING, "x": []any{obj{"y": 1e300}}, "password": 1})
	// The answer has rid if the request had a valid one.
	w.refused(proto.BadRequest, obj{"msgid": proto.FIND_USER, "userid": "7"})
	w.refused(proto.UnknownOp, obj{"msgid": proto.Op(1 << 30)})
}

// A client with a bad WebSocket handshake or bad frames is disconnected. Other
// clients aren't affected.
func TestBadWebSocket(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) { s.reactor.LoginTimeout = 500 * time.Millisecond })
	y := n.bystander()
	end := func(name string, c *wire) string {
		t.Helper()
		if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(c.br)
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Errorf("%s: the connection is still open after %v, want it closed", name, patience)
		}
		y.check(name)
		return string(b)
	}
	for name, text := range map[string]string{
		"half a handshake":   "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: webso",
		"another path":       "GET /index.html HTTP/1.1\r\nHost: x\r\n\r\n",
		"no upgrade":         "GET /ws HTTP/1.1\r\nHost: x\r\n\r\n",
		"a stranger's page":  "GET /ws HTTP/1.1\r\nHost: " + n.addr + "\r\nOrigin: http://evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
		"an endless header":  "GET /ws HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 20000),
		"GET and garbage":    "GET " + strings.Repeat("\x00\xff", 500),
		"another method":     "POST /ws HTTP/1.1\r\nHost: x\r\n\r\n",
		"the letter G alone": "G",
	} {
		w := n.dial()
		_ = w.conn.SetWriteDeadline(time.Now().Add(patience))
		_, _ = w.conn.Write([]byte(text)) // the server may close the connection during the write
		got := end(name, w)
		if name == "a stranger's page" && !strings.Contains(got, " 403 ") {
			t.Errorf("%s got %q, want status 403", name, got)
		}
		if strings.Contains(got, " 101 ") {
			t.Errorf("%s got %q, want no status 101", name, got)
		}
	}
	for name, frame := range map[string][]byte{
		"binary":           {0x82, 0x82, 1, 2, 3, 4, '{' ^ 1, '}' ^ 2},
		"unmasked":         {0x81, 0x02, '{', '}'},
		"reserved bits":    {0xf1, 0x82, 1, 2, 3, 4, 0, 0},
		"reserved opcode":  {0x83, 0x82, 1, 2, 3, 4, 0, 0},
		"a huge length":    {0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4},
		"a long ping":      append([]byte{0x89, 0xfe, 0x01, 0x00, 0, 0, 0, 0}, make([]byte, 256)...),
		"a torn fragment":  {0x80, 0x82, 1, 2, 3, 4, 0, 0},
		"close, and close": {0x88, 0x80, 0, 0, 0, 0, 0x88, 0x80, 0, 0, 0, 0},
	} {
		w := n.dialWeb()
		w.write(frame)
		end(name, w)
	}
}

// tryLogin logs in. It retries while the answer is errno 9, because another
// login of the same device, whose connection is closed, may still be in
// progress.
func tryLogin(w *wire, id int64, more ...obj) {
	w.tb.Helper()
	for {
		f := w.call(obj{"msgid": proto.LOGIN, "id": id, "password": secret}.with(more...))
		switch proto.Errno(f.int("errno")) {
		case proto.Done:
			return
		case proto.TooFast:
		default:
			w.fatalf("login got %v, want errno %d or %d", f, proto.Done, proto.TooFast)
		}
	}
}

// Connections that are closed in any state leave no sessions or connections
// behind.
func TestConnectionsClosedInAnyState(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) { s.service.Presence.Grace = time.Millisecond })
	y := n.bystander()
	anna := n.user("anna")
	for i := range 60 {
		w := n.dial()
		switch i % 6 {
		case 0:
		case 1:
			w.write(header(100))
		case 2: // closed during the login
			w.send(obj{"msgid": proto.LOGIN, "id": anna, "password": secret})
		case 3: // the same, with more requests after it
			w.send(obj{"msgid": proto.LOGIN, "id": anna, "password": secret, "device": fmt.Sprint(i)},
				with(y.a.id+1000).chat("x"), with(anna).chat("note"), with(anna).sync(), obj{"msgid": proto.LOGOUT})
		case 4:
			tryLogin(w, anna)
			w.send(with(anna).chat("note"), obj{"msgid": proto.PASSWORD, "password": "wrong one", "newpassword": "secret 2"})
		case 5:
			tryLogin(w, anna)
			if err := w.conn.(*net.TCPConn).SetLinger(0); err != nil { // makes close reset the connection
				t.Error(err)
			}
		}
		w.close()
	}
	y.check("closing the connections")
	n.settled(2)
	eventually(t, "the other connections to end", func() bool { return n.gauge("chatd_reactor_connections") == 2 })
	w := n.dial()
	tryLogin(w, anna)
	w.history(with(anna)) // checks that there is no gap
}

// A node holds the frames of a connection that wait for a slow request. If they
// exceed the limit, the client is disconnected for abuse.
func TestTooManyHeldFrames(t *testing.T) {
	t.Parallel()
	st := &slowStore{asked: make(chan struct{}), release: make(chan struct{})}
	n := serve(t, slowed(st))
	y := n.bystander()
	w := n.login(n.user("anna"))
	w.send(obj{"msgid": proto.FIND_USER, "name": "slow"})
	<-st.asked
	chunk := strings.Repeat("x", 30<<10)
	for range 60 { // 1.8 MB in total
		b := proto.AppendFrame(nil, with(w.id).chat(chunk).json())
		if err := w.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.conn.Write(b); err != nil {
			break // the server has closed the connection
		}
	}
	if f := w.kicked(); f == nil || f.str("reason") != proto.Abuse {
		t.Errorf("got %v, want KICK with reason %s", f, proto.Abuse)
	}
	y.check("held too much")
	st.release <- struct{}{}
	n.settled(2)
}
