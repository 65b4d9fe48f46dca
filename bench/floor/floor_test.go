package floor

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	"go.uber.org/goleak"
)

// patience only decides how soon a failing test gives up.
const patience = 60 * time.Second

// TestMain checks that no relay leaves a goroutine behind. gnet's worker
// pool starts when its package is loaded, so it is ignored.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

// serve runs a relay until the test ends and returns its address.
func serve(tb testing.TB, cfg Config) string {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() { ended <- Run(ctx, cfg, func(a net.Addr) { ready <- a }) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
	})
	select {
	case a := <-ready:
		return a.String()
	case err := <-ended:
		ended <- err
		tb.Fatal("the relay ended at once: ", err)
		return ""
	}
}

// client is one connection to a relay.
type client struct {
	net.Conn
	tb testing.TB
	in *bufio.Reader
}

// dial connects and, unless role is none, sends the hello.
func dial(tb testing.TB, addr string, role Role, group uint64) *client {
	tb.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		tb.Fatal(err)
	}
	c := &client{nc, tb, bufio.NewReader(nc)}
	if role != none {
		c.send(Hello(role, group, []byte("welcome")))
		c.want("welcome")
	}
	return c
}

func (c *client) send(p []byte) {
	c.tb.Helper()
	if _, err := c.Write(p); err != nil {
		c.tb.Fatal(err)
	}
}

// read returns the body of the next frame.
func (c *client) read() (string, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return "", err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(c.in, body)
	return string(body), err
}

// want fails the test unless the next frame has this body.
func (c *client) want(body string) {
	c.tb.Helper()
	if got, err := c.read(); err != nil || got != body {
		c.tb.Fatalf("next frame = %.60q, %v; want %.60q", got, err, body)
	}
}

// quiet checks that nothing is pending: the relay's answer to Ask must be the
// next frame.
func (c *client) quiet() {
	c.tb.Helper()
	c.send(Ask([]byte("asked")))
	c.want("asked")
}

// over waits until the relay closes the connection.
func (c *client) over() {
	c.tb.Helper()
	_, err := io.Copy(io.Discard, c.in)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.tb.Fatalf("the relay didn't close the connection: %v", err)
	}
}

