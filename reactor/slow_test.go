package reactor

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"chatd/proto"
)

// shrink gives a client a small receive buffer, so that the server's output soon
// waits unless the client reads.
func shrink(t *testing.T, c *client) {
	if err := c.Conn.(*net.TCPConn).SetReadBuffer(32 << 10); err != nil {
		t.Fatal(err)
	}
}

// A client that doesn't read is closed, and the memory for its output is bounded.
// Other clients are served meanwhile. (gnet alone would buffer everything.)
func TestNeverReads(t *testing.T) {
	const bound = 64 << 10
	most := make(chan int, 1)
	gone := make(chan struct{})
	r := serve(t, &funcs{
		request: func(t Turn, c *Conn, r *proto.Request) bool {
			if string(r.Msg) != "flood" {
				echo(t, c, r)
				return true
			}
			// Write until the connection is closed.
			body := sayBody(strings.Repeat("x", 1000))
			worst := 0
			var more func(t Turn)
			more = func(t Turn) {
				for range 100 {
					c.Write(t, body)
				}
				worst = max(worst, c.BytesUnsent(t)-c.dropped) // dropped frames use no memory
				if c.Open(t) {
					t.Post(t.Loop(), more)
				} else {
					most <- worst
				}
			}
			more(t)
			return true
		},
		closed: func(t Turn, c *Conn) {
			if c.Data(t) == nil && c.BytesQueued(t) > 1<<20 {
				close(gone)
			}
		},
	}, func(cfg *Config) { cfg.MaxWaiting = bound; cfg.Loops = 1 })
	slow := dial(t, r)
	shrink(t, slow)
	other := dial(t, r)
	slow.send("%s", chat("flood"))
	for i := range 100 {
		other.send("%s", chat(fmt.Sprint(i)))
		other.wantText(fmt.Sprint(i))
	}
	await(t, gone, "the end of the slow connection")
	if n := await(t, most, "the maximum of unsent bytes"); n > bound+flushAt+100_000 {
		t.Errorf("up to %d bytes were unsent, want at most about %d", n, bound+flushAt)
	}
	if n := r.counter(`kicks_total{reason="slow"}`); n != 1 {
		t.Errorf("counted %d kicks, want 1", n)
	}
}

// A client that reads too slowly gets all frames from before the limit was exceeded,
// then KICK "slow" and the end of the stream, not a reset.
func TestSlowKickArrives(t *testing.T) {
	r := serve(t, &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		body := sayBody(strings.Repeat("x", 100_000))
		for range 100 {
			c.Write(t, body)
		}
		return true
	}}, func(cfg *Config) { cfg.Linger = patience })
	c := dial(t, r)
	c.send("%s", chat("much"))
	for n := 0; ; n++ {
		m, ok := c.next()
		if !ok {
			t.Fatalf("the stream ended after %d frames, want a KICK", n)
		}
		if m.Op == proto.KICK {
			if m.Reason != proto.Slow {
				t.Errorf("KICK reason = %q, want %q", m.Reason, proto.Slow)
			}
			break
		}
		if n > 100 {
			t.Fatalf("got %d frames, want at most 100 and a KICK", n+1)
		}
	}
	c.wantEnd()
}

// With WhenDrained, a handler can send much more than MaxWaiting to a client that
// reads, without exceeding the limit. At the end, BytesSent reaches BytesQueued.
func TestWhenDrained(t *testing.T) {
	const chunk, chunks = 100_000, 80
	done := make(chan string, 1)
	r := serve(t, &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		body := sayBody(strings.Repeat("y", chunk))
		sent := 0
		var more func(t Turn)
		more = func(t Turn) {
			if sent == chunks {
				c.WhenDrained(t, 0, func(t Turn) {
					done <- fmt.Sprint(c.BytesQueued(t)-c.BytesSent(t), c.BytesUnsent(t), c.BytesQueued(t) > chunk*chunks)
				})
				return
			}
			c.Write(t, body)
			sent++
			c.WhenDrained(t, 50_000, more)
		}
		more(t)
		return true
	}}, func(cfg *Config) {
		cfg.MaxWaiting = 2 * chunk
		cfg.LoginTimeout = time.Hour // the client never logs in
	})
	c := dial(t, r)
	shrink(t, c)
	c.send("%s", chat("go"))
	for range chunks {
		c.wantText(strings.Repeat("y", chunk))
	}
	if got := await(t, done, "the output to drain"); got != "0 0 true" {
		t.Errorf("BytesQueued-BytesSent, BytesUnsent, all were queued = %q, want \"0 0 true\"", got)
	}
	c.ping()
}

