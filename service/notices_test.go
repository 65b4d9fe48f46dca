package service_test

import (
	"testing"
	"time"

	"chatd/proto"
)

// noticeCase is a change that is made on one node and has to be pushed on another.
type noticeCase struct {
	what    string
	friends bool // anna and berta are friends
	do      func(s *noticeStage)
	// The pushes to the sessions on the other node: anna's second device, berta, and
	// carla, who is a member of the group.
	anna, berta, carla []obj
}

// noticeStage has who takes part in a case. here is anna on the first node; the others
// are on the second one.
type noticeStage struct {
	one, two                 *node
	ids                      []int64 // anna, berta, carla
	group                    int64   // of carla and, if they have joined, the others
	here, anna, berta, carla *wire
}

// In noticeCases, -1, -2, -3 stand for the IDs of anna, berta and carla, and -4 for the
// group's.
var noticeCases = []noticeCase{
	{what: "ADD_FRIEND", do: func(s *noticeStage) { s.here.ok(obj{"msgid": proto.ADD_FRIEND, "friendid": s.ids[1]}) },
		anna:  []obj{{"msgid": proto.ADD_FRIEND, "id": -2, "name": "berta"}, {"msgid": proto.PRESENCE, "id": -2, "state": "online"}},
		berta: []obj{{"msgid": proto.ADD_FRIEND, "id": -1, "name": "anna"}, {"msgid": proto.PRESENCE, "id": -1, "state": "online"}}},
	{what: "DEL_FRIEND", friends: true, do: func(s *noticeStage) { s.here.ok(obj{"msgid": proto.DEL_FRIEND, "friendid": s.ids[1]}) },
		anna:  []obj{{"msgid": proto.DEL_FRIEND, "id": -2}},
		berta: []obj{{"msgid": proto.DEL_FRIEND, "id": -1}}},
	{what: "BLOCK", friends: true, do: func(s *noticeStage) { s.here.ok(obj{"msgid": proto.BLOCK, "userid": s.ids[1], "on": true}) },
		anna:  []obj{{"msgid": proto.BLOCK, "userid": -2, "on": true}},
		berta: []obj{{"msgid": proto.PRESENCE, "id": -1, "state": "offline"}}},
	{what: "BLOCK and unblock", friends: true, do: func(s *noticeStage) {
		s.here.ok(obj{"msgid": proto.BLOCK, "userid": s.ids[1], "on": true})
		s.anna.await("BLOCK", func(f frame) bool { return f.op() == proto.BLOCK && f.bool("on") })
		s.berta.ends(s.ids[0], "offline")
		s.here.ok(obj{"msgid": proto.BLOCK, "userid": s.ids[1], "on": false})
	},
		anna:  []obj{{"msgid": proto.BLOCK, "userid": -2, "on": false}},
		berta: []obj{{"msgid": proto.PRESENCE, "id": -1, "state": "online"}}},
	{what: "RECEIPT in a pair", do: func(s *noticeStage) { s.here.send(with(s.ids[1]).receipt(1, obj{"read": true})) },
		anna:  []obj{{"msgid": proto.RECEIPT, "peer": -2, "id": -1, "seq": 1, "read": true}},
		berta: []obj{{"msgid": proto.RECEIPT, "peer": -1, "id": -1, "seq": 1, "read": true}}},
	{what: "RECEIPT in a group", do: func(s *noticeStage) {
		s.here.ok(obj{"msgid": proto.ADD_GROUP, "groupid": s.group})
		s.anna.about(proto.ADD_GROUP, s.ids[0])
		s.here.say(in(s.group), "x")
		s.here.send(in(s.group).receipt(2, obj{"read": true}))
	},
		anna:  []obj{{"msgid": proto.RECEIPT, "groupid": -4, "id": -1, "read": true}},
		carla: []obj{{"msgid": proto.ADD_GROUP, "groupid": -4, "id": -1, "name": "anna"}}},
	{what: "ADD_GROUP", do: func(s *noticeStage) { s.here.ok(obj{"msgid": proto.ADD_GROUP, "groupid": s.group}) },
		anna:  []obj{{"msgid": proto.ADD_GROUP, "groupid": -4, "id": -1, "name": "anna"}},
		carla: []obj{{"msgid": proto.ADD_GROUP, "groupid": -4, "id": -1, "name": "anna"}}},
	{what: "LEAVE_GROUP", do: func(s *noticeStage) {
		s.here.ok(obj{"msgid": proto.ADD_GROUP, "groupid": s.group})
		s.anna.about(proto.ADD_GROUP, s.ids[0])
		s.carla.about(proto.ADD_GROUP, s.ids[0])
		s.here.ok(obj{"msgid": proto.LEAVE_GROUP, "groupid": s.group})
	},
		anna:  []obj{{"msgid": proto.LEAVE_GROUP, "groupid": -4, "id": -1}},
		carla: []obj{{"msgid": proto.LEAVE_GROUP, "groupid": -4, "id": -1}}},
	{what: "ADD_GROUP and LEAVE_GROUP", do: func(s *noticeStage) {
		s.here.ok(obj{"msgid": proto.ADD_GROUP, "groupid": s.group})
		s.here.ok(obj{"msgid": proto.LEAVE_GROUP, "groupid": s.group})
	},
		anna:  []obj{{"msgid": proto.ADD_GROUP, "groupid": -4, "id": -1, "name": "anna"}, {"msgid": proto.LEAVE_GROUP, "groupid": -4, "id": -1}},
		carla: []obj{{"msgid": proto.ADD_GROUP, "groupid": -4, "id": -1, "name": "anna"}, {"msgid": proto.LEAVE_GROUP, "groupid": -4, "id": -1}}},
	{what: "KICK_MEMBER", do: func(s *noticeStage) {
		g := s.create()
		s.here.ok(obj{"msgid": proto.KICK_MEMBER, "groupid": g, "userid": s.ids[1]})
	},
		anna:  []obj{{"msgid": proto.LEAVE_GROUP, "id": -2}},
		berta: []obj{{"msgid": proto.LEAVE_GROUP, "id": -2}}},
	{what: "DISMISS_GROUP", do: func(s *noticeStage) {
		g := s.create()
		s.here.ok(obj{"msgid": proto.DISMISS_GROUP, "groupid": g})
	},
		anna:  []obj{{"msgid": proto.DISMISS_GROUP}},
		berta: []obj{{"msgid": proto.DISMISS_GROUP}}},
}

