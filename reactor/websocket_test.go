package reactor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"chatd/proto"
)

const handshakeText = "GET /ws HTTP/1.1\r\nHost: chat.example:6000\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// upgrade upgrades the connection to a WebSocket.
func (c *client) upgrade(headers string) {
	c.tb.Helper()
	c.raw([]byte(handshakeText + headers + "\r\n"))
	if code, _ := c.http(); code != http.StatusSwitchingProtocols {
		c.tb.Fatalf("status of the handshake = %d, want 101", code)
	}
}

// http reads an HTTP answer, ignores its body, and returns the status and headers.
func (c *client) http() (int, http.Header) {
	c.tb.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.tb.Fatalf("read the HTTP answer: %v", err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			c.tb.Fatal(err)
		}
	}
	return resp.StatusCode, resp.Header
}

// masked returns a client's WebSocket frame.
func masked(fin bool, op ws.OpCode, payload []byte) []byte {
	f := ws.MaskFrame(ws.NewFrame(op, fin, bytes.Clone(payload)))
	var b bytes.Buffer
	if err := ws.WriteFrame(&b, f); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func text(body string) []byte { return masked(true, ws.OpText, []byte(body)) }

// frameWS reads the server's next frame.
func (c *client) frameWS() (ws.OpCode, []byte, bool) {
	c.tb.Helper()
	h, err := ws.ReadHeader(c.r)
	if errors.Is(err, io.EOF) {
		return 0, nil, false
	}
	if err != nil {
		c.tb.Fatalf("read a frame header: %v", err)
	}
	if h.Masked || !h.Fin {
		c.tb.Fatalf("frame header %+v, want it final and not masked", h)
	}
	p := make([]byte, h.Length)
	if _, err := io.ReadFull(c.r, p); err != nil {
		c.tb.Fatalf("read a frame: %v", err)
	}
	return h.OpCode, p, true
}

// wantWS reads the next WebSocket frame, which must be the message m. If m.Text is
// "*", any text is right.
func (c *client) wantWS(m message) {
	c.tb.Helper()
	op, p, ok := c.frameWS()
	if !ok || op != ws.OpText {
		c.tb.Fatalf("next frame: opcode %v, %q (end of stream: %t); want a text frame", op, p, !ok)
	}
	var got message
	if err := json.Unmarshal(p, &got); err != nil {
		c.tb.Fatalf("receive %q: %v", p, err)
	}
	if m.Text == "*" {
		got.Text = "*"
	}
	if got != m {
		c.tb.Fatalf("next frame: got %+v, want %+v", got, m)
	}
}

// wantClose reads a close frame with this code, and the end of the stream.
func (c *client) wantClose(code ws.StatusCode) {
	c.tb.Helper()
	op, p, ok := c.frameWS()
	if !ok || op != ws.OpClose {
		c.tb.Fatalf("next frame: opcode %v, %q (end of stream: %t); want a close frame", op, p, !ok)
	}
	if got, _ := ws.ParseCloseFrameData(p); got != code {
		c.tb.Fatalf("close code = %d, want %d", got, code)
	}
	if op, p, ok := c.frameWS(); ok {
		c.tb.Fatalf("after the close frame: opcode %v, %q; want the end of the stream", op, p)
	}
}

func dialWS(tb testing.TB, r *Reactor) *client {
	tb.Helper()
	c := dial(tb, r)
	c.upgrade("")
	return c
}

// Frames work over WebSocket: with headers of every length, in one read with the
// handshake, and byte by byte.
func TestWebSocket(t *testing.T) {
	r := serve(t, &funcs{})
	bodies := []string{"short", strings.Repeat("m", 300), strings.Repeat("l", 20_000)}
	t.Run("frames", func(t *testing.T) {
		c := dialWS(t, r)
		for _, b := range bodies {
			c.raw(text(chat(b)))
			c.wantWS(message{Op: proto.ERROR, Text: b})
		}
		c.raw(text(filled("limit", proto.MaxRequest)))
		c.wantWS(message{Op: proto.ERROR, Text: "limit"})
	})
	t.Run("merged", func(t *testing.T) {
		c := dial(t, r)
		all := []byte(handshakeText + "\r\n")
		for i := range 500 {
			all = append(all, text(chat(fmt.Sprint(i)))...)
		}
		c.raw(all)
		if code, _ := c.http(); code != 101 {
			t.Fatalf("status of the handshake = %d, want 101", code)
		}
		for i := range 500 {
			c.wantWS(message{Op: proto.ERROR, Text: fmt.Sprint(i)})
		}
	})
	t.Run("byte by byte", func(t *testing.T) {
		c := dial(t, r)
		all := append([]byte(handshakeText+"\r\n"), text(chat("bytes"))...)
		all = append(all, text(chat(strings.Repeat("b", 200)))...)
		for _, b := range all {
			c.raw([]byte{b})
		}
		if code, _ := c.http(); code != 101 {
			t.Fatalf("status of the handshake = %d, want 101", code)
		}
		c.wantWS(message{Op: proto.ERROR, Text: "bytes"})
		c.wantWS(message{Op: proto.ERROR, Text: strings.Repeat("b", 200)})
	})
	t.Run("large answers", func(t *testing.T) {
		c := dialWS(t, serve(t, &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
			c.WriteResponse(t, &proto.Response{Op: proto.ERROR, ErrMsg: strings.Repeat("a", 100_000)})
			return true
		}}))
		c.raw(text(chat("x")))
		c.wantWS(message{Op: proto.ERROR, Text: strings.Repeat("a", 100_000)})
	})
}

