package service_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"chatd/model"
	"chatd/model/feed"
	"chatd/proto"
	"chatd/service"
)

// goneOpen is a store in which the first OpenDevice starts only when the client has
// disconnected.
type goneOpen struct {
	service.Store
	*gate
}

func (s goneOpen) OpenDevice(ctx context.Context, u model.User, device string, token []byte, max int, gone func() bool) (int64, bool, []feed.Ended, error) {
	if s.taken.CompareAndSwap(false, true) {
		close(s.reached)
		<-s.open
		for !gone() {
			time.Sleep(time.Millisecond)
		}
	}
	return s.Store.OpenDevice(ctx, u, device, token, max, gone)
}

// A client that disconnects while its login by password is processed may have logged in
// elsewhere meanwhile: the late login must not end that session, nor its token.
func TestLateLoginOfGoneClient(t *testing.T) {
	t.Parallel()
	g := newGate()
	one := serve(t)
	two := one.second(func(s *setup) {
		s.store = func(st service.Store) service.Store { return goneOpen{st, g} }
	})
	ids := one.users("anna", "berta")
	late := two.dial()
	late.ask(obj{"msgid": proto.LOGIN, "id": ids[0], "password": secret})
	<-g.reached
	valid := one.login(ids[0])
	late.close()
	close(g.open)
	b := two.login(ids[1])
	two.settled(1) // jobs have ended
	b.send(with(ids[0]).event("hello"))
	valid.op(proto.EVENT)
	valid.barrier()
	valid.nothing(proto.KICK)
	again := one.dial()
	again.ok(obj{"msgid": proto.LOGIN, "token": valid.welcome.str("token")})
}

// lateMemberships is a store in which the first TokenMemberships, after the test has set
// taken to false, reads the data and then blocks before it returns.
type lateMemberships struct {
	service.Store
	*gate
}

func (s lateMemberships) TokenMemberships(ctx context.Context, hash []byte, user int64) (model.Token, []model.Membership, error) {
	found, memberships, err := s.Store.TokenMemberships(ctx, hash, user)
	s.pass()
	return found, memberships, err
}

// A group may change after a login has read the memberships, and before the session
// follows the group. LOGIN_ACK and what follows it have the change, and every message
// once, whether or not the node knows the group already.
func TestGroupChangesDuringLogin(t *testing.T) {
	t.Parallel()
	type scene struct {
		group        int64
		anna         int64
		owner, carla *wire // on the other node
	}
	for _, c := range []struct {
		name   string
		change func(s *scene)
		left   bool // anna has left the group at the end
	}{
		{"message", func(s *scene) { s.owner.say(in(s.group), "meanwhile") }, false},
		{"other leaves", func(s *scene) { s.carla.ok(obj{"msgid": proto.LEAVE_GROUP, "groupid": s.group}) }, false},
		{"kicked", func(s *scene) { s.owner.ok(obj{"msgid": proto.KICK_MEMBER, "groupid": s.group, "userid": s.anna}) }, true},
		{"dismissed", func(s *scene) { s.owner.ok(obj{"msgid": proto.DISMISS_GROUP, "groupid": s.group}) }, true},
	} {
		for _, known := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, known %t", c.name, known), func(t *testing.T) {
				t.Parallel()
				g := newGate()
				g.taken.Store(true) // not yet
				one := serve(t)
				two := one.second(func(s *setup) {
					s.store = func(st service.Store) service.Store { return lateMemberships{st, g} }
					s.reactor.QuickLanes = 16                  // one worker is blocked
					s.service.Delivery.RepairEvery = time.Hour // it would find what the login misses
				})
				ids := one.users("owner", "anna", "carla", "dora")
				s := &scene{group: one.group(ids...), anna: ids[1], owner: one.login(ids[0]), carla: one.login(ids[2])}
				var d *wire
				if known {
					d = two.login(ids[3])
				}
				s.owner.say(in(s.group), "before")
				g.taken.Store(false)
				a := two.dial()
				rid := a.ask(obj{"msgid": proto.LOGIN, "id": s.anna, "password": secret, "ack": true})
				<-g.reached
				c.change(s)
				if known { // the change has reached the node of the login
					s.owner.send(with(ids[3]).event("hello"))
					d.op(proto.EVENT)
				}
				close(g.open)
				ack := a.answer(rid)
				if ack.int("errno") != 0 {
					t.Fatalf("the login got %v, want errno 0", ack)
				}
				if c.left {
					if len(ack.list("groups")) > 0 {
						a.await("the notice that the group is gone", func(f frame) bool {
							return (f.op() == proto.LEAVE_GROUP || f.op() == proto.DISMISS_GROUP) && f.int("groupid") == s.group
						})
					}
					return
				}
				last := int64(1)
				if c.name == "message" {
					last = 2
				}
				a.has(in(s.group), 1, last)
				a.has(in(s.group), 1, s.owner.say(in(s.group), "after"))
				l := ack.list("groups")
				if len(l) != 1 {
					t.Fatalf("LOGIN_ACK has groups %v, want one", l)
				}
				listsCarla := false
				for _, u := range l[0].list("users") {
					listsCarla = listsCarla || u.int("id") == ids[2]
				}
				if c.name == "other leaves" && listsCarla {
					a.await("the notice that carla left", func(f frame) bool {
						return f.op() == proto.LEAVE_GROUP && f.int("id") == ids[2]
					})
				}
			})
		}
	}
}
