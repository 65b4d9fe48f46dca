package load

import (
	"context"
	"fmt"
	"math"
	"time"

	"chatd/bench/floor"
	"chatd/proto"
)

// floorPair returns the role of user number i on the relay: each even user
// sends to the one that follows.
func floorPair(i int) (floor.Role, uint64) {
	if i%2 == 0 {
		return floor.Sender, uint64(i / 2)
	}
	return floor.Receiver, uint64(i / 2)
}

// JoinFloor is Register for the relay: it connects user number i with a role in
// a group. Ids and names are as long as those of a chatd.
func (accounts *Accounts) JoinFloor(ctx context.Context, i int, role floor.Role, group uint64) (*Conn, Account, int64, error) {
	c, err := dial(ctx, accounts.server.AddrOf(i))
	if err != nil {
		return nil, Account{}, 0, err
	}
	defer context.AfterFunc(ctx, c.Close)()
	pong := proto.AppendResponse(nil, &proto.Response{Op: proto.PONG})
	c.pingFrame = floor.Ask(pong)
	err = c.nc.SetDeadline(time.Now().Add(callTimeout))
	if err == nil {
		_, err = c.nc.Write(floor.Hello(role, group, pong))
	}
	if err == nil {
		_, err = c.await(proto.PONG)
	}
	if err == nil {
		err = c.nc.SetDeadline(time.Time{})
	}
	if err != nil {
		c.Close()
		return nil, Account{}, 0, fmt.Errorf("join the relay: %w", err)
	}
	return c, Account{ID: int64(i + 1), name: accounts.nameOf(i)}, math.MaxInt64, nil
}

// floorSeq is the seq of every message on the relay. It has six digits, like
// most seqs in a run of a few seconds.
const floorSeq = 123456

// Contents of every LOGIN_ACK on the relay, as long as those of a chatd.
const (
	floorToken  = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
	floorDevice = "default"
	floorNode   = "host:12345"
	floorEpoch  = 1234567890123456
	floorWindow = 256
)

// FloorAccounts returns n accounts for the relay, which knows no users.
func (accounts *Accounts) FloorAccounts(n int) []Account {
	users := make([]Account, n)
	for i := range users {
		users[i] = Account{ID: int64(i + 1), name: accounts.nameOf(i), token: floorToken}
	}
	return users
}

// floorLoginAck returns the LOGIN_ACK that a chatd would send to u if nothing
// was missed.
func (u Account) floorLoginAck() []byte {
	return proto.AppendResponse(nil, &proto.Response{Op: proto.LOGIN_ACK, ID: u.ID, Name: u.name, Features: []string{proto.FeatureRegister},
		Token: u.token, Device: floorDevice, Node: floorNode, Window: floorWindow, Epoch: floorEpoch})
}

// Template returns the frames a sender sends for req. The relay passes frames
// on unchanged, so there they are what a chatd would push.
func (accounts *Accounts) Template(req *proto.Request, from Account, text []byte) *Template {
	if !accounts.floor {
		return newTemplate(req, text)
	}
	push := &proto.Response{Op: req.Op, ID: from.ID, Name: from.name, ToID: req.ToID, GroupID: req.GroupID,
		Event: req.Event, Data: req.Data, Msg: req.Msg, CID: req.CID}
	if req.Op != proto.EVENT {
		push.Time, push.Seq = time.Now().UnixMilli(), floorSeq
	}
	return templateOf(proto.AppendResponse(nil, push), text)
}