// Fragments are joined to one message, and pings between them are answered. An
// unsolicited pong is ignored.
func TestWebSocketFragments(t *testing.T) {
	c := dialWS(t, serve(t, &funcs{}))
	body := []byte(chat("你好 in pieces"))
	for round := range 2 {
		for i, b := range body {
			op := ws.OpContinuation
			if i == 0 {
				op = ws.OpText
			}
			c.raw(masked(false, op, []byte{b}))
			if i%10 == 5 {
				ping := []byte(fmt.Sprint("ping ", round, i))
				c.raw(masked(true, ws.OpPing, ping))
				if op, p, _ := c.frameWS(); op != ws.OpPong || !bytes.Equal(p, ping) {
					t.Fatalf("got opcode %v, %q; want a pong with %q", op, p, ping)
				}
			}
		}
		c.raw(masked(true, ws.OpContinuation, nil))
		c.wantWS(message{Op: proto.ERROR, Text: "你好 in pieces"})
	}
	c.raw(masked(true, ws.OpPong, []byte("unsolicited")))
	c.raw(text(`{"msgid":18,"rid":4}`))
	c.wantWS(message{Op: proto.PONG, RID: 4})
}

// A violation of the WebSocket protocol ends the connection with the close code that
// RFC 6455 requires. Before that, a violation of the chat protocol is answered as over
// TCP.
func TestWebSocketErrors(t *testing.T) {
	r := serve(t, &funcs{})
	raw := func(b0 byte, n int) []byte { return append([]byte{b0, 0x80 | byte(n), 0, 0, 0, 0}, make([]byte, n)...) }
	tooLong := append([]byte{0x81, 0xff}, 0, 0, 0, 0, 0, 1, 0, 1, 9, 9, 9, 9) // 65,537 bytes; none follow
	huge := append([]byte{0x81, 0xff}, 0x80, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9)
	half := masked(false, ws.OpText, make([]byte, 40_000))
	for _, tc := range []struct {
		name  string
		bytes []byte
		chat  bool // want ERROR with errno 8 first
		code  ws.StatusCode
	}{
		{"rsv1", raw(0xc1, 5), false, 1002},
		{"rsv3", raw(0x91, 5), false, 1002},
		{"reserved op", raw(0x83, 5), false, 1002},
		{"unmasked", []byte{0x81, 5, 'h', 'e', 'l', 'l', 'o'}, false, 1002},
		{"control too long", append([]byte{0x89, 0xfe, 0, 126, 0, 0, 0, 0}, make([]byte, 126)...), false, 1002},
		{"control in parts", raw(0x09, 5), false, 1002},
		{"stray continuation", raw(0x80, 5), false, 1002},
		{"text within text", append(masked(false, ws.OpText, []byte("a")), text("b")...), false, 1002},
		{"length with the top bit", huge, false, 1002},
		{"binary", masked(true, ws.OpBinary, []byte("{}")), false, 1003},
		{"too long", tooLong, true, 1009},
		{"too long in parts", append(half, masked(true, ws.OpContinuation, make([]byte, 40_000))...), true, 1009},
		{"empty", text(""), true, 1008},
		{"empty in parts", append(masked(false, ws.OpText, nil), masked(true, ws.OpContinuation, nil)...), true, 1008},
		{"close", masked(true, ws.OpClose, ws.NewCloseFrameBody(1000, "bye")), false, 1000},
		{"close going away", masked(true, ws.OpClose, ws.NewCloseFrameBody(1001, "")), false, 1001},
		{"close with a private code", masked(true, ws.OpClose, ws.NewCloseFrameBody(4711, "")), false, 4711},
		{"close without code", masked(true, ws.OpClose, nil), false, 1000},
		{"close with half a code", masked(true, ws.OpClose, []byte{3}), false, 1002},
		{"close with the reserved code 1005", masked(true, ws.OpClose, ws.NewCloseFrameBody(1005, "")), false, 1002},
		{"close with bad utf-8", masked(true, ws.OpClose, ws.NewCloseFrameBody(1000, "\xff")), false, 1007},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := dialWS(t, r)
			c.raw(append(text(chat("before")), tc.bytes...))
			c.wantWS(message{Op: proto.ERROR, Text: "before"})
			if tc.chat {
				c.wantWS(message{Op: proto.ERROR, Errno: proto.BadLength, Text: "*"})
			}
			c.wantClose(tc.code)
		})
	}
}

