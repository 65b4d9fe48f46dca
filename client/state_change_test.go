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

// logBlocker blocks the log line "connection ended", and so what the client does
// after it, until the test releases it.
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

// statesUntil takes state changes up to the first s, and returns them as text.
func (r *record) statesUntil(s State) string {
	r.t.Helper()
	var out []string
	for {
		got := take(r.t, r.states, s.String())
		what := got.State.String()
		if got.Final {
			what += " (final)"
		}
		out = append(out, what)
		if got.State == s {
			return strings.Join(out, ", ")
		}
	}
}

// Handlers get state changes in the order in which they happened, even if the
// application logs in again while the client still cleans up the last connection.
func TestStatesInOrder(t *testing.T) {
	for name, first := range map[string]func(*fake, *Client) error{
		"connection refused by the server": func(f *fake, c *Client) error {
			done := make(chan error, 1)
			go func() { done <- c.Login(within(t), "alice", "secret") }()
			p := f.accept()
			p.send(&proto.Response{Op: proto.ERROR, Errno: proto.TooFast, ErrMsg: "too many connections"})
			p.conn.Close()
			return take(t, done, "the login")
		},
		"connection lost": func(f *fake, c *Client) error {
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
				t.Fatalf("first login = %v, want ErrNotConnected", err)
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
				t.Errorf("states = %v, want %v at the end", states, want)
			}
			if s := c.State(); s != LoggedIn {
				t.Errorf("State() = %v, want %v", s, LoggedIn)
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
	c.loginLock <- struct{}{} // the reconnect waits until there is another connection
	p.conn.Close()
	if s := rec.state(Disconnected); s.Final {
		t.Fatalf("state change = %+v, want one that isn't Final", s)
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
			t.Fatalf("the client sent %+v, want REG or LOGIN", q)
		}
	}
	if err := take(t, registered, "the new user"); err != nil {
		t.Error(err)
	}
	if s := rec.statesUntil(LoggedIn); s != "connected, logged in" {
		t.Errorf("states = %s, want connected, logged in", s)
	}
}

// If a reconnect was announced and won't happen, because of a failed login or a
// logout, handlers get a final state change.
func TestNoMoreAttempts(t *testing.T) {
	for name, end := range map[string]func(*Client) error{
		"failed login": func(c *Client) error { return c.Login(within(t), "alice", "secret") },
		"logout":       func(c *Client) error { return c.Logout(within(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			f, rec := newFake(t), newRecord(t)
			c, p := f.loggedIn(rec, proto.Response{}, func(cfg *Config) { cfg.BackoffMin, cfg.BackoffMax = time.Hour, time.Hour })
			f.ln.Close()
			p.conn.Close()
			if s := rec.state(Disconnected); s.Final {
				t.Fatalf("state change = %+v, want one that isn't Final", s)
			}
			if err := end(c); !errors.Is(err, ErrNotConnected) {
				t.Errorf("%s = %v, want ErrNotConnected", name, err)
			}
			if s := rec.state(Disconnected); !s.Final {
				t.Errorf("state change after a %s = %+v, want Final", name, s)
			}
		})
	}
}

// If Register connects while a reconnect waits, and that connection is lost, the
// client still reconnects.
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
		t.Errorf("state change = %+v, want a retry", s)
	}
}

// Login returns nil for an acknowledged login, even if ctx ends before it returns.
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
			t.Fatalf("login %d = %v, state %v; want nil, logged in", i, err, c.State())
		}
		if ctx.Err() == nil {
			t.Error("ctx hasn't ended, so this test checks nothing")
		}
	}
}
