package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"chatd/proto"
)

// logBlocker blocks the logging of "connection ended" until the test releases
// it, and with it what the client does afterwards.
type logBlocker struct {
	slog.Handler
	reached chan struct{}
	open    chan struct{}
}

func newLogBlocker(t *testing.T) *logBlocker {
	g := &logBlocker{Handler: slog.DiscardHandler, reached: make(chan struct{}, 100), open: make(chan struct{})}
	t.Cleanup(g.release)
	return g
}

func (g *logBlocker) Enabled(context.Context, slog.Level) bool { return true }

func (g *logBlocker) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "connection ended" {
		g.reached <- struct{}{}
		<-g.open
	}
	return nil
}

func (g *logBlocker) release() {
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}

// statesUntil returns the state changes up to the first s.
func (r *record) statesUntil(s State) string {
	r.t.Helper()
	var out []string
	for {
		got := take(r.t, r.states, s.String())
		what := got.State.String()
		if got.Final {
			what += " for good"
		}
		out = append(out, what)
		if got.State == s {
			return strings.Join(out, ", ")
		}
	}
}

// Handlers get state changes in the order in which they happened, even if the
// application logs in again while the client still processes the end of the last
// connection.
func TestStatesInOrder(t *testing.T) {
	for name, first := range map[string]func(*fake, *Client) error{
		"a login that was refused with the connection": func(f *fake, c *Client) error {
			done := make(chan error, 1)
			go func() { done <- c.Login(within(t), "alice", "secret") }()
			p := f.accept()
			p.send(&proto.Response{Op: proto.ERROR, Errno: proto.TooFast, ErrMsg: "too many connections"})
			p.conn.Close()
			return take(t, done, "the login")
		},
		"a connection that was lost": func(f *fake, c *Client) error {
			done := make(chan error, 1)
			go func() { done <- c.Login(within(t), "alice", "secret") }()
			p := f.login(proto.Response{})
			err := take(t, done, "the login")
			p.conn.Close()
			return errors.Join(err, ErrNotConnected)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, rec, g := newFake(t), newRecord(t), newLogBlocker(t)
			c := f.newClient(rec, func(cfg *Config) {
				cfg.Logger, cfg.BackoffMin, cfg.BackoffMax = slog.New(g), time.Hour, time.Hour
			})
			if err := first(f, c); !errors.Is(err, ErrNotConnected) {
				t.Fatal(err)
			}
			take(t, g.reached, "the end of the connection")
			done := make(chan error, 1)
			go func() { done <- c.Login(within(t), "alice", "secret") }()
			p := f.login(proto.Response{})
			if err := take(t, done, "the login"); err != nil {
				t.Fatal(err)
			}
			g.release()
			p.send(push(chat(1)))
			rec.seqs(1)
			var states []State
			for len(rec.states) > 0 {
				states = append(states, (<-rec.states).State)
			}
			want := []State{Disconnected, Connected, LoggedIn}
			if len(states) < 3 || !slices.Equal(states[len(states)-3:], want) {
				t.Errorf("got the states %v, want %v at the end", states, want)
			}
			if s := c.State(); s != LoggedIn {
				t.Errorf("it is %v", s)
			}
		})
	}
}

// If Register connects while a reconnect waits, the reconnect uses that
// connection.
func TestRegisterWhileReconnecting(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	rec.state(LoggedIn)
	c.loginLock <- struct{}{} // the attempt waits until there is the other connection
	p.conn.Close()
	if s := rec.state(Disconnected); s.Final {
		t.Fatalf("state %+v", s)
	}
	registered := make(chan error, 1)
	if _, err := c.dial(within(t), false); err != nil {
		t.Fatal(err)
	}
	p = f.accept()
	go func() { _, err := c.Register(within(t), "carol", "secret"); registered <- err }()
	<-c.loginLock
	for range 2 { // in either order
		switch q := take(t, p.requests, "a request"); q.Op {
		case proto.REG:
			p.answer(q, proto.Response{ID: 3})
		case proto.LOGIN:
			p.answer(q, proto.Response{ID: 1, Name: "alice", Token: "tok", Device: "default", Window: 256, Epoch: 7})
		default:
			t.Fatalf("the client sent %+v", q)
		}
	}
	if err := take(t, registered, "the new user"); err != nil {
		t.Error(err)
	}
	if s := rec.statesUntil(LoggedIn); s != "connected, logged in" {
		t.Errorf("got the states %s, want connected, logged in", s)
	}
}

// If another attempt was announced and won't happen, handlers get a final state
// change: after a failed login, and after a logout.
func TestNoMoreAttempts(t *testing.T) {
	for name, end := range map[string]func(*Client) error{
		"a login that fails": func(c *Client) error { return c.Login(within(t), "alice", "secret") },
		"logging out":        func(c *Client) error { return c.Logout(within(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			f, rec := newFake(t), newRecord(t)
			c, p := f.loggedIn(rec, proto.Response{}, func(cfg *Config) { cfg.BackoffMin, cfg.BackoffMax = time.Hour, time.Hour })
			f.ln.Close()
			p.conn.Close()
			if s := rec.state(Disconnected); s.Final {
				t.Fatalf("state %+v", s)
			}
			if err := end(c); !errors.Is(err, ErrNotConnected) {
				t.Errorf("the error is %v", err)
			}
			if s := rec.state(Disconnected); !s.Final {
				t.Errorf("state %+v", s)
			}
		})
	}
}

// If Register connects while a reconnect waits, the end of that connection isn't
// final.
func TestRegisteredAndLost(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, func(cfg *Config) { cfg.BackoffMin, cfg.BackoffMax = time.Hour, time.Hour })
	p.conn.Close()
	rec.state(Disconnected)
	done := make(chan error, 1)
	go func() { _, err := c.Register(within(t), "carol", "secret"); done <- err }()
	p = f.accept()
	p.answer(p.expect(proto.REG), proto.Response{ID: 3})
	if err := take(t, done, "the new user"); err != nil {
		t.Fatal(err)
	}
	p.conn.Close()
	if s := rec.state(Disconnected); s.Final || s.Retry <= 0 {
		t.Errorf("state %+v", s)
	}
}

// An acknowledged login has succeeded, even if ctx ends before Login returns.
func TestLoginEndsOneWay(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, func(cfg *Config) { cfg.BackoffMin, cfg.BackoffMax = time.Hour, time.Hour })
	for i := range 20 {
		rec.state(LoggedIn)
		ctx, cancel := context.WithCancel(within(t))
		// The answer has another device, so the message fails, and its callback runs
		// before Login returns.
		if err := c.SendAsync(User(2), "x", func(Receipt, error) { cancel() }); err != nil {
			t.Fatal(err)
		}
		p.expect(proto.ONE_CHAT)
		p.conn.Close()
		rec.state(Disconnected)
		done := make(chan error, 1)
		go func() { done <- c.Login(ctx, "alice", "secret") }()
		p = f.accept()
		p.answer(p.expect(proto.LOGIN), proto.Response{ID: 1, Name: "alice", Token: "tok", Device: fmt.Sprint(i), Window: 256, Epoch: 7})
		if err := take(t, done, "the login"); err != nil || c.State() != LoggedIn {
			t.Fatalf("login %d: %v, and the client is %v", i, err, c.State())
		}
		if ctx.Err() == nil {
			t.Error("ctx hasn't ended: this test shows nothing")
		}
	}
}
