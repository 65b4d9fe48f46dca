package service_test

import (
	"fmt"
	"slices"
	"testing"

	"chatd/proto"
)

// gaplessAfter checks that a member was pushed the messages after the join,
// without a gap.
func gaplessAfter(t *testing.T, who string, pushed []int64, joined int64) {
	t.Helper()
	for i, seq := range pushed {
		if seq != joined+int64(i)+1 {
			t.Errorf("%s, who joined after seq %d, got %v, want seqs from %d on without a gap", who, joined, pushed, joined+1)
			return
		}
	}
}

// Members join and leave while three others send. A member gets all messages
// from the join until about the leave, and none after the leave was
// acknowledged. The senders get everything.
func TestMembersDuringTraffic(t *testing.T) {
	t.Parallel()
	n := serve(t)
	membersDuringTraffic(t, n, n)
}

// The same with devices on two nodes.
func TestMembersDuringTrafficOnTwoNodes(t *testing.T) {
	t.Parallel()
	one, two, _ := pairOfNodes(t)
	membersDuringTraffic(t, one, two)
}

func membersDuringTraffic(t *testing.T, n, two *node) {
	const each, rounds = 250, 6
	ids := n.users("creator", "one", "two", "leaver", "kicked", "watcher")
	g := n.group(ids[0], ids[1], ids[2])
	senders := []*wire{n.login(ids[0]), two.login(ids[1]), n.login(ids[2])}
	boss := n.login(ids[0], obj{"device": "boss"})
	leaver, leaver2 := n.login(ids[3]), two.login(ids[3], obj{"device": "two", "ack": true})
	kicked := two.login(ids[4], obj{"ack": true})

	join := func(w *wire) int64 { return w.ok(obj{"msgid": proto.ADD_GROUP, "groupid": g}).int("seq") }
	// since returns a function that returns the seqs pushed since its last call.
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
				// Anything that arrives from now on was sent after the leave.
				leaver.barrier()
				leaver.refused(proto.NotAllowed, in(g).sync())
				if late := pushed(); len(late) > 0 {
					t.Errorf("after LEAVE_GROUP_ACK: got seqs %v, want none", late)
				}
			}
		},
		func() {
			pushed := since(kicked)
			for range rounds {
				joined := join(kicked)
				kicked.barrier()
				boss.ok(obj{"msgid": proto.KICK_MEMBER, "groupid": g, "userid": ids[4]})
				kicked.await("LEAVE_GROUP", func(f frame) bool { return f.op() == proto.LEAVE_GROUP && f.int("id") == ids[4] })
				gaplessAfter(t, "kicked", pushed(), joined)
				kicked.barrier()
				if late := pushed(); len(late) > 0 {
					t.Errorf("after LEAVE_GROUP: got seqs %v, want none", late)
				}
			}
		},
	)
	total := int64(3 * each)
	for _, w := range append(senders, boss) {
		w.has(in(g), 1, total)
	}
	if log := boss.history(in(g)); int64(len(log)) != total {
		t.Errorf("the log has %d messages, want %d", len(log), total)
	}
	// Join once more.
	seq := join(leaver)
	last := senders[0].say(in(g), "last")
	if last != seq+1 {
		t.Errorf("the first message after the join has seq %d, want %d", last, seq+1)
	}
	// The user has left and joined again, several times. The user's other device
	// got the same messages, and its last notice is about joining.
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
	var notice proto.Op
	for _, f := range leaver2.stash {
		if f.op() == proto.ADD_GROUP || f.op() == proto.LEAVE_GROUP {
			if f.int("id") == ids[3] {
				notice = f.op()
			}
		}
	}
	if notice != proto.ADD_GROUP {
		t.Errorf("the other device's last notice is %v, want ADD_GROUP", notice)
	}
	for _, w := range []*wire{leaver, leaver2} {
		w.upTo(in(g), last)
		if f := w.ok(in(g).sync()); f.int("first") != seq+1 || len(f.list("messages")) != 1 {
			t.Errorf("SYNC after joining again got %v, want one message and first %d", f, seq+1)
		}
	}
}

