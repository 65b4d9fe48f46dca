package reactor

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"chatd/proto"
)

// Anybody can open connections, so chatd keeps little for one that isn't logged
// in: a frame that is longer than MaxBeforeLogin is refused before it arrives,
// over TCP and WebSocket, also in fragments. After login it is accepted.
func TestLongFrameBeforeLogin(t *testing.T) {
	const most = 8 << 10
	conns := make(chan *Conn, 8)
	r := serve(t, &funcs{open: func(t Turn, c *Conn) { conns <- c }}, func(cfg *Config) { cfg.MaxBeforeLogin = most })
	header := func(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

	short, long := strings.Repeat("x", 7<<10), strings.Repeat("x", 30<<10)
	c := dial(t, r)
	c.send("%s", chat(short))
	c.wantText(short)
	c.raw(header(most + 1)) // nothing of the body
	c.want(message{Op: proto.ERROR, Errno: proto.BadLength, Text: "*"})
	c.wantEnd()

	for _, frames := range [][]byte{
		{0x81, 0x80 | 126, (most + 1) >> 8, (most + 1) & 255, 0, 0, 0, 0}, // nothing of the payload
		append(masked(false, ws.OpText, make([]byte, most)), masked(true, ws.OpContinuation, []byte{0})...),
	} {
		c = dial(t, r)
		c.upgrade("")
		c.raw(frames)
		c.wantWS(message{Op: proto.ERROR, Errno: proto.BadLength, Text: "*"})
	}

	for range 3 {
		await(t, conns, "a connection")
	}
	c = dial(t, r)
	conn := await(t, conns, "a connection")
	onLoop(t, r, conn.l.idx, func(t Turn) { conn.SetLoggedIn(t, true) })
	c.send("%s", chat(long))
	c.wantText(long)
	// A long frame that isn't complete at the logout ends the connection.
	c.raw(append(header(60<<10), make([]byte, 20<<10)...))
	for arrived := false; !arrived; {
		onLoop(t, r, conn.l.idx, func(t Turn) { arrived = conn.in != nil && len(conn.in.b) > most })
	}
	onLoop(t, r, conn.l.idx, func(t Turn) { conn.SetLoggedIn(t, false) })
	c.raw(make([]byte, 10))
	c.want(message{Op: proto.ERROR, Errno: proto.BadLength, Text: "*"})
	c.wantEnd()
}

// Requests that a connection sends while its login is still in progress are held
// only up to MaxBeforeLogin bytes, because many connections may wait for their
// login at the same time.
func TestHeldBeforeLogin(t *testing.T) {
	h := newHolder()
	h.on.Store(true)
	r := serve(t, h, func(cfg *Config) { cfg.MaxBeforeLogin = 8 << 10 })
	c := dial(t, r)
	await(t, h.conn, "the connection")
	part := chat(strings.Repeat("x", 1000))
	for range 8 << 10 / (len(part) + proto.HeaderSize) {
		c.send("%s", part)
	}
	c.ping()
	if n := r.held.Load(); n == 0 || n > 8<<10 {
		t.Errorf("%d bytes are held, want up to 8 KiB", n)
	}
	c.send("%s", part)
	c.want(message{Op: proto.KICK, Reason: proto.Abuse, Text: "*"})
	c.wantEnd()

	c = dial(t, r)
	conn := await(t, h.conn, "the connection")
	onLoop(t, r, conn.l.idx, func(t Turn) { conn.SetLoggedIn(t, true) })
	for range 20 {
		c.send("%s", part)
	}
	c.ping()
}

// The tunnel of this process, and nobody else, may report the client's address
// from an address that isn't a trusted proxy.
func TestTunnelKey(t *testing.T) {
	addrs := make(chan string, 1)
	r := serve(t, &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		addrs <- c.Source(t).String()
		return true
	}}, func(cfg *Config) { cfg.TunnelKey = "the key" })
	for _, tc := range []struct{ headers, want string }{
		{"X-Forwarded-For: 192.0.2.1\r\nChatd-Tunnel: the key\r\n", "192.0.2.1"},
		{"Chatd-Tunnel: the key\r\nX-Forwarded-For: 6.6.6.6, 2001:db8:0:1:2::3\r\n", "2001:db8:0:1::"},
		{"X-Forwarded-For: 192.0.2.1\r\nChatd-Tunnel: another\r\n", "127.0.0.1"},
		{"X-Forwarded-For: 192.0.2.1\r\nChatd-Tunnel:\r\n", "127.0.0.1"},
		{"X-Forwarded-For: 192.0.2.1\r\n", "127.0.0.1"},
	} {
		c := dial(t, r)
		c.upgrade(tc.headers)
		c.raw(text(chat("who")))
		if got := await(t, addrs, "the address"); got != tc.want {
			t.Errorf("with headers %q: limits count %s, want %s", tc.headers, got, tc.want)
		}
	}
	c := dial(t, serve(t, &funcs{}, func(cfg *Config) { cfg.ConnsPerAddr = 1 }))
	c.upgrade("X-Forwarded-For: 192.0.2.1\r\nChatd-Tunnel:\r\n") // without a key, an empty header must not match
}