// Frames that are written to a finishing or closed connection never count in BytesSent:
// otherwise a message that was never sent would count as delivered. Frames that were
// written before do count.
func TestBytesSentIsNeverTooHigh(t *testing.T) {
	type marks struct{ before, after, later, sent, sentLater uint64 }
	got := make(chan marks, 1)
	var m marks // used only on the loop
	r := serve(t, &funcs{
		request: func(t Turn, c *Conn, r *proto.Request) bool {
			say(t, c, "before")
			m.before = c.BytesQueued(t)
			c.Finish(t, nil)
			say(t, c, "after")
			m.after = c.BytesQueued(t)
			t.Post(t.Loop(), func(t Turn) { m.sent = c.BytesSent(t) })
			return true
		},
		closed: func(t Turn, c *Conn) {
			c.WriteResponse(t, &proto.Response{Op: proto.ERROR})
			m.later, m.sentLater = c.BytesQueued(t), c.BytesSent(t)
			got <- m
		},
	}, func(cfg *Config) { cfg.Loops = 1 })
	c := dial(t, r)
	c.send("%s", chat("x"))
	c.wantText("before")
	c.wantEnd()
	for range 10 { // wait for the posted function before closing
		onLoop(t, r, 0, func(Turn) {})
	}
	c.Close()
	if m := await(t, got, "Closed"); m.sent != m.before || m.sentLater != m.before || m.after <= m.before || m.later <= m.after {
		t.Errorf("BytesQueued = %d before Finish, %d after it, %d after the close; want them rising. BytesSent = %d, and %d after the close; want %d for both",
			m.before, m.after, m.later, m.sent, m.sentLater, m.before)
	}
}

// A client that doesn't log in is closed after the login timeout, even if it sends
// PINGs, half a frame or half a handshake. A client that is logged in is closed after
// the idle timeout unless it sends PINGs.
func TestTimeouts(t *testing.T) {
	r := serve(t, &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		c.SetLoggedIn(t, string(r.Msg) == "in")
		say(t, c, "ok")
		return true
	}}, func(cfg *Config) {
		cfg.LoginTimeout, cfg.IdleTimeout = time.Second, 2*time.Second
	})
	kick := message{Op: proto.KICK, Reason: proto.Idle, Text: "*"}
	t.Run("never", func(t *testing.T) {
		t.Parallel()
		c := dial(t, r)
		c.want(kick)
		c.wantEnd()
	})
	t.Run("only pings", func(t *testing.T) {
		t.Parallel()
		c := dial(t, r)
		for {
			if _, err := c.Write(frame(`{"msgid":18}`)); err != nil {
				t.Fatalf("send PING: %v, want a KICK before the connection closes", err)
			}
			m, ok := c.next()
			if !ok {
				t.Fatal("the stream ended, want a KICK first")
			}
			if m.Op == proto.KICK {
				break
			}
			time.Sleep(20 * time.Millisecond) // the rate of sending
		}
	})
	t.Run("half a frame", func(t *testing.T) {
		t.Parallel()
		c := dial(t, r)
		c.raw(frame(chat("half"))[:20])
		c.want(kick)
		c.wantEnd()
	})
	t.Run("half a handshake", func(t *testing.T) {
		t.Parallel()
		c := dial(t, r)
		c.raw([]byte("GET /ws HTTP/1.1\r\nHost: a\r\n"))
		c.wantEnd()
	})
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		c := dial(t, r)
		c.send("%s", chat("in"))
		c.wantText("ok")
		c.want(kick)
		c.wantEnd()
	})
	t.Run("logged out", func(t *testing.T) {
		t.Parallel()
		c := dial(t, r)
		c.send("%s", chat("in"))
		c.wantText("ok")
		c.send("%s", chat("out"))
		c.wantText("ok")
		c.want(kick)
		c.wantEnd()
	})
	t.Run("alive", func(t *testing.T) {
		t.Parallel()
		c := dial(t, r)
		c.send("%s", chat("in"))
		c.wantText("ok")
		for from := time.Now(); time.Since(from) < 3*time.Second; { // longer than both timeouts
			c.ping()
			time.Sleep(25 * time.Millisecond) // the rate of sending
		}
	})
}

// The last frame arrives even if the client has sent bytes that weren't read. Without a
// graceful close, a RST would discard it.
func TestLastFrameArrives(t *testing.T) {
	r := serve(t, &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		say(t, c, "before")
		c.Finish(t, sayBody("last"))
		say(t, c, "after the last")
		c.Finish(t, sayBody("twice"))
		return true
	}})
	for range 50 {
		c := dial(t, r)
		c.raw(append(frame(chat("bye")), make([]byte, 200_000)...))
		c.wantText("before")
		c.wantText("last")
		c.wantEnd()
	}
}