func frame(body string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// text returns a body that is unique to the group and number. Sizes vary.
func text(group uint64, n int) string {
	return fmt.Sprintf("{%d %d %0*d", group, n, n%977, 0)
}

// Whatever pieces a sender writes in, its receiver gets every byte in order,
// and nobody else gets any: on one loop and between loops.
func TestPairs(t *testing.T) {
	const pairs, messages = 8, 3000
	for _, loops := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(loops, " loops"), func(t *testing.T) {
			addr := serve(t, Config{Loops: loops})
			var wg sync.WaitGroup
			for group := range uint64(pairs) {
				to := dial(t, addr, Receiver, group)
				from := dial(t, addr, Sender, group)
				wg.Go(func() {
					var all []byte
					for n := range messages {
						all = append(all, frame(text(group, n))...)
					}
					for piece := 1; len(all) > 0; piece = piece*7%50_021 + 1 {
						k := min(piece, len(all))
						if _, err := from.Write(all[:k]); err != nil {
							t.Error(err)
							return
						}
						all = all[k:]
					}
				})
				wg.Go(func() {
					for n := range messages {
						if got, err := to.read(); err != nil || got != text(group, n) {
							t.Errorf("pair %d, message %d = %.40q, %v; want %.40q", group, n, got, err, text(group, n))
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// All receivers of a group get everything that its senders write, in each
// sender's order. A receiver that joins later gets what is sent after that.
func TestGroups(t *testing.T) {
	const receivers, messages = 20, 500
	addr := serve(t, Config{Loops: 2})
	a, b := dial(t, addr, Sender, 7), dial(t, addr, Sender, 7)
	other := dial(t, addr, Receiver, 8)
	a.send(frame("for nobody"))
	a.quiet()
	all := make([]*client, receivers)
	for i := range all {
		all[i] = dial(t, addr, Receiver, 7)
	}
	var wg sync.WaitGroup
	for name, from := range map[string]*client{"a": a, "b": b} {
		wg.Go(func() {
			for n := range messages {
				if _, err := from.Write(frame(fmt.Sprint(name, n))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for _, to := range all {
		wg.Go(func() {
			next := map[byte]int{}
			for range 2 * messages {
				got, err := to.read()
				if err != nil || got != fmt.Sprint(got[:1], next[got[0]]) {
					t.Errorf("received %q, %v; want the next number of a or b: %v", got, err, next)
					return
				}
				next[got[0]]++
			}
		})
	}
	wg.Wait()
	for _, to := range append(all, other) {
		to.quiet()
	}
}

// When a receiver disconnects, the other receivers of its group still get
// everything, and the next connection with its file descriptor gets none of it.
func TestReceiversThatDisconnect(t *testing.T) {
	addr := serve(t, Config{Loops: 2})
	from := dial(t, addr, Sender, 1)
	stays := dial(t, addr, Receiver, 1)
	stopped, ended := make(chan struct{}), make(chan struct{})
	window := make(chan struct{}, 64)
	go func() {
		defer close(ended)
		for n := 0; ; n++ {
			select {
			case <-stopped:
				return
			case window <- struct{}{}:
			}
			if _, err := from.Write(frame(text(1, n))); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	read := make(chan struct{})
	go func() {
		defer close(read)
		for n := 0; ; n++ {
			got, err := stays.read()
			if got == "the end" {
				return
			}
			if err != nil || got != text(1, n) {
				t.Errorf("message %d = %.40q, %v; want %.40q", n, got, err, text(1, n))
				return
			}
			<-window
		}
	}()
	for range 100 {
		goes := dial(t, addr, Receiver, 1)
		if err := goes.Conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		_ = goes.Close()
		bystander := dial(t, addr, Receiver, 2)
		bystander.quiet()
		_ = bystander.Close()
	}
	close(stopped)
	<-ended
	from.send(frame("the end"))
	<-read
}

// An invalid frame, or one that its connection may not send, closes that
// connection and no other.
func TestInvalidFrames(t *testing.T) {
	addr := serve(t, Config{Loops: 2, MaxFrame: 1000})
	to, from := dial(t, addr, Receiver, 1), dial(t, addr, Sender, 1)
	for name, c := range map[string]struct {
		role Role
		send []byte
	}{
		"empty":                {Sender, frame("")},
		"too long":             {Sender, append(frame("before it"), 0, 0, 3, 233)},
		"far too long":         {Sender, []byte("GET / HTTP/1.1\r\n\r\n")},
		"before hello":         {none, frame("x")},
		"of a receiver":        {Receiver, frame("x")},
		"hello twice":          {Sender, Hello(Receiver, 3, []byte("a"))},
		"hello without answer": {none, Hello(Sender, 3, nil)},
		"hello cut short":      {none, frame("\x00\x01")},
		"unknown role":         {none, Hello(9, 3, []byte("a"))},
	} {
		t.Run(name, func(t *testing.T) {
			c2 := dial(t, addr, c.role, 2)
			c2.send(c.send)
			c2.over()
		})
	}
	longest := string(bytes.Repeat([]byte("x"), 1000))
	from.send(frame(longest))
	to.want(longest)
}

// A receiver that doesn't read can't make the relay use more memory than
// MaxWaiting: the relay closes it, and its group continues.
func TestReceiverThatDoesNotRead(t *testing.T) {
	for _, loops := range []int{1, 2} {
		t.Run(fmt.Sprint(loops, " loops"), func(t *testing.T) {
			var log bytes.Buffer
			addr := serve(t, Config{Loops: loops, MaxWaiting: 64 << 10, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			from, reads := dial(t, addr, Sender, 1), dial(t, addr, Receiver, 1)
			var stuck []*client
			for range 4 { // on any loops
				stuck = append(stuck, dial(t, addr, Receiver, 1))
			}
			body := string(bytes.Repeat([]byte("x"), 32<<10))
			const most = 64 << 20 >> 15 // more than any kernel's buffers take
			n := 0
			for ; n < most; n++ {
				from.send(frame(body))
				reads.want(body) // bounds the bytes in flight
			}
			for _, c := range stuck {
				got, err := io.Copy(io.Discard, c.in)
				if err != nil && !errors.Is(err, syscall.ECONNRESET) {
					t.Fatalf("the relay didn't close a receiver that doesn't read: %v", err)
				}
				if got >= int64(n)*int64(len(body)) {
					t.Errorf("a receiver that doesn't read got all %d bytes, want fewer", got)
				}
			}
			reads.quiet()
		})
	}
}

// unwritable is a closed connection of gnet. A write to it fails the test.
type unwritable struct {
	gnet.Conn
	t *testing.T
	c *conn
}

func (u *unwritable) Context() any { return u.c }

func (u *unwritable) Write([]byte) (int, error) {
	u.t.Error("Write called on a closed connection")
	return 0, nil
}

// Frames that are in the mailbox when their connection closes are never
// written: gnet would write them to the next connection with the same file
// descriptor.
func TestNoWriteAfterClose(t *testing.T) {
	r := &relay{cfg: Config{}.withDefaults()}
	l := &loop{relay: r}
	gc := &unwritable{t: t}
	gc.c = &conn{gc: gc, loop: l}
	l.box.armed = true // so that post doesn't wake the loop
	if !l.post([]*conn{gc.c}, frame("a")) || !l.post([]*conn{gc.c}, frame("b")) {
		t.Fatal("post refused two small frames, want them accepted")
	}
	r.OnClose(gc, nil)
	if err := l.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A mailbox accepts at most MaxMailbox bytes.
func TestFullMailbox(t *testing.T) {
	l := &loop{relay: &relay{cfg: Config{MaxMailbox: 100}}}
	l.box.armed = true // so that post doesn't wake the loop
	to := []*conn{{loop: l}}
	if !l.post(to, make([]byte, 60)) || l.post(to, make([]byte, 60)) || !l.post(to, make([]byte, 40)) {
		t.Error("posts of 60, 60 and 40 bytes to a mailbox of 100: want only the second one refused")
	}
}

// Run returns an error if the address is taken or invalid.
func TestAddressInUse(t *testing.T) {
	addr := serve(t, Config{})
	for _, addr := range []string{addr, "127.0.0.1:nothing"} {
		err := Run(t.Context(), Config{Addr: addr}, func(net.Addr) { t.Errorf("Run(%s) listens, want an error", addr) })
		if err == nil {
			t.Errorf("Run(%s) = nil, want an error", addr)
		}
	}
}
