package service_test

import (
	"fmt"
	"slices"
	"testing"

	"chatd/proto"
)

// gaplessAfter holds pushes against the law for members: exactly those after
// the join, without a hole.
func gaplessAfter(t *testing.T, who string, pushed []int64, joined int64) {
	t.Helper()
	for i, seq := range pushed {
		if seq != joined+int64(i)+1 {
			t.Errorf("%s: joined after %d, got %v", who, joined, pushed)
			return
		}
	}
}

// Members come and go while three senders go on: each gets exactly what is
// said from its join on, without a hole, up to about its leaving, and nothing
// that was said once it has been told that it left. The senders lose nothing.
func TestMembersUnderTraffic(t *testing.T) {
	t.Parallel()
	n := serve(t)
	membersUnderTraffic(t, n, n)
}

// The same with everyone's devices on two nodes.
func TestMembersUnderTrafficOnTwoNodes(t *testing.T) {
	t.Parallel()
	one, two, _ := pairOfNodes(t)
	membersUnderTraffic(t, one, two)
}

func membersUnderTraffic(t *testing.T, n, two *node) {
	const each, rounds = 250, 6
	ids := n.users("creator", "one", "two", "leaver", "kicked", "watcher")
	g := n.group(ids[0], ids[1], ids[2])
	senders := []*wire{n.login(ids[0]), two.login(ids[1]), n.login(ids[2])}
	boss := n.login(ids[0], obj{"device": "boss"})
	leaver, leaver2 := n.login(ids[3]), two.login(ids[3], obj{"device": "two", "ack": true})
	kicked := two.login(ids[4], obj{"ack": true})

	join := func(w *wire) int64 { return w.ok(obj{"msgid": proto.ADD_GROUP, "groupid": g}).int("seq") }
	// since gives what was pushed of the group since the last call.
	since := func(w *wire) func() []int64 {
		from := 0
		return func() []int64 {
			all := w.pushed[in(g)]
			news := slices.Clone(all[from:])
			from = len(all)
			return news
		}
	}
	var joins []int64
	together(
		func() { senders[0].pump(in(g), "0", each, 16) },
		func() { senders[1].pump(in(g), "1", each, 4) },
		func() { senders[2].pump(in(g), "2", each, 32) },
		func() {
			pushed := since(leaver)
			for range rounds {
				joined := join(leaver)
				joins = append(joins, joined)
				for range 5 {
					leaver.barrier()
				}
				leaver.ok(obj{"msgid": proto.LEAVE_GROUP, "groupid": g})
				gaplessAfter(t, "leaver", pushed(), joined)
				// What comes from here on was said after leaving.
				leaver.barrier()
				leaver.refused(proto.NotAllowed, in(g).sync())
				if late := pushed(); len(late) > 0 {
					t.Errorf("after LEAVE_GROUP_ACK came %v", late)
				}
			}
		},
		func() {
			pushed := since(kicked)
			for range rounds {
				joined := join(kicked)
				kicked.barrier()
				boss.ok(obj{"msgid": proto.KICK_MEMBER, "groupid": g, "userid": ids[4]})
				kicked.await("the notice", func(f frame) bool { return f.op() == proto.LEAVE_GROUP && f.int("id") == ids[4] })
				gaplessAfter(t, "kicked", pushed(), joined)
				kicked.barrier()
				if late := pushed(); len(late) > 0 {
					t.Errorf("after the notice came %v", late)
				}
			}
		},
	)
	total := int64(3 * each)
	for _, w := range append(senders, boss) {
		w.has(in(g), 1, total)
	}
	if log := boss.history(in(g)); int64(len(log)) != total {
		t.Errorf("the log has %d messages", len(log))
	}
	// Back once more, both see the same.
	seq := join(leaver)
	last := senders[0].say(in(g), "last")
	if last != seq+1 {
		t.Errorf("joined after %d, the next is %d", seq, last)
	}
	// The leaver's other device got the same: of each membership what was said
	// from the join on, without a hole; and it knows that it is in.
	leaver2.upTo(in(g), last)
	joins = append(joins, seq)
	for i, p := range joins {
		end := int64(proto.MaxID)
		if i+1 < len(joins) {
			end = joins[i+1]
		}
		var pushed []int64
		for _, s := range leaver2.pushed[in(g)] {
			if s > p && s <= end {
				pushed = append(pushed, s)
			}
		}
		gaplessAfter(t, "the other device", pushed, p)
	}
	var told proto.Op
	for _, f := range leaver2.stash {
		if f.op() == proto.ADD_GROUP || f.op() == proto.LEAVE_GROUP {
			if f.int("id") == ids[3] {
				told = f.op()
			}
		}
	}
	if told != proto.ADD_GROUP {
		t.Errorf("the last that the other device was told is %v", told)
	}
	for _, w := range []*wire{leaver, leaver2} {
		w.upTo(in(g), last)
		if f := w.ok(in(g).sync()); f.int("first") != seq+1 || len(f.list("messages")) != 1 {
			t.Errorf("SYNC after rejoining: %v", f)
		}
	}
}

