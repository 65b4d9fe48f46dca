package reactor

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/gobwas/ws"
	"github.com/panjf2000/gnet/v2"

	"chatd/internal/limit"
	"chatd/proto"
)

// dryConn is a gnet connection without a socket. It records the output.
type dryConn struct {
	gnet.Conn
	out bytes.Buffer
}

func (d *dryConn) Write(p []byte) (int, error) { return d.out.Write(p) }
func (d *dryConn) OutboundBuffered() int       { return 0 }
func (d *dryConn) Fd() int                     { return -1 }

// dryRun feeds data to a connection of a loop that isn't running. The sizes of the
// pieces are in cuts. It returns the output, and the requests that the handler got.
func dryRun(tb testing.TB, data, cuts []byte) (out []byte, requests []string) {
	h := &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		requests = append(requests, fmt.Sprintf("%+v", *r))
		echo(t, c, r)
		return true
	}}
	cfg := DefaultConfig()
	cfg.LiftLimits()
	cfg.AbuseAfter = 0
	cfg.Loops, cfg.Now = 1, time.Now
	count := newCounters(metrics.NewSet())
	r := &Reactor{cfg: cfg, h: h, log: slog.New(slog.DiscardHandler), count: count, limits: newAddrLimits(0, limit.Rate{}, count.addrForgotten)}
	r.origins.Store(&cfg.Origins)
	l := newLoop(r, 0)
	r.loops = []*loop{l}
	r.workers, r.ticker = &workers{r: r}, newTicker(r.loops)
	gc := &dryConn{}
	c := newConn(l, addrForTest, netip.Addr{})
	turn := func(fn func()) {
		l.beginTurn(Turn{l})
		fn()
		l.endTurn(Turn{l})
	}
	l.now = time.Now()
	turn(func() { c.begin(Turn{l}, gc) })
	for i := 0; len(data) > 0; i++ {
		n := len(data)
		if len(cuts) > 0 {
			n = min(n, 1+int(cuts[i%len(cuts)]))
		}
		// Overwrite the bytes afterwards: feed must not keep them.
		portion := bytes.Clone(data[:n])
		turn(func() { c.feed(Turn{l}, portion) })
		for j := range portion {
			portion[j] = 0xee
		}
		data = data[n:]
		if have := inMemory(c); have > 3*proto.MaxRequest+handshakeMax {
			tb.Fatalf("the connection keeps %d bytes, want at most %d", have, 3*proto.MaxRequest+handshakeMax)
		}
	}
	return gc.out.Bytes(), requests
}

// inMemory returns the size of a connection's buffers.
func inMemory(c *Conn) (n int) {
	for _, b := range []*buffer{c.in, c.message, c.held, c.out} {
		if b != nil {
			n += cap(b.b)
		}
	}
	return n
}

// same feeds data whole and in pieces, and checks that the output and the requests
// are the same.
func same(t *testing.T, data, cuts []byte) {
	t.Helper()
	out1, requests1 := dryRun(t, data, nil)
	out2, requests2 := dryRun(t, data, cuts)
	if !bytes.Equal(out1, out2) {
		t.Errorf("fed in pieces of %v: output\n%q\nwant that of the whole data\n%q", cuts, out2, out1)
	}
	if a, b := strings.Join(requests1, "\n"), strings.Join(requests2, "\n"); a != b {
		t.Errorf("fed in pieces of %v: requests\n%s\nwant those of the whole data\n%s", cuts, b, a)
	}
}

// Arbitrary bytes never cause a panic, and how they are split doesn't change the
// requests and answers.
func FuzzFrames(f *testing.F) {
	f.Add(frame(chat("hello")), []byte{0})
	f.Add(append(frame(chat("a")), frame(chat("b"))...), []byte{3, 200})
	f.Add(append(frame("{"), frame(`{"msgid":18,"rid":1}`)...), []byte{1})
	f.Add([]byte{0, 0, 0, 0}, []byte{0})
	f.Add([]byte{0, 1, 0, 1, 5}, []byte{1})
	f.Add(frame(filled("large", proto.MaxRequest)), []byte{250})
	f.Add(bytes.Repeat(frame("x"), 12), []byte{2})
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), []byte{0})
	f.Add([]byte("GETA"), []byte{0})
	f.Fuzz(func(t *testing.T, data, cuts []byte) { same(t, data, cuts) })
}

// The same holds for the bytes that follow a WebSocket handshake, and the output is
// well-formed.
func FuzzWebSocket(f *testing.F) {
	hello := []byte(handshakeText + "\r\n")
	f.Add(text(chat("hello")), []byte{0})
	f.Add(append(masked(false, ws.OpText, []byte(`{"msgid"`)), masked(true, ws.OpContinuation, []byte(`:18}`))...), []byte{1, 5})
	f.Add(append(masked(true, ws.OpPing, []byte("p")), text(`{"msgid":18}`)...), []byte{2})
	f.Add(masked(true, ws.OpClose, ws.NewCloseFrameBody(1001, "bye")), []byte{0})
	f.Add(masked(true, ws.OpBinary, []byte("b")), []byte{0})
	f.Add([]byte{0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0}, []byte{7})
	f.Add(text(strings.Repeat("{", 70000)[:65536]), []byte{255})
	f.Fuzz(func(t *testing.T, data, cuts []byte) {
		data = append(bytes.Clone(hello), data...)
		same(t, data, cuts)
		out, _ := dryRun(t, data, nil)
		_, out, ok := bytes.Cut(out, []byte("\r\n\r\n"))
		if !ok {
			t.Fatalf("output %q, want the answer to the handshake first", out)
		}
		wellFormed(t, out)
	})
}