// Over WebSocket, KICK is a text message followed by a close frame.
func TestWebSocketKick(t *testing.T) {
	c := dialWS(t, serve(t, &funcs{}))
	for range 10 {
		c.raw(text("{"))
		c.wantWS(message{Op: proto.ERROR, Errno: proto.BadRequest, Text: "*"})
	}
	c.wantWS(message{Op: proto.KICK, Reason: proto.Abuse, Text: "*"})
	c.wantClose(1000)
}

// With WebPort, a browser that opens the chat port is redirected to that port of the
// host in its Host header. There is no redirect if the header is missing or unsafe.
func TestHTTPToWebPort(t *testing.T) {
	r := serve(t, &funcs{}, func(cfg *Config) { cfg.WebPort = 8080 })
	for host, want := range map[string]string{
		"Host: chat.example:6000\r\n":      "http://chat.example:8080/",
		"X: y\r\nhost:  192.0.2.7\r\n":     "http://192.0.2.7:8080/",
		"Host: [::1]:6000\r\n":             "http://[::1]:8080/",
		"":                                 "",
		"Host:\r\n":                        "",
		"Host: a/b\r\n":                    "",
		"Host: a@b\r\n":                    "",
		"Host: a\tb\r\n":                   "",
		"Referer: http://evil.example\r\n": "",
	} {
		c := dial(t, r)
		c.raw([]byte("GET /any HTTP/1.1\r\n" + host + "\r\n"))
		code, header := c.http()
		if got := header.Get("Location"); got != want || (code == 302) != (want != "") {
			t.Errorf("request with %q: status %d, Location %q; want Location %q", host, code, got, want)
		}
	}
}

