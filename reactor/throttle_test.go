package reactor

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"chatd/proto"
)

// clock is a test clock. Only sleep moves it.
type clock struct{ ns atomic.Int64 }

func (k *clock) now() time.Time        { return time.Unix(1_700_000_000, k.ns.Load()) }
func (k *clock) sleep(d time.Duration) { k.ns.Add(int64(d)) }

// charging returns an echo that charges each frame, as every handler must.
func charging() *funcs {
	return &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		if _, wait := c.Charge(t); wait > 0 {
			c.writeSlowDown(t, r, wait)
			return true
		}
		if string(r.Msg) == "login" {
			c.SetLoggedIn(t, true)
		}
		echo(t, c, r)
		return true
	}}
}

// serveWithClock runs a reactor with a test clock, and connects.
func serveWithClock(t *testing.T, change func(cfg *Config)) (*clock, *Reactor, *client) {
	t.Helper()
	k := &clock{}
	r := serve(t, charging(), func(cfg *Config) {
		cfg.Now = k.now
		cfg.Burst = 2 * time.Second
		change(cfg)
	})
	return k, r, dial(t, r)
}

// wantEcho sends n frames and expects their echoes.
func (c *client) wantEcho(n int) {
	c.tb.Helper()
	for i := range n {
		c.send("%s", chat(fmt.Sprint("number ", i)))
	}
	for i := range n {
		c.wantText(fmt.Sprint("number ", i))
	}
}

// wantThrottled sends a frame and expects it to be refused with this retry_after.
func (c *client) wantThrottled(wait time.Duration) {
	c.tb.Helper()
	c.send("%s", chat("too fast"))
	c.want(message{Op: proto.ERROR, Errno: proto.TooFast, Text: "*", Retry: wait.Milliseconds()})
}

func (r *Reactor) limited(name string) uint64 {
	return r.counter(`limited_total{limit="` + name + `"}`)
}

// A connection may send FramesPerSecPerConn frames per second, and a burst at once.
// Beyond that, each frame is refused with the time to wait, including PING. No frame is
// accepted before the wait is over, even if the limit would allow it: frames in flight
// must not overtake those that were refused.
func TestFrameRate(t *testing.T) {
	k, r, c := serveWithClock(t, func(cfg *Config) { cfg.FramesPerSecPerConn = 10 })
	c.wantEcho(20)
	c.wantThrottled(time.Second)
	k.sleep(700 * time.Millisecond)
	c.wantThrottled(300 * time.Millisecond)
	c.send(`{"msgid":18,"rid":5}`)
	c.want(message{Op: proto.ERROR, RID: 5, Errno: proto.TooFast, Text: "*", Retry: 300})
	k.sleep(299*time.Millisecond + time.Microsecond)
	c.wantThrottled(time.Millisecond) // rounded up
	k.sleep(time.Millisecond)
	c.wantEcho(9)
	c.ping()
	c.wantThrottled(time.Second)
	k.sleep(time.Hour)
	c.wantEcho(20)
	if a, b := r.limited("frames"), r.limited("waiting"); a != 2 || b != 3 {
		t.Errorf("counted %d frames over the limit, %d while throttled; want 2 and 3", a, b)
	}
}

// Bytes per second are limited, too. The wait is as long as the refused frame needs. A
// frame larger than the burst is accepted if nothing was used before.
func TestByteRate(t *testing.T) {
	k, r, c := serveWithClock(t, func(cfg *Config) { cfg.BytesPerSecPerConn = 500 })
	large := strings.Repeat("x", 5000-len(chat("")))
	c.send("%s", chat(large))
	c.wantText(large)
	c.send("%s", chat(large[:1000-len(chat(""))]))
	c.want(message{Op: proto.ERROR, Errno: proto.TooFast, Text: "*", Retry: 10_000})
	k.sleep(10 * time.Second)
	c.send("%s", chat(large[:1000-len(chat(""))]))
	c.wantText(large[:1000-len(chat(""))])
	if n := r.limited("bytes"); n != 1 {
		t.Errorf("counted %d refusals, want 1", n)
	}
}

