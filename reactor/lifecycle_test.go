package reactor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatd/proto"
)

// Beyond MaxConns, a new connection gets an error and is closed. Existing connections
// aren't affected. When one closes, a new one is accepted.
func TestMaxConns(t *testing.T) {
	r := serve(t, &funcs{}, func(cfg *Config) { cfg.MaxConns = 3 })
	var in []*client
	for range 3 {
		c := dial(t, r)
		c.ping()
		in = append(in, c)
	}
	full := dial(t, r)
	full.want(message{Op: proto.ERROR, Errno: proto.TooFast, Text: "*", Retry: retryAfterMS})
	full.wantEnd()
	for _, c := range in {
		c.ping()
	}
	if n := r.counter(`connections_refused_total{reason="full"}`); n != 1 {
		t.Errorf("counted %d refusals, want 1", n)
	}
	in[0].Close()
	for {
		c := dial(t, r)
		c.send(`{"msgid":18}`)
		if m, ok := c.next(); ok && m.Op == proto.PONG {
			break
		}
	}
}

// An address can have ConnsPerAddr open connections.
func TestConnsPerAddr(t *testing.T) {
	closed := make(chan struct{}, 100)
	r := serve(t, &funcs{closed: func(t Turn, c *Conn) { closed <- struct{}{} }}, func(cfg *Config) { cfg.ConnsPerAddr = 2 })
	for range 5 {
		a, b := dial(t, r), dial(t, r)
		a.ping()
		b.ping()
		c := dial(t, r)
		c.want(message{Op: proto.ERROR, Errno: proto.TooFast, Text: "*", Retry: retryAfterMS})
		c.wantEnd()
		a.Close()
		b.Close()
		await(t, closed, "Closed")
		await(t, closed, "Closed")
		for i := range r.loops { // wait for the end of the turn, which updates the count
			onLoop(t, r, i, func(Turn) {})
		}
	}
}

// ConnectsPerSecPerAddr limits the new connections of one address.
func TestConnectRate(t *testing.T) {
	r := serve(t, &funcs{}, func(cfg *Config) { cfg.ConnectsPerSecPerAddr, cfg.Burst = 5, time.Second })
	refused := 0
	for range 50 {
		c := dial(t, r)
		c.send(`{"msgid":18}`)
		if m, _ := c.next(); m.Op != proto.PONG {
			refused++
		}
	}
	// This holds if the loop took less than ten seconds.
	if refused == 0 || r.counter(`connections_refused_total{reason="rate"}`) != uint64(refused) {
		t.Errorf("%d of 50 refused, %d counted; want the same number, above 0", refused, r.counter(`connections_refused_total{reason="rate"}`))
	}
}