// create makes anna create a group, which berta joins.
func (s *noticeStage) create() int64 {
	g := s.here.ok(obj{"msgid": proto.CREATE_GROUP, "groupname": "other", "groupdesc": ""}).int("groupid")
	s.anna.about(proto.ADD_GROUP, s.ids[0])
	s.berta.ok(obj{"msgid": proto.ADD_GROUP, "groupid": g})
	for _, w := range []*wire{s.here, s.anna} {
		w.about(proto.ADD_GROUP, s.ids[1])
	}
	return g
}

// id returns an ID for a placeholder.
func (s *noticeStage) id(v any) any {
	n, ok := v.(int)
	switch {
	case ok && n == -4:
		return s.group
	case ok && n < 0:
		return s.ids[-n-1]
	}
	return v
}

// gets waits for the pushes, and checks that there are no others of their kinds.
func (s *noticeStage) gets(t *testing.T, what, who string, w *wire, want []obj) {
	t.Helper()
	for _, o := range want {
		o = o.with(nil)
		for k, v := range o {
			o[k] = s.id(v)
		}
		f := w.await(what+": "+who+" to get the push", func(f frame) bool {
			if f.op() != o["msgid"].(proto.Op) {
				return false
			}
			id, ok := o["id"].(int64)
			return !ok || f.int("id") == id
		})
		for k, v := range o {
			if n, ok := v.(int64); k == "msgid" || ok && f.int(k) == n {
				continue
			}
			if b, ok := v.(bool); ok && f.bool(k) == b {
				continue
			}
			if str, ok := v.(string); ok && f.str(k) == str {
				continue
			}
			if n, ok := v.(int); ok && f.int(k) == int64(n) {
				continue
			}
			t.Errorf("%s: %s got %v, want %s %v", what, who, f, k, v)
		}
	}
}

// noticeOps are the ops of the notices in noticeCases, but PRESENCE: logins cause that,
// too.
var noticeOps = []proto.Op{proto.ADD_FRIEND, proto.DEL_FRIEND, proto.BLOCK, proto.RECEIPT, proto.ADD_GROUP, proto.LEAVE_GROUP, proto.DISMISS_GROUP}

// shared makes the store know that there are several nodes, as it does with MySQL.
func shared(s *setup) { s.model.Shared = true }

// feedPause is longer than a node takes to write read cursors.
const feedPause = 4 * time.Second