// A dismissal in the middle of traffic: what was acknowledged before it was
// delivered, what comes after it is refused, everyone is told once, and the
// group is gone from every list.
func TestDismissUnderTraffic(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("creator", "one", "two", "offline")
	g := n.group(ids...)
	ws := []*wire{n.login(ids[0]), n.login(ids[1]), n.login(ids[2])}
	other := n.login(ids[0], obj{"device": "two"})
	var acked [3]int64
	sent := make(chan struct{}, 3000)
	flood := func(i int) func() {
		return func() {
			for range 1000 {
				f := ws[i].call(in(g).chat("x"))
				sent <- struct{}{}
				switch proto.Errno(f.int("errno")) {
				case proto.Done:
					acked[i] = f.int("seq")
				case proto.NotFound:
					return
				default:
					t.Errorf("%v", f)
					return
				}
			}
			t.Error("the group was never dismissed")
		}
	}
	together(flood(0), flood(1), flood(2), func() {
		for range 100 {
			<-sent
		}
		other.ok(obj{"msgid": proto.DISMISS_GROUP, "groupid": g})
	})
	last := max(acked[0], acked[1], acked[2])
	for i, w := range ws {
		w.barrier()
		if f := w.op(proto.DISMISS_GROUP); f.int("groupid") != g {
			t.Errorf("%v", f)
		}
		w.nothing(proto.DISMISS_GROUP)
		for seq := int64(1); seq <= last; seq++ {
			_, own := w.own[in(g)][seq]
			if _, pushed := w.bodies[in(g)][seq]; !own && !pushed {
				// Said before the dismissal and not delivered: with it delivery ends.
				if seq < last-10 {
					t.Errorf("member %d lacks seq %d of %d", i, seq, last)
				}
				break
			}
		}
		w.refused(proto.NotFound, in(g).chat("x"))
		w.refused(proto.NotFound, in(g).sync())
	}
	w := n.login(ids[3])
	if len(w.welcome.list("groups")) != 0 || len(w.welcome.list("offlinemsg")) != 0 {
		t.Errorf("a dismissed group at login: %v", w.welcome)
	}
	if cs := ws[0].ok(obj{"msgid": proto.CONVERSATIONS}).list("conversations"); len(cs) != 0 {
		t.Errorf("a dismissed group in the list: %v", cs)
	}
}

