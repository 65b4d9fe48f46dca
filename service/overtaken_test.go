package service_test

import (
	"context"
	"sync/atomic"
	"testing"

	"chatd/model"
	"chatd/model/feed"
	"chatd/proto"
	"chatd/service"
)

// gate blocks the first call of pass until the test closes open.
type gate struct {
	taken         atomic.Bool
	reached, open chan struct{}
}

func newGate() *gate { return &gate{reached: make(chan struct{}), open: make(chan struct{})} }

func (g *gate) pass() {
	if g.taken.CompareAndSwap(false, true) {
		close(g.reached)
		<-g.open
	}
}

// lateOpen is a store in which the first OpenDevice blocks before it returns.
type lateOpen struct {
	service.Store
	*gate
}

func (s lateOpen) OpenDevice(ctx context.Context, u model.User, device string, token []byte, max int, gone func() bool) (int64, bool, []feed.Ended, error) {
	session, added, ended, err := s.Store.OpenDevice(ctx, u, device, token, max, gone)
	s.pass()
	return session, added, ended, err
}

// lateToken is a store in which the first TokenMemberships reads the data and
// then blocks before it returns.
type lateToken struct {
	service.Store
	*gate
}

func (s lateToken) TokenMemberships(ctx context.Context, hash []byte, user int64) (model.Token, []model.Membership, error) {
	found, places, err := s.Store.TokenMemberships(ctx, hash, user)
	s.pass()
	return found, places, err
}

// lateStart is a store in which the first StartSession blocks before it answers.
type lateStart struct {
	service.Store
	*gate
}

func (s lateStart) StartSession(hash []byte, gone func() bool, allow func(int64) error, done func(model.Started, error)) {
	s.Store.StartSession(hash, gone, allow, func(st model.Started, err error) {
		go func() {
			s.pass()
			done(st, err)
		}()
	})
}

// If a login's token is revoked by a later login of the same device while the
// first login is in progress, the first one is refused. It must not end the
// session of the later one on any node: a client that was replaced doesn't
// reconnect, so no session would be left.
func TestOvertakenLoginEndsNoSession(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		late func(*setup, *gate)
		// login returns the request of the late login.
		login func(id int64, token string) obj
	}{
		{"by password, after it was numbered", func(s *setup, g *gate) {
			s.store = func(st service.Store) service.Store { return lateOpen{st, g} }
		}, func(id int64, _ string) obj {
			return obj{"msgid": proto.LOGIN, "id": id, "password": secret}
		}},
		{"by token, after the token was checked", func(s *setup, g *gate) {
			s.store = func(st service.Store) service.Store { return lateToken{st, g} }
		}, func(_ int64, token string) obj {
			return obj{"msgid": proto.LOGIN, "token": token}
		}},
		{"by token, after it was numbered", func(s *setup, g *gate) {
			s.store = func(st service.Store) service.Store { return lateStart{st, g} }
		}, func(_ int64, token string) obj {
			return obj{"msgid": proto.LOGIN, "token": token}
		}},
	} {
		for _, where := range []string{"on another node", "on its own node"} {
			t.Run(c.name+", "+where, func(t *testing.T) {
				t.Parallel()
				g := newGate()
				one := serve(t)
				two := one.second(func(s *setup) {
					c.late(s, g)
					s.reactor.QuickLanes, s.reactor.SlowLanes = 16, 16 // one worker is blocked
				})
				anna := one.user("anna")
				first := one.login(anna)
				first.close()
				one.settled(0)

				late := two.dial()
				rid := late.ask(c.login(anna, first.welcome.str("token")))
				<-g.reached
				there := one
				if where == "on its own node" {
					there = two
				}
				valid := there.login(anna)
				close(g.open)
				// It is refused or kicked, whichever comes first.
				f := late.await("the late login's refusal or KICK", func(f frame) bool { return f.int("rid") == rid || f.op() == proto.KICK })
				if f.op() == proto.LOGIN_ACK && f.int("errno") == 0 {
					t.Errorf("the late login got %v, want a refusal or KICK", f)
				}
				b := two.login(two.user("berta"))
				b.send(with(anna).event("hello")) // arrives after anything that the late login has published
				valid.op(proto.EVENT)
				valid.barrier()
				valid.nothing(proto.KICK)
			})
		}
	}
}

// If a device logs in by token, and again by the same token before the first login is
// registered, the first one gets KICK, and the second session stays.
func TestOvertakenByTheSameToken(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"on another node", "on its own node"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			g := newGate()
			one := serve(t)
			two := one.second(func(s *setup) {
				s.store = func(st service.Store) service.Store { return lateStart{st, g} }
			})
			anna := one.user("anna")
			first := one.login(anna)
			first.close()
			one.settled(0)
			byToken := obj{"msgid": proto.LOGIN, "token": first.welcome.str("token")}
			late := two.dial()
			late.ask(byToken)
			<-g.reached
			there := one
			if where == "on its own node" {
				there = two
			}
			valid := there.dial()
			valid.ok(byToken)
			close(g.open)
			if f := late.kicked(); f == nil || f.str("reason") != proto.Replaced {
				t.Errorf("the late login got %v, want KICK with reason %s", f, proto.Replaced)
			}
			b := two.login(two.user("berta"))
			b.send(with(anna).event("hello")) // arrives after anything that the late login has published
			valid.op(proto.EVENT)
			valid.barrier()
			valid.nothing(proto.KICK)
		})
	}
}