// Stop closes all connections, ends their jobs, and calls Closed exactly once for each
// connection. Calls before Start and after Stop return errors.
func TestStop(t *testing.T) {
	var opened, closed, done atomic.Int64
	var peer *ConnRef
	var mu sync.Mutex
	started := make(chan struct{}, 100)
	h := &funcs{
		open: func(t Turn, c *Conn) { opened.Add(1) },
		request: func(t Turn, c *Conn, r *proto.Request) bool {
			mu.Lock()
			peer = c.Ref()
			mu.Unlock()
			if err := Go(t, c, Quick, func(t Off) (int, error) {
				started <- struct{}{}
				<-t.Done()
				return 0, t.Err()
			}, func(t Turn, _ int, err error) {
				if errors.Is(err, context.Canceled) && !c.Open(t) {
					done.Add(1)
				}
			}); err != nil {
				say(t, c, err.Error())
			}
			return true
		},
		closed: func(t Turn, c *Conn) { closed.Add(1) },
	}
	cfg := testConfig(t)
	cfg.QuickLanes = 40 // a worker for each
	r, err := New(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Post(0, func(Turn) {}); !errors.Is(err, ErrStopped) {
		t.Errorf("Post before Start = %v, want %v", err, ErrStopped)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	var all []*client
	for range 20 {
		c := dial(t, r)
		c.send("%s", chat("work"))
		all = append(all, c)
		await(t, started, "the job")
	}
	var wg sync.WaitGroup
	for range 3 { // several goroutines may call Stop
		wg.Go(func() { stop(t, r) })
	}
	wg.Wait()
	for _, c := range all {
		c.wantEnd()
	}
	if opened.Load() != 20 || closed.Load() != 20 || done.Load() != 20 {
		t.Errorf("opened %d connections, closed %d, canceled %d jobs; want 20 each", opened.Load(), closed.Load(), done.Load())
	}
	if err := r.Post(0, func(Turn) {}); !errors.Is(err, ErrStopped) {
		t.Errorf("Post after Stop = %v, want %v", err, ErrStopped)
	}
	if err := peer.Send([]byte("{}")); !errors.Is(err, ErrClosed) {
		t.Errorf("Send after Stop = %v, want %v", err, ErrClosed)
	}
	if _, err := net.Dial("tcp", r.Addr().String()); err == nil {
		t.Error("Dial after Stop succeeded, want an error")
	}
	if err := r.Start(); err == nil {
		t.Error("Start after Stop = nil, want an error")
	}
}

// Stop doesn't run queued jobs. The done function of each job that hasn't begun is
// called once, with ErrStopped.
func TestStopWithFullLanes(t *testing.T) {
	const clients = 50
	var ran, refused atomic.Int64
	begun := make(chan struct{}, clients)
	h := &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		if err := Go(t, c, Slow, func(t Off) (int, error) {
			begun <- struct{}{}
			<-t.Done()
			return 1, nil
		}, func(t Turn, v int, err error) {
			if v == 1 {
				ran.Add(1)
			} else if errors.Is(err, ErrStopped) {
				refused.Add(1)
			}
		}); err != nil {
			say(t, c, err.Error())
		}
		return true
	}}
	cfg := testConfig(t)
	cfg.SlowLanes = 1
	r, err := New(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	for range clients {
		c := dial(t, r)
		c.send("%s", chat("work"))
		c.ping()
	}
	await(t, begun, "the first job")
	stop(t, r)
	if ran.Load() != 1 || refused.Load() != clients-1 {
		t.Errorf("%d jobs ran, %d got ErrStopped; want 1 and %d", ran.Load(), refused.Load(), clients-1)
	}
}

// Stop returns when its context is done, even if a loop is blocked.
func TestStopInTime(t *testing.T) {
	r := serve(t, &funcs{})
	release, stuck := make(chan struct{}), make(chan struct{})
	if err := r.Post(0, func(Turn) { close(stuck); <-release }); err != nil {
		t.Fatal(err)
	}
	await(t, stuck, "the stuck turn")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop = %v, want %v", err, context.Canceled)
	}
	close(release)
}

// New's error names the address on which it can't listen, or the invalid setting. A
// reactor that was never started can be stopped.
func TestNewFails(t *testing.T) {
	r, err := New(testConfig(t), &funcs{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t)
	cfg.Addr = r.Addr().String()
	if _, err := New(cfg, &funcs{}); err == nil || !strings.Contains(err.Error(), cfg.Addr) {
		t.Errorf("second New on %s: error %v, want one with the address", cfg.Addr, err)
	}
	stop(t, r)
	for field, change := range map[string]func(cfg *Config){
		"Addr":         func(cfg *Config) { cfg.Addr = "nonsense" },
		"Loops":        func(cfg *Config) { cfg.Loops = -1 },
		"MaxHeld":      func(cfg *Config) { cfg.MaxHeld = 0 },
		"IdleTimeout":  func(cfg *Config) { cfg.IdleTimeout = 0 },
		"WebPort":      func(cfg *Config) { cfg.WebPort = 65536 },
		"WebURL":       func(cfg *Config) { cfg.WebURL = "/relative" },
		"Origins":      func(cfg *Config) { cfg.Origins = []string{"chat.example"} },
		"MaxBadFrames": func(cfg *Config) { cfg.MaxBadFrames = 0 },
	} {
		cfg := testConfig(t)
		change(&cfg)
		if _, err := New(cfg, &funcs{}); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("New with an invalid %s: error %v, want one that names it", field, err)
		}
	}
}

