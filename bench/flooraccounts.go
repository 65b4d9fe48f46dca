package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"chatd/bench/floor"
	"chatd/proto"
)

// inPair is the place of user number i where the first of each two sends to
// the second.
func inPair(i int) (floor.Role, uint64) {
	if i%2 == 0 {
		return floor.Sender, uint64(i / 2)
	}
	return floor.Receiver, uint64(i / 2)
}

// hello is enter for the floor: what user number i is in which group. Ids and
// names are as long as a server's.
func (rs *recruits) hello(ctx context.Context, i int, role floor.Role, group uint64) (*conn, account, int64, error) {
	c, err := dial(ctx, rs.server.addrOf(i))
	if err != nil {
		return nil, account{}, 0, err
	}
	defer context.AfterFunc(ctx, c.close)()
	pong := proto.AppendResponse(nil, &proto.Response{Op: proto.PONG})
	c.ask = floor.Ask(pong)
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
		c.close()
		return nil, account{}, 0, fmt.Errorf("the floor's hello: %w", err)
	}
	return c, account{id: int64(i + 1), name: rs.name(i)}, math.MaxInt64, nil
}

// floorSeq is what all chat messages have on the floor: six digits, as many
// as those of a run of some seconds.
const floorSeq = 123456

// What every LOGIN_ACK has on the floor, as long as a server's.
const (
	floorToken  = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
	floorDevice = "default"
	floorNode   = "host:12345"
	floorEpoch  = 1234567890123456
	floorWindow = 256
)

// strangers are n accounts of nobody, for the floor, which knows no users.
func (rs *recruits) strangers(n int) []account {
	users := make([]account, n)
	for i := range users {
		users[i] = account{id: int64(i + 1), name: rs.name(i), token: floorToken}
	}
	return users
}

// welcome is what the server would answer to a login of u's that has missed
// nothing.
func (u account) welcome() []byte {
	return proto.AppendResponse(nil, &proto.Response{Op: proto.LOGIN_ACK, ID: u.id, Name: u.name,
		Token: u.token, Device: floorDevice, Node: floorNode, Window: floorWindow, Epoch: floorEpoch})
}

// template is what a sender sends for req. The floor passes it on as it is, so
// there it is what the server would push.
func (rs *recruits) template(req *proto.Request, from account, text []byte) *template {
	if !rs.server.floor() {
		return newTemplate(req, text)
	}
	push := &proto.Response{Op: req.Op, ID: from.id, Name: from.name, ToID: req.ToID, GroupID: req.GroupID,
		Event: req.Event, Data: req.Data, Msg: req.Msg, CID: req.CID}
	if req.Op != proto.EVENT {
		push.Time, push.Seq = time.Now().UnixMilli(), floorSeq
	}
	return templateOf(proto.AppendResponse(nil, push), text)
}
