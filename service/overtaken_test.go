package service_test

import (
	"context"
	"sync/atomic"
	"testing"

	"chatd/model"
	"chatd/proto"
	"chatd/service"
	"chatd/service/bus"
)

// gate holds the first that passes until the test opens it.
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

// lateClock is a bus on which the first question for the time waits, and then
// gets the time that it is by then.
type lateClock struct {
	bus.Bus
	*gate
}

func (b lateClock) Now(ctx context.Context) int64 {
	b.pass()
	return b.Bus.Now(ctx)
}

// lateToken is a store that is slow to say what it has found of the first
// token.
type lateToken struct {
	service.Store
	*gate
}

func (s lateToken) TokenMemberships(ctx context.Context, hash []byte, user int64) (model.User, string, []model.Membership, error) {
	u, device, places, err := s.Store.TokenMemberships(ctx, hash, user)
	s.pass()
	return u, device, places, err
}

// A login whose token another login of the device has ended while it was under
// way is refused in the end. It must not have ended that other session, on
// whatever node, on its way there: then nobody would be left, as a client that
// was replaced doesn't come back.
func TestOvertakenLoginEndsNobody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		late func(*setup, *gate)
		// login is the late login's request, of a user who had a token before.
		login func(id int64, token string) obj
	}{
		{"by password, before it has its time", func(s *setup, g *gate) {
			s.bus = func(b bus.Bus) bus.Bus { return lateClock{b, g} }
		}, func(id int64, _ string) obj {
			return obj{"msgid": proto.LOGIN, "id": id, "password": secret}
		}},
		{"by token, after it was found good", func(s *setup, g *gate) {
			s.store = func(st service.Store) service.Store { return lateToken{st, g} }
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
					s.reactor.QuickLanes, s.reactor.SlowLanes = 16, 16 // one of which is held
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
				// Refused, or told that it was replaced: whichever comes first.
				f := late.await("an end of the late login", func(f frame) bool { return f.int("rid") == rid || f.op() == proto.KICK })
				if f.op() == proto.LOGIN_ACK && f.int("errno") == 0 {
					t.Errorf("the late login got %v", f)
				}
				b := two.login(two.user("berta"))
				b.send(with(anna).event("hello")) // behind whatever the late login has said to other nodes
				valid.op(proto.EVENT)
				valid.barrier()
				valid.nothing(proto.KICK)
			})
		}
	}
}
