package service_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service"
	"chatd/service/bus"
	"chatd/service/session"
)

// about waits for a notice with this op about a user or, if user is 0, about
// nobody.
func (w *wire) about(op proto.Op, user int64) frame {
	w.tb.Helper()
	return w.await(op.String(), func(f frame) bool { return f.op() == op && f.int("id") == user })
}

// Once a client has ADD_GROUP_ACK, it is a member in every respect: its events
// reach the others at once, and it gets the next message as a push. The joining
// session gets no notice of its own join, and each other device of the user
// exactly one.
func TestJoinedAtAck(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	a, b := n.login(ids[0]), n.login(ids[1])
	devices := []*wire{n.login(ids[1], obj{"device": "two"}), n.login(ids[1], obj{"device": "three"})}
	for range 50 {
		g := a.ok(obj{"msgid": proto.CREATE_GROUP, "groupname": "g", "groupdesc": ""}).int("groupid")
		b.ok(obj{"msgid": proto.ADD_GROUP, "groupid": g})
		b.send(in(g).event("typing"))
		if f := a.op(proto.EVENT); f.int("groupid") != g || f.int("id") != ids[1] {
			t.Fatalf("got %v, want an event of user %d in group %d", f, ids[1], g)
		}
		a.say(in(g), "x")
		b.has(in(g), 1, 1)
		for _, w := range devices {
			w.has(in(g), 1, 1)
			if f := w.about(proto.ADD_GROUP, ids[1]); f.int("groupid") != g {
				t.Errorf("got %v, want groupid %d", f, g)
			}
		}
		a.ok(obj{"msgid": proto.DISMISS_GROUP, "groupid": g})
	}
	for _, w := range append(devices, b) {
		w.barrier()
		w.nothing(proto.ADD_GROUP)
	}
}

// slowList is a store in which the first call of Members reads the list and
// then blocks before it returns.
type slowList struct {
	service.Store
	*gate
}

func (s slowList) Members(ctx context.Context, group, after int64, limit int) ([]model.Member, error) {
	ms, err := s.Store.Members(ctx, group, after, limit)
	s.pass()
	return ms, err
}

// A join is announced before the members are listed for ADD_GROUP_ACK. What
// happens in the group in the meantime reaches the joining session after the
// ACK: the client needs its seq and list first, and the list lacks those who
// joined later.
func TestAckOfJoinComesFirst(t *testing.T) {
	t.Parallel()
	slow := newGate()
	n := serve(t, func(s *setup) {
		s.store = func(st service.Store) service.Store { return slowList{st, slow} }
		s.reactor.Loops = 1       // what one session has got, the loop has done for all
		s.reactor.QuickLanes = 16 // one worker is blocked
	})
	ids := n.users("anna", "berta", "carla")
	a, b, c := n.login(ids[0]), n.login(ids[1]), n.login(ids[2])
	g := a.ok(obj{"msgid": proto.CREATE_GROUP, "groupname": "g", "groupdesc": ""}).int("groupid")
	a.say(in(g), "before")

	join := obj{"msgid": proto.ADD_GROUP, "groupid": g}
	rid := b.ask(join)
	<-slow.reached
	a.about(proto.ADD_GROUP, ids[1]) // although b has no ACK
	c.ok(join)
	a.about(proto.ADD_GROUP, ids[2])
	a.say(in(g), "after")
	c.say(in(g), "after")
	close(slow.open)

	if f := b.next(); f.op() != proto.ADD_GROUP_ACK || f.int("rid") != rid || f.int("seq") != 1 || len(f.list("users")) != 2 {
		t.Errorf("first the joining session got %v, want ADD_GROUP_ACK with seq 1 and two users", f)
	}
	if f := b.next(); f.op() != proto.ADD_GROUP || f.int("id") != ids[2] {
		t.Errorf("then the joining session got %v, want ADD_GROUP of user %d", f, ids[2])
	}
	b.has(in(g), 2, 3)
	// It doesn't wait any longer.
	a.say(in(g), "live")
	b.has(in(g), 2, 4)
	a.ok(obj{"msgid": proto.KICK_MEMBER, "groupid": g, "userid": ids[2]})
	b.about(proto.LEAVE_GROUP, ids[2])
}

