package reactor

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"chatd/proto"
)

// holder holds every frame while on is set, and echoes the others.
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

// While frames are held PING is answered at once, and nothing else is; after
// Resume they come in the order in which they were sent, and new ones after
// them. A bad frame among them keeps its place.
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

// A handler that takes one frame at a time, each answered off the loop before
// the next is wanted, sees them in order and all of them.
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

// Resume from within Request takes effect after it; refusing and resuming
// for ever doesn't keep the loop from others.
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

// More held than the bound ends the connection, and tells why.
func TestTooMuchHeld(t *testing.T) {
	h := newHolder()
	h.on.Store(true)
	r := serve(t, h, func(cfg *Config) { cfg.MaxHeld = 10_000 })
	c := dial(t, r)
	c.raw([]byte(strings.Repeat(string(frame(chat("held"))), 100)))
	c.ping() // within the bound it stays
	c.raw([]byte(strings.Repeat(string(frame(chat("held"))), 200)))
	c.want(message{Op: proto.KICK, Reason: proto.Abuse, Text: "*"})
	c.wantEnd()
	if n := r.counter(`kicks_total{reason="held"}`); n != 1 {
		t.Error("counted", n, "times")
	}
}

// A handler that takes some and then holds, while more and more comes: what
// is held keeps its order and its bounds through all that moving.
func TestHoldPartly(t *testing.T) {
	allowed := 0 // of the connection's loop
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
		t.Errorf("sent %d, got %d, and a buffer is kept: %v", sent, got, held)
	}
}