// HTTP requests get an HTTP answer: an upgrade if the origin is allowed, a redirect to
// the web client if there is one, or an error.
func TestHTTP(t *testing.T) {
	web := serve(t, &funcs{}, func(cfg *Config) {
		cfg.WebURL = "https://chat.example/"
		cfg.Origins = []string{"https://friend.example"}
	})
	plain := serve(t, &funcs{})
	all := serve(t, &funcs{}, func(cfg *Config) { cfg.Origins = []string{"*"} })
	long := "GET /ws HTTP/1.1\r\nX: " + strings.Repeat("x", 9000)
	for _, tc := range []struct {
		name    string
		r       *Reactor
		request string
		code    int
	}{
		{"root", web, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 302},
		{"other path", web, "GET /wsx?y HTTP/1.1\r\nHost: a\r\n\r\n", 302},
		{"no web client", plain, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 404},
		{"no upgrade", plain, "GET /ws HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"malformed", plain, "GET \r\n\r\n", 400},
		{"HTTP/1.0", plain, "GET /ws HTTP/1.0\r\nHost: a\r\n\r\n", 505},
		{"HTTP/1.0 at another path", web, "GET / HTTP/1.0\r\n\r\n", 302},
		{"HTTP/1.0 without a web client", plain, "GET / HTTP/1.0\r\n\r\n", 404},
		{"HTTP/2", plain, "POST / HTTP/2.0\r\n\r\n", 505},
		{"HEAD", web, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 302},
		{"HEAD without a web client", plain, "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n", 404},
		{"HEAD with HTTP/1.0", web, "HEAD / HTTP/1.0\r\n\r\n", 302},
		{"HEAD of the WebSocket", plain, "HEAD /ws HTTP/1.1\r\nHost: a\r\n\r\n", 426},
		{"OPTIONS", plain, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 204},
		{"OPTIONS of the WebSocket", plain, "OPTIONS /ws HTTP/1.1\r\nHost: a\r\n\r\n", 204},
		{"POST", plain, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 405},
		{"PUT", web, "PUT /ws HTTP/1.1\r\nHost: a\r\n\r\n", 405},
		{"PATCH", plain, "PATCH / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
		{"DELETE", plain, "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
		{"CONNECT", plain, "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405},
		{"TRACE", plain, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
		{"malformed HEAD", plain, "HEAD \r\n\r\n", 400},
		{"too long", plain, long, 431},
		{"query", plain, strings.Replace(handshakeText, "/ws", "/ws?a=b", 1) + "\r\n", 101},
		{"same host", plain, handshakeText + "Origin: http://chat.example\r\n\r\n", 101},
		{"same host in other case with another port", plain, handshakeText + "Origin: https://Chat.Example:8443\r\n\r\n", 101},
		{"other host", plain, handshakeText + "Origin: https://evil.example\r\n\r\n", 403},
		{"suffix", plain, handshakeText + "Origin: https://chat.example.evil.example\r\n\r\n", 403},
		{"null", plain, handshakeText + "Origin: null\r\n\r\n", 403},
		{"empty", plain, handshakeText + "Origin: \r\n\r\n", 403},
		{"other host first", plain, handshakeText + "Origin: https://evil.example\r\nOrigin: https://chat.example\r\n\r\n", 403},
		{"other host second", plain, handshakeText + "Origin: https://chat.example\r\norigin: https://evil.example\r\n\r\n", 403},
		{"prefix", plain, handshakeText + "Origin: https://evil-chat.example\r\n\r\n", 403},
		{"host as user name", plain, handshakeText + "Origin: https://chat.example@evil.example\r\n\r\n", 403},
		{"allowed origin", web, handshakeText + "Origin: https://friend.example\r\n\r\n", 101},
		{"allowed origin without TLS", web, handshakeText + "Origin: http://friend.example\r\n\r\n", 403},
		{"all origins allowed", all, handshakeText + "Origin: https://evil.example\r\n\r\n", 101},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := dial(t, tc.r)
			c.raw([]byte(tc.request))
			code, header := c.http()
			if code != tc.code {
				t.Fatalf("status = %d, want %d", code, tc.code)
			}
			if code == 405 && header.Get("Allow") == "" {
				t.Error("the answer to another method has no Allow header, want one")
			}
			if code == 302 && header.Get("Location") != "https://chat.example/" {
				t.Errorf("Location = %q, want https://chat.example/", header.Get("Location"))
			}
			if code != 101 {
				if _, err := c.r.ReadByte(); err != io.EOF {
					t.Errorf("read after the answer: error %v, want the end of the stream", err)
				}
			}
		})
	}
}

// Bytes that start like an HTTP request but aren't one are read as a bad length.
func TestAlmostHTTP(t *testing.T) {
	r := serve(t, &funcs{})
	for _, s := range []string{"GETX", "GOOD", "G\x00\x00\x00", "HEAP", "POSE", "Opal", "\x54\x00\x00\x00"} {
		for _, whole := range []bool{true, false} {
			c := dial(t, r)
			if whole {
				c.raw([]byte(s))
			} else {
				for i := range s {
					c.raw([]byte{s[i]})
				}
			}
			c.want(message{Op: proto.ERROR, Errno: proto.BadLength, Text: "*"})
			c.wantEnd()
		}
	}
}

// The client's address is the last one in X-Forwarded-For that isn't a trusted proxy.
// The header is ignored if the connection comes from an untrusted address. Limits per
// address apply to the client's address.
func TestForwarded(t *testing.T) {
	addr := make(chan netip.Addr, 1)
	h := &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		addr <- c.Addr(t)
		return true
	}}
	trusting := serve(t, h, func(cfg *Config) {
		cfg.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
		cfg.ConnsPerAddr = 1
	})
	for _, tc := range []struct {
		r       *Reactor
		headers string
		want    string
	}{
		{trusting, "", "127.0.0.1"},
		{trusting, "X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"},
		{trusting, "X-Forwarded-For: 6.6.6.6, 192.0.2.2, 10.1.1.1\r\n", "192.0.2.2"},
		{trusting, "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 2001:db8::1\r\n", "2001:db8::1"},
		{trusting, "X-Forwarded-For: 192.0.2.3:4711\r\n", "192.0.2.3"},
		{trusting, "X-Forwarded-For: 192.0.2.4, nonsense\r\n", "127.0.0.1"},
		{serve(t, h), "X-Forwarded-For: 192.0.2.1\r\n", "127.0.0.1"},
	} {
		c := dial(t, tc.r)
		c.upgrade(tc.headers)
		c.raw(text(chat("who")))
		if got := await(t, addr, "the address"); got.String() != tc.want {
			t.Errorf("with headers %q: client address %s, want %s", tc.headers, got, tc.want)
		}
	}
	// 192.0.2.1 is still connected, and may have only one connection.
	c := dial(t, trusting)
	c.raw([]byte(handshakeText + "X-Forwarded-For: 192.0.2.1\r\n\r\n"))
	if code, _ := c.http(); code != http.StatusTooManyRequests {
		t.Errorf("status of a second connection = %d, want 429", code)
	}
}
