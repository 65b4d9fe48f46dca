package reactor

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatd/proto"
)

// Posts and Sends to a loop take effect in order: those of one goroutine, of turns of
// another loop, and of a turn of the loop itself.
func TestOrder(t *testing.T) {
	const n = 5000
	conns := make(chan *Conn, 16)
	r := serve(t, &funcs{open: func(t Turn, c *Conn) { conns <- c }})
	c := dial(t, r)
	conn := await(t, conns, "the connection")
	to := conn.l.idx
	check := func(t *testing.T) {
		t.Helper()
		for i := range n {
			c.wantText(fmt.Sprint(i))
		}
	}
	t.Run("goroutine", func(t *testing.T) {
		for i := range n {
			var err error
			if i%3 == 0 {
				err = r.Post(to, func(t Turn) { say(t, conn, fmt.Sprint(i)) })
			} else {
				err = conn.Ref().Send(sayBody(fmt.Sprint(i)))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		check(t)
	})
	t.Run("other loop", func(t *testing.T) {
		i := 0
		var more func(t Turn)
		more = func(t Turn) {
			for range 7 {
				if i == n {
					return
				}
				text := fmt.Sprint(i)
				if i%3 == 0 {
					t.Post(to, func(t Turn) { say(t, conn, text) })
				} else {
					t.Send(conn.Ref(), sayBody(text))
				}
				i++
			}
			t.Post(t.Loop(), more)
		}
		if err := r.Post(1-to, more); err != nil {
			t.Fatal(err)
		}
		check(t)
	})
	t.Run("own loop", func(t *testing.T) {
		if err := r.Post(to, func(t Turn) {
			for i := range n {
				t.Send(conn.Ref(), sayBody(fmt.Sprint(i)))
			}
		}); err != nil {
			t.Fatal(err)
		}
		check(t)
	})
}

// TurnEnd is called once for a read with many requests.
func TestTurnEnd(t *testing.T) {
	type state struct{ requests, ends int }
	var s state // used only on the loop
	r := serve(t, &funcs{
		request: func(t Turn, c *Conn, r *proto.Request) bool {
			s.requests++
			c.SetData(t, c)
			return true
		},
		turnEnd: func(t Turn) {
			if s.requests > 0 {
				s.ends++
			}
		},
	}, func(cfg *Config) { cfg.Loops = 1 })
	c := dial(t, r)
	c.raw([]byte(strings.Repeat(string(frame(chat("x"))), 100))) // fits into one segment on loopback
	c.ping()
	got := make(chan state, 1)
	if err := r.Post(0, func(t Turn) { got <- s }); err != nil {
		t.Fatal(err)
	}
	if s := await(t, got, "the count"); s.requests != 100 || s.ends < 1 || s.ends > 5 {
		t.Errorf("%d requests, %d calls of TurnEnd; want 100, and 1 to 5", s.requests, s.ends)
	}
}

// A mailbox that is never empty doesn't starve the loop's sockets.
func TestMailboxLeavesRoomForIO(t *testing.T) {
	r := serve(t, &funcs{}, func(cfg *Config) { cfg.Loops = 1 })
	var quit atomic.Bool
	var more func(t Turn)
	more = func(t Turn) {
		if !quit.Load() {
			t.Post(0, more)
		}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer quit.Store(true)
	if err := r.Post(0, more); err != nil {
		t.Fatal(err)
	}
	wg.Go(func() {
		for !quit.Load() {
			if r.Post(0, func(t Turn) {}) != nil {
				return
			}
			time.Sleep(10 * time.Microsecond) // so that the flood doesn't fill the memory
		}
	})
	c := dial(t, r)
	for range 100 {
		c.ping()
	}
}

// With many items in its mailbox, a loop reads its sockets before it has handled all
// of them.
func TestSocketsBeforeEndOfMailbox(t *testing.T) {
	read := false // used only on the loop
	r := serve(t, &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		read = true
		return true
	}}, func(cfg *Config) { cfg.Loops = 1 })
	c := dial(t, r)
	c.ping()
	block, blocked := make(chan struct{}), make(chan struct{})
	if err := r.Post(0, func(t Turn) { close(blocked); <-block }); err != nil {
		t.Fatal(err)
	}
	await(t, blocked, "the loop to block")
	c.send("%s", chat("between")) // on loopback, it arrives before Write returns
	for range 4 * maxTurnItems {
		if err := r.Post(0, func(Turn) {}); err != nil {
			t.Fatal(err)
		}
	}
	before := make(chan bool, 1)
	if err := r.Post(0, func(Turn) { before <- read }); err != nil {
		t.Fatal(err)
	}
	close(block)
	if !await(t, before, "the end of the mailbox") {
		t.Error("the loop handled all of the mailbox before it read the socket, want the socket earlier")
	}
}

// A full mailbox doesn't grow. A connection whose frame was dropped is closed, so that
// its client doesn't miss a frame unnoticed.
func TestMailboxFull(t *testing.T) {
	conns := make(chan *Conn, 16)
	r := serve(t, &funcs{open: func(t Turn, c *Conn) { conns <- c }}, func(cfg *Config) {
		cfg.Loops, cfg.MaxMailbox = 1, 1000
	})
	c := dial(t, r)
	conn := await(t, conns, "the connection")
	bystander := dial(t, r)
	block, blocked := make(chan struct{}), make(chan struct{})
	if err := r.Post(0, func(t Turn) { close(blocked); <-block }); err != nil {
		t.Fatal(err)
	}
	await(t, blocked, "the loop to block")
	body := sayBody(strings.Repeat("x", 300))
	for range 100 {
		if err := conn.Ref().Send(body); err != nil {
			t.Fatal(err)
		}
	}
	if n := conn.l.mailbox.bytes.Load(); n > 1000 {
		t.Errorf("%d bytes in the mailbox, want at most 1000", n)
	}
	close(block)
	got := 0
	for {
		m, ok := c.next()
		if !ok {
			t.Fatalf("the stream ended after %d frames, want a KICK", got)
		}
		if m.Op == proto.KICK {
			break
		}
		got++
	}
	c.wantEnd()
	if got < 1 || got > 3 {
		t.Errorf("got %d frames before the KICK, want 1 to 3", got)
	}
	bystander.ping()
	if n := conn.l.mailbox.bytes.Load(); n != 0 {
		t.Errorf("empty mailbox: %d bytes are counted, want 0", n)
	}
}

// churnFrame is the body of a frame in TestConnectionChurn: the connection that it is
// for, its sender, and its number among the sender's frames.
type churnFrame struct {
	To   uint64 `json:"to"`
	From int    `json:"from"`
	N    int    `json:"n"`
}

// Connections open and close quickly while several goroutines send to them. No frame
// reaches a wrong connection, and each sender's frames arrive in order. (gnet by
// itself would write to the file descriptor of a closed connection, which may belong
// to another user by then.)
func TestConnectionChurn(t *testing.T) {
	const senders, clients, lives = 4, 8, 60
	var (
		mu    sync.Mutex
		peers = map[uint64]*ConnRef{}
		last  uint64
	)
	r := serve(t, &funcs{
		request: func(t Turn, c *Conn, r *proto.Request) bool {
			mu.Lock()
			last++
			id := last
			peers[id] = c.Ref()
			mu.Unlock()
			c.SetData(t, id)
			say(t, c, fmt.Sprint(id))
			return true
		},
		closed: func(t Turn, c *Conn) {
			// Some closed connections stay in peers, so that others send to them.
			if id, ok := c.Data(t).(uint64); ok && id%2 == 0 {
				mu.Lock()
				delete(peers, id-1)
				mu.Unlock()
			}
		},
	})
	var quit atomic.Bool
	var wg, sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			for n := 0; !quit.Load(); n++ {
				mu.Lock()
				batch := make(map[uint64]*ConnRef, len(peers))
				for id, p := range peers {
					batch[id] = p
				}
				mu.Unlock()
				for id, p := range batch {
					body, err := json.Marshal(churnFrame{id, s, n})
					if err != nil {
						panic(err)
					}
					if s%2 == 0 {
						if err := p.Send(body); err != nil && !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
					} else if r.Post(rand.IntN(2), func(t Turn) { t.Send(p, body) }) != nil {
						return
					}
				}
				time.Sleep(time.Millisecond) // lets other goroutines run
			}
		})
	}
	for range clients {
		wg.Go(func() {
			for life := range lives {
				if err := churnClient(r, life); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	quit.Store(true)
	sending.Wait()
}

// churnClient is a short-lived client of TestConnectionChurn. It asks for its number,
// and checks the next few frames.
func churnClient(r *Reactor, life int) error {
	nc, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		return err
	}
	defer nc.Close()
	if life%3 == 0 {
		if err := nc.(*net.TCPConn).SetLinger(0); err != nil { // close with a RST
			return err
		}
	}
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := nc.Write(frame(chat("who am I"))); err != nil {
		return err
	}
	in := bufio.NewReader(nc)
	var me string
	seen := map[int]int{}
	for got := 0; got < 10; got++ {
		body, err := proto.ReadFrame(in, nil)
		if err != nil {
			return err
		}
		var m struct {
			message
			churnFrame
		}
		if err := json.Unmarshal(body, &m); err != nil {
			return fmt.Errorf("decode %q: %w", body, err)
		}
		if m.Op == proto.ERROR {
			me = m.message.Text
			continue
		}
		if fmt.Sprint(m.To) != me {
			return fmt.Errorf("connection %s got a frame for connection %d, want only its own", me, m.To)
		}
		if at, ok := seen[m.From]; ok && m.N <= at && m.From%2 == 0 {
			return fmt.Errorf("got frame %d of sender %d after frame %d, want ascending order", m.N, m.From, at)
		}
		seen[m.From] = m.N
	}
	return nil
}

// The bytes of droppable work count in the mailbox. If the mailbox is over half full,
// such work is refused, from goroutines off the loops and from turns. Accepted work
// runs, and frees its bytes.
func TestPostDroppable(t *testing.T) {
	const bound, room, size = 1000, 500, 100 // half of the mailbox is reserved for frames
	r := serve(t, &funcs{}, func(cfg *Config) { cfg.MaxMailbox, cfg.Loops = bound, 2 })
	gate, standing, ran := make(chan struct{}), make(chan struct{}), make(chan struct{}, 100)
	if err := r.Post(1, func(Turn) { close(standing); <-gate }); err != nil {
		t.Fatal(err)
	}
	await(t, standing, "the loop to block")
	taken := 0
	done := func(Turn) { ran <- struct{}{} }
	for r.PostDroppable(1, size, done) == nil {
		taken++
	}
	if taken != room/size {
		t.Errorf("PostDroppable accepted %d functions, want %d", taken, room/size)
	}
	if err := r.PostDroppable(1, size, done); err != ErrBusy {
		t.Errorf("PostDroppable with a full mailbox = %v, want %v", err, ErrBusy)
	}
	onLoop(t, r, 0, func(turn Turn) {
		if err := turn.PostDroppable(1, size, done); err != ErrBusy {
			t.Errorf("Turn.PostDroppable with a full mailbox = %v, want %v", err, ErrBusy)
		}
	})
	if n := r.counter("mailbox_full_total"); n != 3 {
		t.Errorf("counted a full mailbox %d times, want 3", n)
	}
	if n := r.loops[1].mailbox.bytes.Load(); n != room {
		t.Errorf("%d bytes in the mailbox, want %d", n, room)
	}
	close(gate)
	for range taken {
		await(t, ran, "an accepted function")
	}
	onLoop(t, r, 1, func(Turn) {})
	onLoop(t, r, 0, func(turn Turn) {
		for range room / size { // the functions of one turn count together
			if err := turn.PostDroppable(1, size, done); err != nil {
				t.Errorf("Turn.PostDroppable within the limit = %v, want nil", err)
			}
		}
		if err := turn.PostDroppable(1, size, done); err != ErrBusy {
			t.Errorf("Turn.PostDroppable beyond the limit = %v, want %v", err, ErrBusy)
		}
	})
	for range room / size {
		await(t, ran, "an accepted function")
	}
}