// PING is charged even while other frames of the connection are held.
func TestPingIsChargedWhileFramesAreHeld(t *testing.T) {
	h, k := newHolder(), &clock{}
	h.on.Store(true)
	c := dial(t, serve(t, h, func(cfg *Config) { cfg.Now, cfg.FramesPerSecPerConn, cfg.Burst = k.now, 3, time.Second }))
	c.send("%s", chat("held"))
	for range 3 {
		c.ping()
	}
	c.send(`{"msgid":18}`)
	c.want(message{Op: proto.ERROR, Errno: proto.TooFast, Text: "*", Retry: 1000})
	k.sleep(time.Second)
	c.ping()
}

// Bad frames are charged, and so are frames with an unknown msgid, which never close
// the connection.
func TestBadFramesAreCharged(t *testing.T) {
	_, _, c := serveWithClock(t, func(cfg *Config) { cfg.FramesPerSecPerConn = 2 })
	for range 4 {
		c.send(`{"msgid":999,"rid":1}`)
		c.want(message{Op: proto.ERROR, RID: 1, Errno: proto.UnknownOp, Text: "*"})
	}
	c.send(`{"msgid":999,"rid":2}`)
	c.want(message{Op: proto.ERROR, RID: 2, Errno: proto.TooFast, Text: "*", Retry: 1000})
	c.send(`{"msgid":6,"rid":3}`)
	c.want(message{Op: proto.ERROR, RID: 3, Errno: proto.TooFast, Text: "*", Retry: 1000})
}

// FramesBeforeLogin limits the frames before login, but not after it.
func TestFramesBeforeLogin(t *testing.T) {
	k, r, c := serveWithClock(t, func(cfg *Config) { cfg.FramesBeforeLogin, cfg.LoginTimeout = 5, 10*time.Second })
	c.wantEcho(4)
	c.ping()
	c.wantThrottled(2 * time.Second)
	k.sleep(2 * time.Second)
	c.send("%s", chat("login"))
	c.wantText("login")
	c.wantEcho(50)
	if n := r.limited("before_login"); n != 1 {
		t.Errorf("counted %d refusals, want 1", n)
	}
}

// A client that ignores AbuseAfter waits in a row is disconnected. Frames within the
// grace time don't count. A wait that the client respects, or a long time, resets the
// count.
func TestAbuse(t *testing.T) {
	k, r, c := serveWithClock(t, func(cfg *Config) { cfg.FramesPerSecPerConn, cfg.AbuseAfter = 5, 3 })
	overrun := func() {
		t.Helper()
		c.send("%s", chat("login"))
		for {
			if m, _ := c.next(); m.Errno == proto.TooFast {
				break
			}
			c.send("%s", chat("login"))
		}
		k.sleep(graceTime)
		for range 200 { // these were in flight
			c.wantThrottled(minWait - graceTime)
		}
	}
	ignore := func() {
		t.Helper()
		overrun()
		k.sleep(time.Millisecond)
		c.wantThrottled(minWait - graceTime - time.Millisecond)
		k.sleep(minWait - graceTime)
	}
	for range 5 {
		overrun()
		k.sleep(minWait)
	}
	ignore()
	ignore()
	overrun()
	k.sleep(minWait)
	ignore()
	ignore()
	k.sleep(ignoredExpire + time.Second)
	ignore()
	ignore()
	overrun()
	k.sleep(time.Millisecond)
	c.send("%s", chat("once more"))
	c.want(message{Op: proto.KICK, Reason: proto.Abuse, Text: "*"})
	c.wantEnd()
	if n := r.counter(`kicks_total{reason="too_fast"}`); n != 1 {
		t.Errorf("counted %d kicks, want 1", n)
	}
}