// Who is away when removed, or joins while away on another device, finds the
// group as it is: nothing of what was said without them, all of what was said
// with them.
func TestMembershipWhileAway(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("creator", "member")
	g := n.group(ids...)
	a, b := n.login(ids[0]), n.login(ids[1], obj{"ack": true})
	a.say(in(g), "with")
	b.has(in(g), 1, 1)
	b.close()
	n.settled(1)
	a.say(in(g), "with, but away")
	a.ok(obj{"msgid": proto.KICK_MEMBER, "groupid": g, "userid": ids[1]})
	a.say(in(g), "without")
	b = n.login(ids[1], obj{"ack": true})
	if len(b.welcome.list("groups")) != 0 || len(b.pushed[in(g)]) != 0 {
		t.Errorf("a former member gets %v", b.welcome)
	}
	a.say(in(g), "without")
	if f := b.ok(obj{"msgid": proto.ADD_GROUP, "groupid": g}); f.int("seq") != 4 {
		t.Errorf("%v", f)
	}
	a.say(in(g), "with")
	b.has(in(g), 5, 5)
	b.close()
	b = n.login(ids[1], obj{"ack": true})
	b.has(in(g), 5, 5)
	if gs := b.welcome.list("groups"); len(gs) != 1 || gs[0].int("seq") != 5 || len(gs[0].list("users")) != 2 {
		t.Errorf("groups %v", gs)
	}
}

// All of a user's devices are in the group once one of them has joined, and
// messages find them at once.
func TestJoinReachesOtherDevices(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("creator", "member")
	a := n.login(ids[0])
	g := a.ok(obj{"msgid": proto.CREATE_GROUP, "groupname": "g", "groupdesc": ""}).int("groupid")
	a.pump(in(g), "x", 20, 20)
	devices := make([]*wire, 6)
	for i := range devices {
		devices[i] = n.login(ids[1], obj{"device": fmt.Sprint(i)})
	}
	devices[0].ok(obj{"msgid": proto.ADD_GROUP, "groupid": g})
	a.pump(in(g), "y", 20, 20)
	devices[3].say(in(g), "z")
	for i, w := range append(devices, a) {
		if i > 0 {
			if f := w.op(proto.ADD_GROUP); f.int("groupid") != g || f.int("id") != ids[1] {
				t.Errorf("device %d is told %v", i, f)
			}
		}
		if w == a {
			w.has(in(g), 1, 41)
		} else {
			w.has(in(g), 21, 41)
		}
	}
}

// The members of a large group are told in pages by user id; at login their
// number stands in their place.
func TestGroupUsers(t *testing.T) {
	t.Parallel()
	const count = 250
	n := serve(t)
	ids := make([]int64, count)
	for i := range ids {
		ids[i] = n.user(fmt.Sprint("member ", i))
	}
	g := n.group(ids...)
	small := n.group(ids[:200]...)
	a := n.login(ids[0])
	for _, e := range a.welcome.list("groups") {
		if e.int("id") == g && (e.int("count") != count || e.has("users")) {
			t.Errorf("the large group: %d users, count %d", len(e.list("users")), e.int("count"))
		}
		if e.int("id") == small && (len(e.list("users")) != 200 || e.has("count")) {
			t.Errorf("the small group: %d users, count %d", len(e.list("users")), e.int("count"))
		}
	}
	var got []int64
	after := obj{}
	for more := true; more; {
		f := a.ok(obj{"msgid": proto.GROUP_USERS, "groupid": g}.with(after))
		us := f.list("users")
		if more = f.bool("more"); len(us) == 0 || len(us) > 200 || more && len(us) != 200 {
			t.Fatalf("a page of %d, more %v", len(us), more)
		}
		for _, u := range us {
			got = append(got, u.int("id"))
			role, state := "normal", "offline"
			if u.int("id") == ids[0] {
				role, state = "creator", "online"
			}
			if u.str("role") != role || u.str("state") != state {
				t.Errorf("%v", u)
			}
		}
		after = obj{"after": got[len(got)-1]}
	}
	if !slices.Equal(got, ids) {
		t.Errorf("the pages have %d members, want %d by rising id", len(got), count)
	}
	late := n.login(n.user("late"))
	if f := late.ok(obj{"msgid": proto.ADD_GROUP, "groupid": g}); f.int("count") != count+1 || f.has("users") {
		t.Errorf("joining the large group: %v", f)
	}
}
