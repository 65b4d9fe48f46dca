package reactor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/proto"
)

// patience is how long a test waits for an event before it fails. It is much longer
// than any event takes.
const patience = 60 * time.Second

// funcs is a Handler made of functions. A nil function does nothing, except that a
// nil request answers each request with an ERROR frame that has its msg as errmsg.
// Tests call that the echo.
type funcs struct {
	open    func(t Turn, c *Conn)
	request func(t Turn, c *Conn, r *proto.Request) bool
	turnEnd func(t Turn)
	abused  func(t Turn, c *Conn)
	closed  func(t Turn, c *Conn)
}

func (f *funcs) Open(t Turn, c *Conn) {
	if f.open != nil {
		f.open(t, c)
	}
}

func (f *funcs) Request(t Turn, c *Conn, r *proto.Request) bool {
	if f.request != nil {
		return f.request(t, c, r)
	}
	echo(t, c, r)
	return true
}

func (f *funcs) TurnEnd(t Turn) {
	if f.turnEnd != nil {
		f.turnEnd(t)
	}
}

func (f *funcs) KickedForAbuse(t Turn, c *Conn) {
	if f.abused != nil {
		f.abused(t, c)
	}
}

func (f *funcs) Closed(t Turn, c *Conn) {
	if f.closed != nil {
		f.closed(t, c)
	}
}

func echo(t Turn, c *Conn, r *proto.Request) { say(t, c, string(r.Msg)) }

func say(t Turn, c *Conn, text string) { c.Write(t, sayBody(text)) }

func sayBody(text string) []byte {
	return proto.AppendResponse(nil, &proto.Response{Op: proto.ERROR, ErrMsg: text})
}

// testLog returns a logger whose output is shown if the test fails.
func testLog(tb testing.TB) *slog.Logger {
	var mu sync.Mutex
	var text strings.Builder
	tb.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		if tb.Failed() && text.Len() > 0 {
			tb.Log("log of the reactor:\n" + text.String())
		}
	})
	return slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return text.Write(p)
	}), nil))
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// testConfig returns settings for a reactor with two loops on loopback.
func testConfig(tb testing.TB) Config {
	cfg := DefaultConfig()
	cfg.LiftLimits() // tests of limits set them
	cfg.AbuseAfter = 0
	cfg.MaxBeforeLogin = 0
	cfg.LoginTimeout, cfg.IdleTimeout = time.Hour, time.Hour // tests of timeouts set them
	cfg.Addr = "127.0.0.1:0"
	cfg.Loops = 2
	cfg.Logger = testLog(tb)
	cfg.Set = metrics.NewSet()
	return cfg
}

// serve starts a reactor that runs until the test ends.
func serve(tb testing.TB, h Handler, change ...func(cfg *Config)) *Reactor {
	tb.Helper()
	cfg := testConfig(tb)
	for _, f := range change {
		f(&cfg)
	}
	r, err := New(cfg, h)
	if err != nil {
		tb.Fatal(err)
	}
	if err := r.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { stop(tb, r) })
	return r
}

func stop(tb testing.TB, r *Reactor) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		tb.Errorf("stop the reactor: %v", err)
	}
}

// client is a client that sends and receives frames on a TCP connection.
type client struct {
	tb testing.TB
	net.Conn
	r *bufio.Reader
}

func dial(tb testing.TB, r *Reactor) *client {
	tb.Helper()
	nc, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		tb.Fatal(err)
	}
	return &client{tb: tb, Conn: nc, r: bufio.NewReader(nc)}
}

// raw sends bytes unchanged.
func (c *client) raw(p []byte) {
	c.tb.Helper()
	if _, err := c.Write(p); err != nil {
		c.tb.Fatalf("send: %v", err)
	}
}

// send sends a body as one frame.
func (c *client) send(format string, args ...any) {
	c.tb.Helper()
	c.raw(frame(fmt.Sprintf(format, args...)))
}

func frame(body string) []byte { return proto.AppendFrame(nil, []byte(body)) }

// chat returns the body of a request that the echo answers with text.
func chat(text string) string {
	b, err := json.Marshal(map[string]any{"msgid": 6, "toid": 1, "cid": "c", "msg": text})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// message has the fields of a server's frame that tests check.
type message struct {
	Op     proto.Op    `json:"msgid"`
	RID    int64       `json:"rid"`
	Errno  proto.Errno `json:"errno"`
	Text   string      `json:"errmsg"`
	Reason string      `json:"reason"`
	Retry  int64       `json:"retry_after_ms"`
}

// next reads the next frame. ok is false at the end of the stream.
func (c *client) next() (m message, ok bool) {
	c.tb.Helper()
	body, err := proto.ReadFrame(c.r, nil)
	if errors.Is(err, io.EOF) {
		return m, false
	}
	if err != nil {
		c.tb.Fatalf("receive: %v", err)
	}
	if err := json.Unmarshal(body, &m); err != nil {
		c.tb.Fatalf("receive %q: %v", body, err)
	}
	return m, true
}

// want reads the next frame, which must be m. If m.Text is "*", any text is right.
func (c *client) want(m message) {
	c.tb.Helper()
	got, ok := c.next()
	if !ok {
		c.tb.Fatalf("the stream ended, want the frame %+v", m)
	}
	if m.Text == "*" {
		got.Text = "*"
	}
	if got != m {
		c.tb.Fatalf("next frame: got %+v, want %+v", got, m)
	}
}

// wantText reads the next frame, which must be the echo of text.
func (c *client) wantText(text string) {
	c.tb.Helper()
	c.want(message{Op: proto.ERROR, Text: text})
}

// wantEnd reads the end of the stream, which must not be a reset.
func (c *client) wantEnd() {
	c.tb.Helper()
	if m, ok := c.next(); ok {
		c.tb.Fatalf("got the frame %+v, want the end of the stream", m)
	}
}

// ping sends PING and waits for PONG. Then the server has read everything that was
// sent before.
func (c *client) ping() {
	c.tb.Helper()
	c.send(`{"msgid":18,"rid":99}`)
	c.want(message{Op: proto.PONG, RID: 99})
}

// await waits for a value on ch. what describes it if the test fails.
func await[T any](tb testing.TB, ch <-chan T, what string) T {
	tb.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		tb.Fatalf("waited %s for %s, which didn't happen", patience, what)
		panic("unreachable")
	}
}

// onLoop runs fn on a loop and waits for it.
func onLoop(tb testing.TB, r *Reactor, i int, fn func(t Turn)) {
	tb.Helper()
	done := make(chan struct{})
	if err := r.Post(i, func(t Turn) { defer close(done); fn(t) }); err != nil {
		tb.Fatal(err)
	}
	await(tb, done, "a turn")
}

// counter returns the value of a counter.
func (r *Reactor) counter(name string) uint64 {
	return r.cfg.Set.GetOrCreateCounter("chatd_reactor_" + name).Get()
}

var noTime time.Time
