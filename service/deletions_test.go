package service_test

import (
	"fmt"
	"testing"

	"chatd/proto"
)

// When an operator deletes an account, in another process, everyone concerned is told
// on every node, even if all hints between nodes are lost: friends and members of
// groups. What others have said to the user can still be read, and says that the
// account is gone.
func TestDeletedAccount(t *testing.T) {
	t.Parallel()
	one, two, lost := pairOfNodes(t)
	ids := one.users("gone", "berta", "carla", "dora", "late")
	gone, berta, carla, dora, late := ids[0], ids[1], ids[2], ids[3], ids[4]
	for _, friend := range []int64{berta, carla, late} {
		one.befriend(gone, friend)
	}
	own, others := one.group(gone, berta, carla), one.group(dora, gone, carla)
	a, b, c, d := one.login(gone), one.login(berta), two.login(carla), two.login(dora)
	a.say(with(berta), "1")
	b.say(with(gone), "2")
	a.say(in(others), "1")
	c.upTo(in(others), 1)
	d.upTo(in(others), 1)
	b.upTo(with(gone), 1)

	lost.Store(true)
	if err := one.db.DeleteUser(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]*wire{"berta": b, "carla": c} {
		if f := w.op(proto.DEL_FRIEND); f.int("id") != gone {
			t.Errorf("%s got %v, want id %d", name, f, gone)
		}
		if f := w.op(proto.DISMISS_GROUP); f.int("groupid") != own {
			t.Errorf("%s got %v, want groupid %d", name, f, own)
		}
	}
	for name, w := range map[string]*wire{"carla": c, "dora": d} {
		if f := w.op(proto.LEAVE_GROUP); f.int("id") != gone || f.int("groupid") != others {
			t.Errorf("%s got %v, want id %d and groupid %d", name, f, gone, others)
		}
	}
	if f := a.kicked(); f == nil || f.str("reason") != proto.LoggedOut {
		t.Errorf("the user got %v, want KICK with reason %s", f, proto.LoggedOut)
	}

	// What is left of the account.
	b.refused(proto.NotFound, with(gone).chat("x"))
	b.refused(proto.NotFound, obj{"msgid": proto.FIND_USER, "userid": gone})
	b.refused(proto.NotFound, obj{"msgid": proto.FIND_USER, "name": "gone"})
	b.send(with(gone).receipt(2, obj{"read": true}))
	if got := fmt.Sprint(goneOf(b.history(with(gone)))); got != "map[1:true 2:false]" {
		t.Errorf("SYNC shows as gone, by seq: %s; want only the message of the deleted user", got)
	}
	f := b.ok(obj{"msgid": proto.CONVERSATIONS})
	if l := f.list("conversations"); len(l) != 1 || l[0].int("peer") != gone || !l[0].bool("gone") || l[0].str("name") != "gone" || l[0].int("read") != 2 {
		t.Errorf("got %v, want one conversation, with peer %d, name gone, gone true, and read 2", f, gone)
	}
	if got := fmt.Sprint(goneOf(c.history(in(others)))); got != "map[1:true]" {
		t.Errorf("SYNC of the group shows as gone, by seq: %s; want the message of the deleted user", got)
	}
	if l := two.login(late).welcome.list("friends"); len(l) != 0 {
		t.Errorf("a friend who logs in later gets friends %v, want none", l)
	}

	// Everyone is told once, and others aren't told.
	for _, w := range []*wire{b, c, d} {
		w.barrier()
		for _, op := range []proto.Op{proto.DEL_FRIEND, proto.LEAVE_GROUP, proto.DISMISS_GROUP} {
			w.nothing(op)
		}
	}
	// The others still chat.
	lost.Store(false)
	d.say(in(others), "2")
	c.upTo(in(others), 2)
}

// goneOf returns the field gone of messages, by seq.
func goneOf(l []frame) map[int64]bool {
	m := make(map[int64]bool)
	for _, f := range l {
		m[f.int("seq")] = f.bool("gone")
	}
	return m
}