// getRequest starts the requests of FuzzHandshake.
const getRequest = "GET "

// Go's HTTP client can parse every answer to an HTTP request. If the answer is an
// upgrade, Go's HTTP server also reads the request as a GET of the WebSocket path,
// from an allowed origin.
func FuzzHandshake(f *testing.F) {
	rest := strings.TrimPrefix(handshakeText, getRequest)
	for _, headers := range []string{"", "Origin: https://chat.example\r\n", "Origin: https://evil.example\r\n", "Origin: null\r\n",
		"origin: https://chat.example.evil.example\r\nX-Forwarded-For: 192.0.2.9, , [::1]:7\r\n",
		"Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate; a=\"b\\\"\"\r\n"} {
		f.Add([]byte(rest+headers+"\r\n"), []byte{0})
	}
	f.Add(append([]byte(rest+"\r\n"), text(chat("hello"))...), []byte{200, 3})
	f.Add([]byte("/ws?token=a%zz HTTP/1.1\r\nHost: a\r\n\r\n"), []byte{5})
	f.Add([]byte("/elsewhere HTTP/1.0\r\n\r\nGET /ws HTTP/1.1\r\n\r\n"), []byte{9})
	f.Add([]byte("/ws HTTP/1.1\r\nHost: a\r\nHost: b\r\nUpgrade\r\n folded\r\n\x00: \xff\r\n\r\n"), []byte{1})
	f.Add([]byte("/ws HTTP/1.1\r\nA: "+strings.Repeat("x", handshakeMax)), []byte{250})
	f.Fuzz(func(t *testing.T, data, cuts []byte) {
		data = append([]byte(getRequest), data...)
		same(t, data, cuts)
		out, requests := dryRun(t, data, nil)
		if len(out) == 0 {
			if len(requests) > 0 {
				t.Fatalf("requests %q were handled without a handshake, want none", requests)
			}
			return
		}
		in := bufio.NewReader(bytes.NewReader(out))
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("parse answer %q: %v", out, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("parse answer %q: %v", out, err)
		}
		if resp.StatusCode != http.StatusSwitchingProtocols {
			if after, err := io.ReadAll(in); err != nil || len(after) > 0 || len(requests) > 0 {
				t.Fatalf("after the refusal %d %q: output %q, requests %q; want none", resp.StatusCode, body, after, requests)
			}
			return
		}
		_, frames, _ := bytes.Cut(out, []byte("\r\n\r\n"))
		wellFormed(t, frames)
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return // Go's parser is stricter about headers that don't matter here
		}
		if path, _, _ := strings.Cut(r.RequestURI, "?"); path != handshakePath || r.Method != http.MethodGet {
			t.Fatalf("%s %s was upgraded, want only GET %s to be", r.Method, r.RequestURI, handshakePath)
		}
		for _, origin := range r.Header["Origin"] {
			if !allowedOrigin(origin, r.Host, nil) {
				t.Fatalf("a request from origin %q to host %q was upgraded, want a refusal", origin, r.Host)
			}
		}
	})
}

// wellFormed checks that a server's frames are complete and unmasked, and that none
// follows a close frame.
func wellFormed(t *testing.T, out []byte) {
	t.Helper()
	in := bytes.NewReader(out)
	for in.Len() > 0 {
		h, err := ws.ReadHeader(in)
		if err != nil || ws.CheckHeader(h, ws.StateClientSide) != nil || h.Length > int64(in.Len()) {
			t.Fatalf("output %q: frame header %+v (error %v), want a valid one", out, h, err)
		}
		if _, err := in.Seek(h.Length, 1); err != nil {
			t.Fatal(err)
		}
		if h.OpCode == ws.OpClose && in.Len() > 0 {
			t.Fatalf("output %q: %d bytes after a close frame, want none", out, in.Len())
		}
	}
}

// A client library can read the headers of the server's frames.
func TestAppendHeader(t *testing.T) {
	for _, n := range []int{0, 125, 126, 65535, 65536, proto.MaxResponse} {
		h, err := ws.ReadHeader(bytes.NewReader(appendHeader(nil, ws.OpText, n)))
		if err != nil || h.Length != int64(n) || !h.Fin || h.Masked || h.OpCode != ws.OpText {
			t.Errorf("header of a text of %d bytes = %+v (error %v), want that length, final and not masked", n, h, err)
		}
		if h := appendHeader(nil, ws.OpPong, n); binary.BigEndian.Uint16(h)>>8 != 0x8a {
			t.Errorf("header of a pong of %d bytes = %x, want 8a first", n, h)
		}
	}
}

var addrForTest = netip.MustParseAddr("192.0.2.1")