// A group is dismissed while members send. Messages acknowledged before that
// are delivered, later ones are refused, everyone gets one notice, and the
// group is in no list any more.
func TestDismissDuringTraffic(t *testing.T) {
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
					t.Errorf("got %v, want errno %d or %d", f, proto.Done, proto.NotFound)
					return
				}
			}
			t.Error("1000 messages were accepted, want a refusal after the group was dismissed")
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
			t.Errorf("got %v, want groupid %d", f, g)
		}
		w.nothing(proto.DISMISS_GROUP)
		for seq := int64(1); seq <= last; seq++ {
			_, own := w.own[in(g)][seq]
			if _, pushed := w.bodies[in(g)][seq]; !own && !pushed {
				// Delivery ends with the dismissal, so the last messages may be
				// missing.
				if seq < last-10 {
					t.Errorf("member %d didn't get seq %d, want all but the last of %d", i, seq, last)
				}
				break
			}
		}
		w.refused(proto.NotFound, in(g).chat("x"))
		w.refused(proto.NotFound, in(g).sync())
	}
	w := n.login(ids[3])
	if len(w.welcome.list("groups")) != 0 || len(w.welcome.list("offlinemsg")) != 0 {
		t.Errorf("LOGIN_ACK has %v, want nothing of the dismissed group", w.welcome)
	}
	if cs := ws[0].ok(obj{"msgid": proto.CONVERSATIONS}).list("conversations"); len(cs) != 0 {
		t.Errorf("CONVERSATIONS got %v, want no dismissed group", cs)
	}
}

// A user who is removed while offline doesn't get messages of the group at the
// next login. After joining again, the user gets only messages after that join.
func TestMembershipChangesWhileOffline(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("creator", "member")
	g := n.group(ids...)
	a, b := n.login(ids[0]), n.login(ids[1], obj{"ack": true})
	a.say(in(g), "online")
	b.has(in(g), 1, 1)
	b.close()
	n.settled(1)
	a.say(in(g), "offline")
	a.ok(obj{"msgid": proto.KICK_MEMBER, "groupid": g, "userid": ids[1]})
	a.say(in(g), "not a member")
	b = n.login(ids[1], obj{"ack": true})
	if len(b.welcome.list("groups")) != 0 || len(b.pushed[in(g)]) != 0 {
		t.Errorf("LOGIN_ACK of a former member has %v, want no groups and no group messages", b.welcome)
	}
	a.say(in(g), "not a member")
	if f := b.ok(obj{"msgid": proto.ADD_GROUP, "groupid": g}); f.int("seq") != 4 {
		t.Errorf("ADD_GROUP got %v, want seq 4", f)
	}
	a.say(in(g), "member again")
	b.has(in(g), 5, 5)
	b.close()
	b = n.login(ids[1], obj{"ack": true})
	b.has(in(g), 5, 5)
	if gs := b.welcome.list("groups"); len(gs) != 1 || gs[0].int("seq") != 5 || len(gs[0].list("users")) != 2 {
		t.Errorf("LOGIN_ACK has groups %v, want one with seq 5 and 2 users", gs)
	}
}

// Once a device has joined a group, all of the user's devices get its messages.
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
				t.Errorf("device %d got %v, want groupid %d and id %d", i, f, g, ids[1])
			}
		}
		if w == a {
			w.has(in(g), 1, 41)
		} else {
			w.has(in(g), 21, 41)
		}
	}
}

// GROUP_USERS returns the members of a large group in pages, by user ID. In
// LOGIN_ACK and ADD_GROUP_ACK a large group has only their number.
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
			t.Errorf("large group in LOGIN_ACK: %d users, count %d; want no users and count %d", len(e.list("users")), e.int("count"), count)
		}
		if e.int("id") == small && (len(e.list("users")) != 200 || e.has("count")) {
			t.Errorf("small group in LOGIN_ACK: %d users, count %d; want 200 users and no count", len(e.list("users")), e.int("count"))
		}
	}
	var got []int64
	after := obj{}
	for more := true; more; {
		f := a.ok(obj{"msgid": proto.GROUP_USERS, "groupid": g}.with(after))
		us := f.list("users")
		if more = f.bool("more"); len(us) == 0 || len(us) > 200 || more && len(us) != 200 {
			t.Fatalf("page with %d users, more %v; want 200, or the rest without more", len(us), more)
		}
		for _, u := range us {
			got = append(got, u.int("id"))
			role, state := "normal", "offline"
			if u.int("id") == ids[0] {
				role, state = "creator", "online"
			}
			if u.str("role") != role || u.str("state") != state {
				t.Errorf("got user %v, want role %s and state %s", u, role, state)
			}
		}
		after = obj{"after": got[len(got)-1]}
	}
	if !slices.Equal(got, ids) {
		t.Errorf("the pages have %d members, want %d by rising ID", len(got), count)
	}
	late := n.login(n.user("late"))
	if f := late.ok(obj{"msgid": proto.ADD_GROUP, "groupid": g}); f.int("count") != count+1 || f.has("users") {
		t.Errorf("ADD_GROUP to the large group got %v, want count %d and no users", f, count+1)
	}
}