// A session whose ADD_GROUP was refused gets the notices that waited for the
// answer, and the messages of the group if another device has joined.
func TestRefusedJoinHoldsNothingBack(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	a, b, b2 := n.login(ids[0]), n.login(ids[1]), n.login(ids[1], obj{"device": "two"})
	for range 20 {
		g := a.ok(obj{"msgid": proto.CREATE_GROUP, "groupname": "g", "groupdesc": ""}).int("groupid")
		join := obj{"msgid": proto.ADD_GROUP, "groupid": g}
		rids := map[*wire]int64{b: b.ask(join), b2: b2.ask(join)} // one of them is refused
		joined := 0
		for w, rid := range rids {
			if w.answer(rid).int("errno") == 0 {
				joined++
			} else {
				w.about(proto.ADD_GROUP, ids[1])
			}
		}
		if joined != 1 {
			t.Fatalf("%d of two devices have joined, want one", joined)
		}
		a.say(in(g), "x")
		b.has(in(g), 1, 1)
		b2.has(in(g), 1, 1)
		a.ok(obj{"msgid": proto.DISMISS_GROUP, "groupid": g})
	}
}

// as returns a user as an actor without a session.
func as(id int64, name string) session.Actor { return session.Actor{User: id, Name: name} }

// A change of a group by an actor without a session reaches all members and all
// devices of the actor once, on all nodes.
func TestGroupCommandsWithoutSession(t *testing.T) {
	t.Parallel()
	one := serve(t)
	two := one.second()
	ids := one.users("anna", "berta")
	anna, berta := as(ids[0], "anna"), as(ids[1], "berta")
	ws := []*wire{one.login(anna.User), two.login(anna.User, obj{"device": "two"}),
		two.login(berta.User), one.login(berta.User, obj{"device": "two"})}
	off := reactor.OffLoop(t.Context())
	at1, at2 := one.svc.Groups(), two.svc.Groups()

	g, err := at1.Create(off, anna, "g", "desc")
	ok(t, err)
	for _, w := range ws[:2] {
		w.about(proto.ADD_GROUP, anna.User)
	}
	seq := int64(0)
	talk := func(members []*wire) {
		t.Helper()
		seq = ws[0].say(in(g), "hello")
		for _, w := range members {
			w.upTo(in(g), seq)
		}
	}
	talk(ws[:2])
	everyone := func(op proto.Op, user int64) {
		t.Helper()
		for _, w := range ws {
			if f := w.about(op, user); f.int("groupid") != g {
				t.Errorf("got %v, want groupid %d", f, g)
			}
		}
	}
	joined, err := at2.Join(off, berta, g)
	ok(t, err)
	if joined.ID != g || joined.GroupName != "g" || joined.GroupDesc != "desc" || joined.Seq != 1 || len(joined.Users) != 2 {
		t.Errorf("Join = %+v, want group %d with seq 1 and two members", joined, g)
	}
	everyone(proto.ADD_GROUP, berta.User)
	talk(ws)
	ws[2].send(in(g).event("typing"))
	ws[0].op(proto.EVENT)

	ok(t, at1.Kick(off, anna, g, berta.User))
	everyone(proto.LEAVE_GROUP, berta.User)
	_, err = at1.Join(off, berta, g)
	ok(t, err)
	everyone(proto.ADD_GROUP, berta.User)
	ok(t, at2.Leave(off, berta, g))
	everyone(proto.LEAVE_GROUP, berta.User)
	talk(ws[:2]) // without berta
	_, err = at2.Join(off, berta, g)
	ok(t, err)
	everyone(proto.ADD_GROUP, berta.User)
	talk(ws)

	for what, err := range map[string]error{
		"Kick by a member":    at1.Kick(off, berta, g, anna.User),
		"Leave by creator":    at2.Leave(off, anna, g),
		"Dismiss by a member": at2.Dismiss(off, berta, g),
	} {
		if !errors.Is(err, model.ErrNotAllowed) {
			t.Errorf("%s: error %v, want %v", what, err, model.ErrNotAllowed)
		}
	}
	var e *proto.Error
	if _, err := at1.Create(off, anna, "77", ""); !errors.As(err, &e) || e.Errno != proto.BadRequest {
		t.Errorf("Create with an invalid name: error %v, want errno %d", err, proto.BadRequest)
	}
	ok(t, at2.Dismiss(off, anna, g))
	everyone(proto.DISMISS_GROUP, 0)
	for _, w := range ws {
		w.barrier()
		for _, op := range []proto.Op{proto.ADD_GROUP, proto.LEAVE_GROUP, proto.DISMISS_GROUP} {
			w.nothing(op)
		}
	}
	for _, w := range ws[2:] { // the others were sent while berta was no member
		if p := w.pushed[in(g)]; !slices.Equal(p, []int64{2, 4}) {
			t.Errorf("berta got seqs %v, want 2 and 4", p)
		}
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A change of friends or blocks by an actor without a session reaches all
// devices of both users. If the actor isn't online, nobody is told that they
// are.
func TestPeopleCommandsWithoutSession(t *testing.T) {
	t.Parallel()
	one := serve(t)
	two := one.second()
	ids := one.users("anna", "berta")
	anna := as(ids[0], "anna")
	b, b2 := one.login(ids[1]), two.login(ids[1], obj{"device": "two"})
	off := reactor.OffLoop(t.Context())

	name, err := two.svc.People().AddFriend(off, anna, ids[1])
	ok(t, err)
	if name != "berta" {
		t.Errorf("AddFriend = %q, want berta", name)
	}
	ok(t, one.svc.People().Block(off, anna, ids[1], true))
	ok(t, one.svc.People().Block(off, anna, ids[1], false))
	for _, w := range []*wire{b, b2} {
		if f := w.about(proto.ADD_FRIEND, ids[0]); f.str("name") != "anna" {
			t.Errorf("got %v, want name anna", f)
		}
	}
	a := two.login(ids[0])
	for _, w := range []*wire{b, b2} {
		if f := w.about(proto.PRESENCE, ids[0]); f.str("state") != proto.Online {
			t.Errorf("got %v, want online: anna has logged in, and wasn't online before", f)
		}
	}
	for _, on := range []bool{true, false} {
		ok(t, one.svc.People().Block(off, anna, ids[1], on))
		if f := a.op(proto.BLOCK); f.int("userid") != ids[1] || f.bool("on") != on {
			t.Errorf("got %v, want userid %d and on %v", f, ids[1], on)
		}
		for _, w := range []*wire{b, b2} {
			want := proto.Online
			if on {
				want = proto.Offline
			}
			if f := w.about(proto.PRESENCE, ids[0]); f.str("state") != want {
				t.Errorf("on %v: got %v, want %s", on, f, want)
			}
		}
	}
	ok(t, one.svc.People().DelFriend(off, anna, ids[1]))
	a.about(proto.DEL_FRIEND, ids[1])
	b.about(proto.DEL_FRIEND, ids[0])
	b2.about(proto.DEL_FRIEND, ids[0])

	for what, err := range map[string]error{
		"AddFriend": func() error { _, err := one.svc.People().AddFriend(off, anna, anna.User); return err }(),
		"Block":     one.svc.People().Block(off, anna, anna.User, true),
	} {
		var e *proto.Error
		if !errors.As(err, &e) || e.Errno != proto.BadRequest {
			t.Errorf("%s of oneself: error %v, want errno %d", what, err, proto.BadRequest)
		}
	}
}

// impatient is a store whose caller loses interest once a user has joined.
type impatient struct {
	service.Store
	cancel func()
}

func (s impatient) JoinGroup(ctx context.Context, group, user int64, maxMembers, maxGroups int) (*model.Append, error) {
	defer s.cancel()
	return s.Store.JoinGroup(ctx, group, user, maxMembers, maxGroups)
}

// strict is a bus that publishes nothing once the context has ended, like
// Redis.
type strict struct{ bus.Bus }

func (b strict) Publish(ctx context.Context, ms []bus.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return b.Bus.Publish(ctx, ms)
}

// A committed change is announced to other nodes even if its caller has given
// up.
func TestCommandOfImpatientCaller(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	one := serve(t, func(s *setup) { s.bus = func(b bus.Bus) bus.Bus { return strict{b} } })
	two := one.second(func(s *setup) {
		s.store = func(st service.Store) service.Store { return impatient{st, cancel} }
	})
	ids := one.users("anna", "berta")
	a := one.login(ids[0])
	g := a.ok(obj{"msgid": proto.CREATE_GROUP, "groupname": "g", "groupdesc": ""}).int("groupid")
	// It can't list the members any more.
	joined, err := two.svc.Groups().Join(reactor.OffLoop(ctx), as(ids[1], "berta"), g)
	ok(t, err)
	if joined.Count != 2 || joined.Users != nil {
		t.Errorf("Join = %+v, want two members and no list", joined)
	}
	a.about(proto.ADD_GROUP, ids[1])
}

// If two changes about a user are announced in the wrong order, the members get
// only the notice of the later one. Otherwise they would believe that the user is
// gone, who reads what they write.
func TestOutdatedNotice(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta", "carla")
	g := n.group(ids...)
	a, c := n.login(ids[0]), n.login(ids[2])
	n.settled(2)
	kick, err := n.db.KickMember(t.Context(), g, ids[0], ids[2])
	ok(t, err)
	join, err := n.db.JoinGroup(t.Context(), g, ids[2], 100, 100)
	ok(t, err)
	n.svc.Committed(t.Context(), []*model.Append{join})
	n.svc.Committed(t.Context(), []*model.Append{kick})
	a.about(proto.ADD_GROUP, ids[2])
	a.barrier()
	a.nothing(proto.LEAVE_GROUP)
	a.say(in(g), "to all")
	c.has(in(g), 1, 1)
}

// A message of an actor without a session is stored and reaches all devices of the
// receiver and of the actor, on all nodes. A repetition returns the first answer, and
// a refusal is an error.
func TestSendWithoutSession(t *testing.T) {
	t.Parallel()
	one := serve(t)
	two := one.second()
	ids := one.users("anna", "berta", "carla")
	g := one.group(ids[0], ids[1])
	anna := as(ids[0], "anna")
	a, b, b2 := two.login(ids[0]), one.login(ids[1]), two.login(ids[1], obj{"device": "two"})
	off := reactor.OffLoop(t.Context())
	for i, to := range []struct {
		group, peer int64
		here, there conv
	}{{0, ids[1], with(ids[0]), with(ids[1])}, {g, 0, in(g), in(g)}} {
		for range 2 {
			seq, at, err := one.svc.Messages().Send(off, anna, to.group, to.peer, []byte{'c', byte('0' + i)}, []byte("hello"))
			ok(t, err)
			if seq != 1 || at == 0 {
				t.Errorf("Send = seq %d, time %d; want seq 1 and a time", seq, at)
			}
		}
		b.has(to.here, 1, 1)
		b2.has(to.here, 1, 1)
		a.has(to.there, 1, 1)
	}
	if f := b.await("the push", func(f frame) bool { return f.op() == proto.ONE_CHAT || f.op() == proto.GROUP_CHAT }); f.str("name") != "anna" || f.str("msg") != "hello" {
		t.Errorf("got %v, want the name anna and the text hello", f)
	}
	if _, _, err := one.svc.Messages().Send(off, as(ids[2], "carla"), g, 0, []byte("c"), []byte("x")); !errors.Is(err, model.ErrNotAllowed) {
		t.Errorf("Send to a group of others: error %v, want ErrNotAllowed", err)
	}
}
