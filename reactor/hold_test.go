package reactor

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"chatd/proto"
)

// holder is a handler that returns false from Request while on is true, so that
// frames are held. Otherwise it is an echo.
type holder struct {
	funcs
	on   atomic.Bool
	conn chan *Conn
}

func newHolder() *holder {
	h := &holder{conn: make(chan *Conn, 16)}
	h.open = func(t Turn, c *Conn) { h.conn <- c }
	h.request = func(t Turn, c *Conn, r *proto.Request) bool {
		if h.on.Load() {
			return false
		}
		echo(t, c, r)
		return true
	}
	return h
}

// While frames are held, only PING is answered. After Resume, the held frames are
// handled in the order of sending, bad frames included, and then new ones.
func TestHoldAndResume(t *testing.T) {
	h := newHolder()
	r := serve(t, h)
	c := dial(t, r)
	conn := await(t, h.conn, "the connection")
	for round := range 3 {
		h.on.Store(true)
		for i := range 50 {
			c.send("%s", chat(fmt.Sprint(round, " ", i)))
			if i == 25 {
				c.send(`{"msgid":6,"rid":3}`)
			}
		}
		c.ping()
		h.on.Store(false)
		onLoop(t, r, conn.l.idx, func(t Turn) { conn.Resume(t) })
		c.send("%s", chat("after"))
		for i := range 50 {
			c.wantText(fmt.Sprint(round, " ", i))
			if i == 25 {
				c.want(message{Op: proto.ERROR, Errno: proto.BadRequest, RID: 3, Text: "*"})
			}
		}
		c.wantText("after")
	}
}

// A handler that takes one frame at a time, and calls Resume when a job has answered
// it, gets all frames in order.
func TestOneAtATime(t *testing.T) {
	c := dial(t, serve(t, &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		if c.Data(t) != nil {
			return false
		}
		c.SetData(t, "busy")
		text := string(r.Msg)
		err := Go(t, c, Quick, func(t Off) (string, error) { return text, nil }, func(t Turn, v string, err error) {
			say(t, c, v)
			c.SetData(t, nil)
			c.Resume(t)
		})
		if err != nil {
			say(t, c, err.Error())
		}
		return true
	}}))
	var all []byte
	for i := range 500 {
		all = append(all, frame(chat(fmt.Sprint("one ", i)))...)
	}
	c.raw(all)
	for i := range 500 {
		c.wantText(fmt.Sprint("one ", i))
	}
}

// Resume within Request takes effect after Request returns. A handler that always
// calls Resume and returns false doesn't block the loop.
func TestResumeWithinRequest(t *testing.T) {
	var refusals atomic.Int64
	r := serve(t, &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		if string(r.Msg) == "never" || refusals.Add(1)%3 != 0 {
			c.Resume(t)
			return false
		}
		echo(t, c, r)
		return true
	}}, func(cfg *Config) { cfg.Loops = 1 })
	other := dial(t, r)
	c := dial(t, r)
	for i := range 20 {
		c.send("%s", chat(fmt.Sprint("again ", i)))
	}
	for i := range 20 {
		c.wantText(fmt.Sprint("again ", i))
	}
	c.send("%s", chat("never"))
	c.ping()
	other.ping()
}

// Holding more than MaxHeld bytes ends the connection with KICK "abuse".
func TestTooMuchHeld(t *testing.T) {
	h := newHolder()
	h.on.Store(true)
	r := serve(t, h, func(cfg *Config) { cfg.MaxHeld = 10_000 })
	c := dial(t, r)
	c.raw([]byte(strings.Repeat(string(frame(chat("held"))), 100)))
	c.ping() // still within the limit
	c.raw([]byte(strings.Repeat(string(frame(chat("held"))), 200)))
	c.want(message{Op: proto.KICK, Reason: proto.Abuse, Text: "*"})
	c.wantEnd()
	if n := r.counter(`kicks_total{reason="held"}`); n != 1 {
		t.Errorf("counted %d kicks, want 1", n)
	}
}

