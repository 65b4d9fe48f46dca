package reactor

import (
	"strings"
	"testing"

	"chatd/proto"
)

// However many connections have frames held back, memory stays bounded: beyond
// the bound for all, whoever has more than its share goes, and is told that it
// may come back; who has little stays.
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
	few += send(modest, 5_000) // above the bound for all, but not its share
	modest.ping()
	greedy.raw(one)
	greedy.want(message{Op: proto.KICK, Reason: proto.Slow, Text: "*"})
	greedy.wantEnd()
	if n := r.counter(`kicks_total{reason="held_all"}`); n != 1 {
		t.Error("counted", n, "times")
	}
	conn := await(t, h.conn, "the first connection")
	if other := await(t, h.conn, "the second connection"); other.Peer().closed.Load() == false {
		conn = other
	}
	for r.open.Load() > 1 {
		modest.ping()
	}
	if n := r.held.Load(); n != few {
		t.Errorf("%d bytes are held when the other is gone, want %d", n, few)
	}
	h.on.Store(false)
	onLoop(t, r, 0, func(t Turn) { conn.Resume(t) })
	for range few / int64(len(one)) {
		modest.wantText(strings.Repeat("x", 1000))
	}
	modest.ping()
	if n := r.held.Load(); n != 0 {
		t.Errorf("%d bytes are held when all is taken up", n)
	}
}

// What may be left out counts as bytes on their way to a loop, and is refused
// beyond the bound, from off the loops and from another loop; what was taken
// runs, and makes room.
func TestPostSized(t *testing.T) {
	const bound, room, size = 1000, 500, 100 // half is kept for connections
	r := serve(t, &funcs{}, func(cfg *Config) { cfg.MaxMailbox, cfg.Loops = bound, 2 })
	gate, standing, ran := make(chan struct{}), make(chan struct{}), make(chan struct{}, 100)
	if err := r.Post(1, func(Turn) { close(standing); <-gate }); err != nil {
		t.Fatal(err)
	}
	await(t, standing, "the loop to stand still")
	taken := 0
	done := func(Turn) { ran <- struct{}{} }
	for r.PostSized(1, size, done) == nil {
		taken++
	}
	if taken != room/size {
		t.Errorf("%d were taken", taken)
	}
	if err := r.PostSized(1, size, done); err != ErrBusy {
		t.Errorf("error %v", err)
	}
	onLoop(t, r, 0, func(tn Turn) {
		if err := tn.PostSized(1, size, done); err != ErrBusy {
			t.Errorf("error %v of a turn", err)
		}
	})
	if n := r.counter("mailbox_full_total"); n != 3 {
		t.Errorf("counted %d times", n)
	}
	if n := r.loops[1].box.bytes.Load(); n != room {
		t.Errorf("%d bytes on their way", n)
	}
	close(gate)
	for range taken {
		await(t, ran, "what was taken")
	}
	onLoop(t, r, 1, func(Turn) {})
	onLoop(t, r, 0, func(tn Turn) {
		for range room / size { // of one turn as well
			if err := tn.PostSized(1, size, done); err != nil {
				t.Errorf("error %v once there is room", err)
			}
		}
		if err := tn.PostSized(1, size, done); err != ErrBusy {
			t.Errorf("error %v beyond what one turn may have", err)
		}
	})
	for range room / size {
		await(t, ran, "what was taken")
	}
}