// Drain finishes jobs that were accepted, and takes no new requests. Each client gets
// a KICK with a number of its own, whether it is busy, idle, on a WebSocket, or hasn't
// sent a byte yet.
func TestDrain(t *testing.T) {
	release := make(chan struct{})
	working := make(chan struct{}, 10)
	r := serve(t, &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		if string(r.Msg) != "job" {
			echo(t, c, r)
			return true
		}
		if c.Data(t) != nil {
			return false
		}
		c.SetData(t, "busy")
		if err := Go(t, c, Quick, func(t Off) (int, error) {
			working <- struct{}{}
			<-release
			return 0, nil
		}, func(t Turn, _ int, err error) {
			say(t, c, "answered")
			c.SetData(t, nil)
			c.Resume(t)
		}); err != nil {
			say(t, c, err.Error())
		}
		return true
	}})
	busy := dial(t, r)
	busy.send("%s", chat("job"))
	await(t, working, "the job")
	busy.send("%s", chat("job")) // held, and never taken
	busy.ping()
	web := dialWS(t, r)
	silent := dial(t, r)
	idle := dial(t, r)
	idle.ping()

	drained := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		drained <- r.Drain(ctx, func(t Turn, c *Conn) bool { return c.Data(t) == nil }, func(n int) []byte {
			return proto.AppendResponse(nil, &proto.Response{Op: proto.KICK, Reason: proto.Draining, RetryAfter: int64(n + 1)})
		})
	}()
	numbers := map[int64]bool{}
	kicked := func(c *client) {
		t.Helper()
		m, ok := c.next()
		if !ok || m.Op != proto.KICK || m.Reason != proto.Draining {
			t.Fatalf("got %+v (end of stream: %t), want KICK %q", m, !ok, proto.Draining)
		}
		numbers[m.Retry] = true
		c.wantEnd()
		c.Close()
	}
	kicked(idle)
	kicked(silent)
	op, p, _ := web.frameWS()
	if !strings.Contains(string(p), `"draining"`) {
		t.Errorf("the WebSocket client got opcode %v, %q; want KICK %q", op, p, proto.Draining)
	}
	web.wantClose(1000)
	web.Close()
	if _, err := net.Dial("tcp", r.Addr().String()); err == nil {
		t.Error("Dial while draining succeeded, want an error")
	}
	busy.send("%s", chat("too late"))
	busy.ping()
	select {
	case err := <-drained:
		t.Fatalf("Drain returned (error %v) before the job was done, want it to wait", err)
	default:
	}
	close(release)
	busy.wantText("answered")
	kicked(busy)
	if err := await(t, drained, "the end of Drain"); err != nil {
		t.Error(err)
	}
	if len(numbers) != 3 {
		t.Errorf("numbers in the KICKs = %v, want 3 different ones", numbers)
	}
}

// When Drain's context is done, the remaining clients still get the last frame.
func TestDrainInTime(t *testing.T) {
	r := serve(t, &funcs{})
	c := dial(t, r)
	c.ping()
	ctx, cancel := context.WithCancel(context.Background())
	looked := make(chan struct{}, 1)
	drained := make(chan error, 1)
	go func() {
		drained <- r.Drain(ctx, func(Turn, *Conn) bool {
			select {
			case looked <- struct{}{}:
			default:
			}
			return false
		}, func(n int) []byte { return sayBody(fmt.Sprint("last ", n)) })
	}()
	await(t, looked, "the first look")
	cancel()
	c.wantText("last 0")
	c.wantEnd()
	c.Close()
	if err := await(t, drained, "the end of Drain"); !errors.Is(err, context.Canceled) {
		t.Errorf("Drain = %v, want %v", err, context.Canceled)
	}
}

// Each calls a function for every connection, on the connection's loop.
func TestEach(t *testing.T) {
	r := serve(t, &funcs{})
	var all []*client
	for range 10 {
		c := dial(t, r)
		c.ping()
		all = append(all, c)
	}
	r.Each(func(t Turn, c *Conn) {
		if c.Ref().Loop() == t.Loop() {
			c.Finish(t, sayBody("everyone"))
		}
	})
	for _, c := range all {
		c.wantText("everyone")
		c.wantEnd()
	}
}