// Held frames keep their order if the handler takes only some of them at a time while
// more arrive.
func TestHoldPartly(t *testing.T) {
	allowed := 0 // frames the handler takes; used only on the connection's loop
	conns := make(chan *Conn, 1)
	r := serve(t, &funcs{
		open: func(t Turn, c *Conn) { conns <- c },
		request: func(t Turn, c *Conn, r *proto.Request) bool {
			if allowed == 0 {
				return false
			}
			allowed--
			echo(t, c, r)
			return true
		},
	}, func(cfg *Config) { cfg.MaxHeld = 20_000 })
	c := dial(t, r)
	conn := await(t, conns, "the connection")
	sent, got := 0, 0
	for _, step := range []struct{ send, take int }{{30, 25}, {3, 0}, {20, 10}, {1, 1}, {40, 50}, {0, 8}, {100, 0}, {10, 99}, {5, 15}} {
		for range step.send {
			c.send("%s", chat(fmt.Sprint("partly ", sent)))
			sent++
		}
		c.ping()
		onLoop(t, r, conn.l.idx, func(t Turn) {
			allowed = step.take
			conn.Resume(t)
		})
		for range step.take {
			c.wantText(fmt.Sprint("partly ", got))
			got++
		}
	}
	c.ping()
	held := make(chan bool, 1)
	onLoop(t, r, conn.l.idx, func(t Turn) { held <- conn.held != nil })
	if held := <-held; held != (sent > got) {
		t.Errorf("after %d of %d frames: the connection has a buffer of held frames: %t, want %t", got, sent, held, sent > got)
	}
}

// MaxHeldAll limits the held bytes of all connections. Beyond it, a connection with
// more than an equal share is closed with KICK "slow", so that the client reconnects.
// A connection with less stays.
func TestHeldByAll(t *testing.T) {
	const all = 200_000
	h := newHolder()
	h.on.Store(true)
	r := serve(t, h, func(cfg *Config) { cfg.MaxHeldAll, cfg.Loops = all, 1 })
	one := frame(chat(strings.Repeat("x", 1000)))
	send := func(c *client, bytes int) (sent int64) {
		for ; sent+int64(len(one)) <= int64(bytes); sent += int64(len(one)) {
			c.raw(one)
		}
		return sent
	}
	greedy, modest := dial(t, r), dial(t, r)
	have := send(greedy, 150_000)
	greedy.ping()
	few := send(modest, 30_000)
	modest.ping()
	if n := r.held.Load(); n != have+few {
		t.Errorf("%d bytes are held, want %d", n, have+few)
	}
	few += send(modest, all-int(have+few))
	modest.ping()
	few += send(modest, 5_000) // above the total limit, but within its share
	modest.ping()
	greedy.raw(one)
	greedy.want(message{Op: proto.KICK, Reason: proto.Slow, Text: "*"})
	greedy.wantEnd()
	if n := r.counter(`kicks_total{reason="held_all"}`); n != 1 {
		t.Errorf("counted %d kicks, want 1", n)
	}
	for r.open.Load() > 1 {
		modest.ping()
	}
	// Either of the two may have been accepted first. By now, one is closed.
	conn := await(t, h.conn, "the first connection")
	if other := await(t, h.conn, "the second connection"); conn.Ref().closed.Load() {
		conn = other
	}
	if n := r.held.Load(); n != few {
		t.Errorf("%d bytes are held after one connection has closed, want %d", n, few)
	}
	h.on.Store(false)
	onLoop(t, r, 0, func(t Turn) { conn.Resume(t) })
	for range few / int64(len(one)) {
		modest.wantText(strings.Repeat("x", 1000))
	}
	modest.ping()
	if n := r.held.Load(); n != 0 {
		t.Errorf("%d bytes are held after all frames were handled, want 0", n)
	}
}