// playNotice runs a case on two nodes. lose is called before the change.
func playNotice(t *testing.T, c *noticeCase, one, two *node, lose func()) {
	s := &noticeStage{one: one, two: two, ids: one.users("anna", "berta", "carla")}
	s.group = one.group(s.ids[2])
	if c.friends {
		one.befriend(s.ids[0], s.ids[1])
	}
	s.here = one.login(s.ids[0], obj{"device": "here"})
	s.anna, s.berta, s.carla = two.login(s.ids[0], obj{"device": "there"}), two.login(s.ids[1]), two.login(s.ids[2])
	all := []*wire{s.here, s.anna, s.berta, s.carla}
	s.berta.say(with(s.ids[0]), "1")
	s.here.upTo(with(s.ids[1]), 1)
	s.anna.upTo(with(s.ids[1]), 1)
	s.carla.say(in(s.group), "1")
	if l := s.berta.welcome.list("friends"); c.friends && l[0].str("state") != "online" {
		s.berta.ends(s.ids[0], "online")
	}
	for _, w := range all {
		w.barrier()
		w.stash = nil
	}
	lose()
	began := time.Now()
	c.do(s)
	s.gets(t, c.what, "anna", s.anna, c.anna)
	s.gets(t, c.what, "berta", s.berta, c.berta)
	s.gets(t, c.what, "carla", s.carla, c.carla)
	t.Logf("all pushes after %s", time.Since(began).Round(time.Millisecond))
	// What the feed has of the change comes before the end of this session.
	banned := one.user("banned")
	last := two.login(banned)
	time.Sleep(feedPause)
	check(t, one.db.Ban(t.Context(), banned, true))
	last.kicked()
	for _, w := range all {
		w.barrier()
		for _, op := range noticeOps {
			w.nothing(op)
		}
	}
}

// Whatever a node tells another about a change reaches the clients there, although all
// hints are lost and nobody notices that. Nothing is pushed twice.
func TestNoticesWithoutHints(t *testing.T) {
	t.Parallel()
	for _, c := range noticeCases {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			one, two, lost := pairOfNodes(t, shared)
			playNotice(t, &c, one, two, func() { lost.Store(true) })
		})
	}
}

// If hints arrive, the feed pushes nothing again.
func TestNoticesOnce(t *testing.T) {
	t.Parallel()
	for _, c := range noticeCases {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			one, two, _ := pairOfNodes(t, shared)
			playNotice(t, &c, one, two, func() {})
		})
	}
}

// While one of two users has blocked the other, neither gets the other's read receipts,
// on any node and whether or not hints arrive. The reader's other devices do.
func TestReceiptsOfBlockedUsers(t *testing.T) {
	t.Parallel()
	for _, hints := range []bool{true, false} {
		one, two, lost := pairOfNodes(t, shared)
		ids := one.users("anna", "berta")
		a, b := one.login(ids[0]), one.login(ids[1])
		a2, b2 := two.login(ids[0], obj{"device": "two"}), two.login(ids[1], obj{"device": "two"})
		all := []*wire{a, a2, b, b2}
		for _, w := range []*wire{a, b} {
			w.say(with(ids[0]+ids[1]-w.id), "1")
			w.say(with(ids[0]+ids[1]-w.id), "2")
		}
		for _, w := range all {
			w.upTo(with(ids[0]+ids[1]-w.id), 4)
		}
		lost.Store(!hints)
		b.send(with(ids[0]).receipt(1, obj{"read": true}))
		for _, w := range []*wire{a, a2, b2} {
			w.op(proto.RECEIPT)
		}
		a.ok(obj{"msgid": proto.BLOCK, "userid": ids[1], "on": true})
		a2.op(proto.BLOCK)
		b.send(with(ids[0]).receipt(2, obj{"read": true}))
		b2.op(proto.RECEIPT)
		a.send(with(ids[1]).receipt(2, obj{"read": true}))
		a2.op(proto.RECEIPT)
		a.ok(obj{"msgid": proto.BLOCK, "userid": ids[1], "on": false})
		a2.op(proto.BLOCK)
		b.send(with(ids[0]).receipt(3, obj{"read": true}))
		a.send(with(ids[1]).receipt(3, obj{"read": true}))
		for _, w := range all {
			others := 1
			if w == a2 || w == b2 {
				others = 2
			}
			for range others {
				if f := w.op(proto.RECEIPT); f.int("seq") != 3 {
					t.Errorf("hints %v: user %d got %v, want seq 3: the receipt for 2 was sent during the block", hints, w.id, f)
				}
			}
		}
	}
}