// A flood within one wait ends the connection, and sooner before login. With AbuseAfter
// 0 it doesn't.
func TestFlood(t *testing.T) {
	for _, v := range []struct{ after, most int }{{0, maxRefused}, {100, maxRefused}, {100, maxRefusedBeforeLogin}} {
		after := v.after
		_, _, c := serveWithClock(t, func(cfg *Config) { cfg.FramesPerSecPerConn, cfg.AbuseAfter = 5, after })
		if v.most == maxRefused {
			c.send("%s", chat("login"))
			c.wantText("login")
			c.wantEcho(9)
		} else {
			c.wantEcho(10)
		}
		for sent := 0; sent < v.most; sent += 64 { // all of these are answered
			c.raw([]byte(strings.Repeat(string(frame(chat("flood"))), 64)))
			for range 64 {
				c.want(message{Op: proto.ERROR, Errno: proto.TooFast, Text: "*", Retry: 1000})
			}
		}
		c.send("%s", chat("the last"))
		if after == 0 {
			c.want(message{Op: proto.ERROR, Errno: proto.TooFast, Text: "*", Retry: 1000})
			continue
		}
		c.want(message{Op: proto.KICK, Reason: proto.Abuse, Text: "*"})
		c.wantEnd()
	}
}

// If a client that was kicked for abuse keeps sending, the connection is closed before
// Linger is over. Other connections that are finishing stay open until then.
func TestAbuserIsNotReadForLong(t *testing.T) {
	_, r, c := serveWithClock(t, func(cfg *Config) { cfg.MaxBadFrames, cfg.Linger = 3, time.Hour })
	other := dial(t, r)
	other.raw([]byte{0, 0, 0, 0})
	other.want(message{Op: proto.ERROR, Errno: proto.BadLength, Text: "*"})
	other.wantEnd()
	portion := make([]byte, 16<<10)
	for range 4 * maxDiscarded / len(portion) {
		other.raw(portion)
	}
	c.raw([]byte(strings.Repeat(string(frame("{}")), 3)))
	for range 3 {
		c.want(message{Op: proto.ERROR, Errno: proto.BadRequest, Text: "*"})
	}
	c.want(message{Op: proto.KICK, Reason: proto.Abuse, Text: "*"})
	c.wantEnd()
	sent := 0
	for ; ; sent += len(portion) {
		if _, err := c.Write(portion); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("the server doesn't close the connection after %d bytes, want it to", sent)
			}
			break
		}
	}
	if sent < maxDiscarded {
		t.Errorf("closed after %d bytes, want at least %d", sent, maxDiscarded)
	}
	for end := time.Now().Add(patience); r.open.Load() != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d connections are open, want 1", r.open.Load())
		}
	}
}

// Throttle throttles the connection because of a limit of the handler's own.
func TestThrottle(t *testing.T) {
	k := &clock{}
	c := dial(t, serve(t, &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		_, wait := c.Charge(t)
		if wait == 0 && string(r.Msg) == "over" {
			wait = c.Throttle(t, 3*time.Second)
		}
		if wait > 0 {
			c.writeSlowDown(t, r, wait)
		} else {
			echo(t, c, r)
		}
		return true
	}}, func(cfg *Config) { cfg.Now = k.now }))
	c.send("%s", chat("over"))
	c.want(message{Op: proto.ERROR, Errno: proto.TooFast, Text: "*", Retry: 3000})
	k.sleep(2 * time.Second)
	c.wantThrottled(time.Second)
	k.sleep(time.Second)
	c.wantEcho(1)
}

