package main

import (
	"io"
	"testing"

	"chatd/proto"
)

// What the floor relays is as long as what the server pushes for the same
// message: else its figures would flatter it.
func TestFloorFrames(t *testing.T) {
	srv, err := newServer(t.Context(), &target{Spawn: spawnSQLite, Chatd: chatd(t), Dir: t.TempDir()}, newProgress(io.Discard), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := srv.stop(); err != nil {
			t.Error(err)
		}
	}()
	rs := newRecruits(srv)
	from, me, _, err := rs.enter(t.Context(), 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer from.close()
	to, peer, _, err := rs.enter(t.Context(), 1, true)
	if err != nil {
		t.Fatal(err)
	}
	defer to.close()
	made, err := from.call(t.Context(), &proto.Request{Op: proto.CREATE_GROUP, GroupName: "frames"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to.call(t.Context(), &proto.Request{Op: proto.ADD_GROUP, GroupID: made.GroupID}); err != nil {
		t.Fatal(err)
	}
	group := made.GroupID
	text := textOf(100)
	toGroup := newChat(0, text)
	toGroup.Op, toGroup.GroupID = proto.GROUP_CHAT, group
	for _, req := range []*proto.Request{
		toGroup,
		{Op: proto.EVENT, GroupID: group, Event: []byte(eventName), Data: text},
		newChat(peer.id, text),
		{Op: proto.EVENT, ToID: peer.id, Event: []byte(eventName), Data: text},
	} {
		if _, err := from.nc.Write(newTemplate(req, text).append(nil, 1, 1)); err != nil {
			t.Fatal(err)
		}
		push, err := to.await(req.Op)
		if err != nil {
			t.Fatal(err)
		}
		if req.Op != proto.EVENT {
			push.Seq = floorSeq // the first of a conversation is shorter
		}
		onFloor := &recruits{server: &server{target: &target{floor: &relayOptions{}}}}
		want := proto.AppendFrame(nil, proto.AppendResponse(nil, push))
		if got := onFloor.template(req, me, text).append(nil, 1, 1); len(got) != len(want) {
			t.Errorf("%d bytes, the server's have %d:\n%q\n%q", len(got), len(want), got, want)
		}
	}
	users, err := rs.enroll(t.Context(), newProgress(io.Discard), 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	c, a, err := (&returner{rig: &rig{server: srv, faults: &faults{}}}).enter(t.Context(), srv.addrOf(2), users[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	a.Node, a.Epoch = floorNode, floorEpoch // each server has others
	want := len(proto.AppendResponse(nil, a))
	if got := len(users[0].welcome()); got != want {
		t.Errorf("LOGIN_ACK on the floor has %d bytes, with the server %d:\n%q\n%+v", got, want, users[0].welcome(), a)
	}
}
