package load

import (
	"io"
	"testing"

	"chatd/bench/benchtest"
	"chatd/bench/report"
	"chatd/bench/target"
	"chatd/proto"
)

// Frames on the relay are as long as those that the server pushes for the same
// message. Otherwise their figures couldn't be compared.
func TestFloorFrames(t *testing.T) {
	srv, err := target.Start(t.Context(), &target.Flags{Spawn: target.SpawnSQLite, Chatd: benchtest.Chatd(t), Dir: t.TempDir()}, report.NewProgress(io.Discard), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := srv.Stop(); err != nil {
			t.Error(err)
		}
	}()
	accounts := NewAccounts(srv)
	from, me, _, err := accounts.Register(t.Context(), 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, peer, _, err := accounts.Register(t.Context(), 1, true)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	made, err := from.Call(t.Context(), &proto.Request{Op: proto.CREATE_GROUP, GroupName: "frames"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to.Call(t.Context(), &proto.Request{Op: proto.ADD_GROUP, GroupID: made.GroupID}); err != nil {
		t.Fatal(err)
	}
	group := made.GroupID
	text := NewText(100)
	toGroup := newChat(0, text)
	toGroup.Op, toGroup.GroupID = proto.GROUP_CHAT, group
	for _, req := range []*proto.Request{
		toGroup,
		{Op: proto.EVENT, GroupID: group, Event: []byte(eventName), Data: text},
		newChat(peer.ID, text),
		{Op: proto.EVENT, ToID: peer.ID, Event: []byte(eventName), Data: text},
	} {
		if _, err := from.nc.Write(newTemplate(req, text).append(nil, 1, 1)); err != nil {
			t.Fatal(err)
		}
		push, err := to.await(req.Op)
		if err != nil {
			t.Fatal(err)
		}
		if req.Op != proto.EVENT {
			push.Seq = floorSeq // the first seqs are shorter
		}
		onFloor := &Accounts{floor: true}
		want := proto.AppendFrame(nil, proto.AppendResponse(nil, push))
		if got := onFloor.Template(req, me, text).append(nil, 1, 1); len(got) != len(want) {
			t.Errorf("frame on the relay has %d bytes, want %d as from the server:\n%q\n%q", len(got), len(want), got, want)
		}
	}
	users, err := accounts.RegisterAll(t.Context(), report.NewProgress(io.Discard), 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	c, a, err := (&LoginWorker{Env: &Env{Server: srv, Faults: &Faults{}}}).Login(t.Context(), srv.AddrOf(2), users[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a.Node, a.Epoch = floorNode, floorEpoch // every server has its own
	want := len(proto.AppendResponse(nil, a))
	if got := len(users[0].floorLoginAck()); got != want {
		t.Errorf("LOGIN_ACK on the relay has %d bytes, want %d as from the server:\n%q\n%+v", got, want, users[0].floorLoginAck(), a)
	}
}