// WebSocket pings and fragments are charged like frames. Pings beyond the limit aren't
// answered, and too many fragments end the connection.
func TestWebSocketFramesAreCharged(t *testing.T) {
	_, r, c := serveWithClock(t, func(cfg *Config) { cfg.FramesPerSecPerConn, cfg.AbuseAfter = 5, 1 })
	c.upgrade("")
	for range 12 {
		c.raw(masked(true, ws.OpPing, []byte("p")))
	}
	for range 10 {
		if op, _, _ := c.frameWS(); op != ws.OpPong {
			t.Fatalf("answer to a ping within the limit: opcode %v, want a pong", op)
		}
	}
	c.raw(text(chat("too fast")))
	c.wantWS(message{Op: proto.ERROR, Errno: proto.TooFast, Text: "*", Retry: 1000})
	c.raw(masked(false, ws.OpText, nil))
	c.raw([]byte(strings.Repeat(string(masked(false, ws.OpContinuation, nil)), maxRefused)))
	c.wantWS(message{Op: proto.KICK, Reason: proto.Abuse, Text: "*"})
	c.wantClose(ws.StatusNormalClosure)
	if n := r.counter(`kicks_total{reason="too_fast"}`); n != 1 {
		t.Errorf("counted %d kicks, want 1", n)
	}
}

// KickedForAbuse is called once for each connection that is ended for abuse, before
// Closed, and for no other.
func TestKickedForAbuse(t *testing.T) {
	k := &clock{}
	calls := make(chan string, 10)
	h := charging()
	h.abused = func(t Turn, c *Conn) { calls <- "KickedForAbuse" }
	h.closed = func(t Turn, c *Conn) { calls <- "Closed" }
	h.request = func(t Turn, c *Conn, r *proto.Request) bool {
		_, wait := c.Charge(t)
		if wait > 0 {
			c.writeSlowDown(t, r, wait)
		}
		return string(r.Msg) != "hold"
	}
	r := serve(t, h, func(cfg *Config) {
		cfg.Now, cfg.Loops = k.now, 1
		cfg.FramesPerSecPerConn, cfg.AbuseAfter, cfg.MaxBadFrames, cfg.MaxHeld = 2, 1, 3, 70_000
		cfg.LoginTimeout = 10 * time.Second
		cfg.Burst = 5 * time.Second
	})
	tooMuch := frame(chat(strings.Repeat("x", 30_000)))
	for _, v := range []struct {
		name, reason string
		do           func(c *client)
	}{
		{"bad frames", proto.Abuse, func(c *client) { c.raw([]byte(strings.Repeat(string(frame("{}")), 3))) }},
		{"too much held", proto.Abuse, func(c *client) {
			c.send("%s", chat("hold"))
			c.raw([]byte(strings.Repeat(string(tooMuch), 3)))
		}},
		{"too fast", proto.Abuse, func(c *client) {
			c.raw([]byte(strings.Repeat(string(frame(chat("on"))), 11)))
			c.want(message{Op: proto.ERROR, Errno: proto.TooFast, Text: "*", Retry: 1000})
			k.sleep(graceTime + time.Millisecond)
			c.send("%s", chat("on"))
		}},
		{"a bad length", "", func(c *client) { c.raw([]byte{0, 0, 0, 0}) }},
		{"idle", proto.Idle, func(c *client) { k.sleep(time.Minute) }},
		{"closed by the client", "", func(c *client) { c.Close() }},
	} {
		c := dial(t, r)
		c.ping()
		v.do(c)
		if v.reason != "" {
			for {
				if m, ok := c.next(); !ok {
					t.Fatalf("%s: the stream ended, want a KICK", v.name)
				} else if m.Op == proto.KICK {
					if m.Reason != v.reason {
						t.Errorf("%s: KICK reason = %q, want %q", v.name, m.Reason, v.reason)
					}
					break
				}
			}
		}
		if v.reason == proto.Abuse {
			if what := await(t, calls, v.name); what != "KickedForAbuse" {
				t.Errorf("%s: %s was called first, want KickedForAbuse", v.name, what)
			}
		}
		c.Close()
		if what := await(t, calls, v.name); what != "Closed" {
			t.Errorf("%s: %s was called, want Closed", v.name, what)
		}
	}
	if len(calls) > 0 {
		t.Errorf("%s was called at the end, want no more calls", <-calls)
	}
}