// Connections are spread evenly over the loops.
func TestLeastConnections(t *testing.T) {
	var per [4]atomic.Int64
	r := serve(t, &funcs{open: func(t Turn, c *Conn) { per[t.Loop()].Add(1) }}, func(cfg *Config) { cfg.Loops = 4 })
	for range 40 {
		dial(t, r).ping()
	}
	for i := range per {
		if n := per[i].Load(); n != 10 {
			t.Errorf("loop %d has %d of 40 connections, want 10", i, n)
		}
	}
}

// A timer runs on the loop that started it, and not early. A stopped timer doesn't run.
func TestAfter(t *testing.T) {
	r := serve(t, &funcs{})
	ran := make(chan string, 10)
	early := make(chan time.Duration, 10)
	onLoop(t, r, 1, func(t Turn) {
		from := t.Now()
		stop := t.After(150*time.Millisecond, func(Turn) { ran <- "stopped" })
		t.After(300*time.Millisecond, func(t Turn) {
			early <- t.Now().Sub(from)
			ran <- fmt.Sprint("loop ", t.Loop())
		})
		t.After(0, func(t Turn) { stop(t); stop(t) })
	})
	if got := await(t, ran, "the timer"); got != "loop 1" {
		t.Errorf("timer %q ran, want \"loop 1\"", got)
	}
	if d := <-early; d < 300*time.Millisecond {
		t.Errorf("a timer of 300ms ran after %v, want at least 300ms", d)
	}
}

// Stop works under load: with connections that open and close, frames, sends from
// other goroutines, jobs and timers. Afterwards nothing runs, and Closed was called
// once for each connection.
func TestStopUnderLoad(t *testing.T) {
	var opened, closed atomic.Int64
	var peers sync.Map
	r := serve(t, &funcs{
		open: func(t Turn, c *Conn) {
			opened.Add(1)
			peers.Store(c.Ref(), true)
		},
		request: func(t Turn, c *Conn, r *proto.Request) bool {
			t.After(time.Millisecond, func(t Turn) { say(t, c, "timer") })
			// An error is fine: the workers stop, too.
			_ = Go(t, c, Quick, func(t Off) (int, error) { return 0, nil }, func(t Turn, _ int, err error) { say(t, c, "done") })
			c.WhenDrained(t, 0, func(t Turn) { say(t, c, "below") })
			return true
		},
		closed: func(t Turn, c *Conn) {
			closed.Add(1)
			peers.Delete(c.Ref())
		},
	})
	var quit atomic.Bool
	var wg sync.WaitGroup
	answered := make(chan struct{}, 1000)
	for range 6 {
		wg.Go(func() {
			for !quit.Load() {
				nc, err := net.Dial("tcp", r.Addr().String())
				if err != nil {
					return // the reactor has stopped
				}
				// Ignore errors: the reactor may stop at any time.
				_, _ = nc.Write(frame(chat("load")))
				if _, err := nc.Read(make([]byte, 100)); err == nil {
					select {
					case answered <- struct{}{}:
					default:
					}
				}
				_ = nc.Close()
			}
		})
	}
	for range 3 {
		wg.Go(func() {
			for !quit.Load() {
				peers.Range(func(p, _ any) bool {
					_ = p.(*ConnRef).Send(sayBody("outside")) // the connection may be closed
					return true
				})
				r.Each(func(t Turn, c *Conn) { say(t, c, "each") })
				time.Sleep(time.Millisecond) // the rate of sending
			}
		})
	}
	for range 200 {
		await(t, answered, "an answer")
	}
	stop(t, r)
	quit.Store(true)
	wg.Wait()
	if opened.Load() != closed.Load() || r.open.Load() != 0 {
		t.Errorf("opened %d connections, closed %d, %d counted as open; want all closed and 0 open", opened.Load(), closed.Load(), r.open.Load())
	}
}

// The reactor can listen on IPv6.
func TestIPv6(t *testing.T) {
	if ln, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("no IPv6 here: ", err)
	} else if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	c := dial(t, serve(t, &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		say(t, c, c.Addr(t).String())
		return true
	}}, func(cfg *Config) { cfg.Addr = "[::1]:0" }))
	c.send("%s", chat("who"))
	c.wantText("::1")
}
