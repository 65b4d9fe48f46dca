package reactor

import (
	"strconv"
	"strings"
	"testing"

	"chatd/proto"
)

// MaxWaitingAll limits the unsent bytes of all connections. Beyond it, the connections
// with the most unsent bytes are closed with KICK "slow". The others get all frames.
// Bytes that the kernel has accepted don't count.
func TestMaxWaitingAll(t *testing.T) {
	const portion = 20_000
	body := sayBody(strings.Repeat("z", portion))
	filled := make(chan bool, 1)
	r := serve(t, &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		want, err := strconv.Atoi(string(r.Msg))
		if err != nil {
			echo(t, c, r)
			return true
		}
		var more func(t Turn)
		more = func(t Turn) {
			if !c.Open(t) || c.finishing || c.BytesUnsent(t) >= want {
				filled <- c.reading(t)
				return
			}
			c.Write(t, body)
			t.Post(t.Loop(), more)
		}
		more(t)
		return true
	}}, func(cfg *Config) {
		cfg.Loops, cfg.MaxWaiting, cfg.MaxWaitingAll, cfg.Linger = 1, 1<<20, 2<<20, patience
	})
	waiting := func() (n int) {
		onLoop(t, r, 0, func(t Turn) {
			t.l.unsent.recount(t)
			n = t.l.unsent.bytes
		})
		return n
	}
	fill := func(c *client, n int) {
		t.Helper()
		c.send("%s", chat(strconv.Itoa(n)))
		if !await(t, filled, "unsent bytes") {
			t.Fatalf("the connection ended before it had %d unsent bytes, want it open", n)
		}
	}
	var cs [3]*client
	for i, n := range []int{900_000, 500_000, 500_000} {
		cs[i] = dial(t, r)
		shrink(t, cs[i])
		fill(cs[i], n)
	}
	if n := r.counter(`kicks_total{reason="slow_all"}`); n != 0 {
		t.Fatalf("%d connections were kicked within the limit, want 0", n)
	}
	if n := waiting(); n < 1_900_000 || n > 1_900_000+3*(portion+100) {
		t.Fatalf("%d unsent bytes, want about 1,900,000", n)
	}
	fill(cs[2], 750_000) // exceeds the total limit
	if n := r.counter(`kicks_total{reason="slow_all"}`); n != 1 {
		t.Fatalf("%d connections were kicked, want 1", n)
	}
	if n := waiting(); n < 1_250_000 || n > 1_250_000+2*(portion+100) {
		t.Errorf("%d unsent bytes after one connection was kicked, want about 1,250,000", n)
	}
	other := dial(t, r)
	other.ping() // is served meanwhile

	// The kicked client gets whole frames, then KICK.
	for {
		m, ok := cs[0].next()
		if !ok {
			t.Fatal("the stream ended, want a KICK")
		}
		if m.Op == proto.KICK {
			if m.Reason != proto.Slow {
				t.Errorf("KICK reason = %q, want %q", m.Reason, proto.Slow)
			}
			break
		}
	}
	cs[0].wantEnd()
	for _, c := range cs[1:] {
		c.send("%s", chat("all"))
		for {
			if m, ok := c.next(); !ok || m.Op == proto.KICK {
				t.Fatal("a connection with fewer unsent bytes was kicked, want it open")
			} else if m.Text == "all" {
				break
			}
		}
		c.ping()
	}
	for waiting() != 0 {
		other.ping()
	}
}
