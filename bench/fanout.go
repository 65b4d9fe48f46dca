package main

import (
	"context"
	"fmt"

	"chatd/bench/floor"
	"chatd/proto"
)

const maxMembers = 10_000

// fanout is the scenario of one group.
type fanout struct {
	Members int     `name:"members" default:"200" help:"Members of the group, all of them online."`
	Senders int     `name:"senders" default:"1" help:"Members who speak."`
	Kind    string  `name:"kind" default:"chat" enum:"chat,event" help:"What they say: chat, which is stored and acknowledged, or event, which is relayed."`
	Window  int     `name:"window" default:"64" help:"Messages that each sender keeps on the way, or in an open loop at most."`
	Rate    float64 `name:"rate" default:"0" help:"An open loop: so many messages per second in all are sent, each at its time. 0: a closed loop."`
	flow    `embed:""`
}

func (*fanout) name() string { return "fanout" }

func (f *fanout) Help() string {
	return `One group, whose members are all online. Each sender keeps --window messages
unacknowledged (GROUP_CHAT), or of events (EVENT to the group) as many on the way to
any member; everyone else gets them, and sends RECEIPT for every 256 messages.

"acknowledged" are messages, "delivered" is what has arrived at a member: one message
to 200 members is 199 of these, and so are the costs per million. "end to end" is
from the write of a message to a member's read. Checked is, for each member, that seq
rises by one, that texts arrive unaltered and in the order of sending, and that all
that was acknowledged was delivered, once.

` + rateHelp
}

// traffic is what the group's senders do, as if each were one of a pair.
func (f *fanout) traffic() traffic {
	return traffic{talk: talk{Pairs: f.Senders, flow: f.flow}, Window: f.Window, Rate: f.Rate}
}

func (f *fanout) validate() error {
	var bad complaints
	bad.checkConns("--members", f.Members, maxMembers)
	bad.check(f.Members >= 2, "--members: %d; a group of less than 2 has nobody to hear", f.Members)
	bad.check(f.Senders >= 1 && f.Senders <= min(f.Members, maxPairs), "--senders: %d is not between 1 and --members, nor above %d", f.Senders, maxPairs)
	if err := bad.join(); err != nil {
		return err
	}
	if f.Kind == "event" {
		return (&event{traffic: f.traffic()}).validate()
	}
	t := f.traffic()
	return t.validate(proto.MaxMsg, maxStreamWindow)
}

// validateFloor checks what only the floor can't do: there, one who sends hears
// nothing, and the hearers make room in the window.
func (f *fanout) validateFloor() error {
	if f.Senders != 1 {
		return fmt.Errorf("--senders: %d; on the floor, who sends hears nobody, so that there is only 1", f.Senders)
	}
	return (&event{traffic: f.traffic()}).validateFor(proto.MaxMsg)
}

func (f *fanout) run(ctx context.Context, r *rig) error {
	t := f.traffic()
	l := newLoad(r, t.config())
	defer l.closeAll()
	if f.Kind == "chat" && r.server.floor() {
		r.report.note(floorNote)
	}
	op := proto.GROUP_CHAT
	if f.Kind == "event" {
		op = proto.EVENT
	}
	stored := op == proto.GROUP_CHAT && !r.server.floor()
	var acks *gauge
	if stored {
		acks = l.gauge(acknowledged, "ack")
	}
	pushes := l.gauge("delivered", "end to end")

	rs := newRecruits(r.server)
	users, conns, group, err := f.meet(ctx, r, rs)
	if err != nil {
		for _, c := range conns {
			if c != nil {
				c.close()
			}
		}
		return err
	}
	room := newRoom(l, "the group", op, stored)
	room.groupID, room.known = group, &known{}
	room.receipt = proto.Request{Op: proto.RECEIPT, GroupID: group}
	text := textOf(f.Size)
	for i, c := range conns {
		if i < f.Senders {
			room.join(c, users[i], rs.template(room.say(text), users[i], text), l.quota(i))
		} else {
			room.join(c, users[i], nil, 0)
		}
	}
	l.open(room, acks, pushes)
	return l.measure(ctx)
}

// meet has all members of a new group online. Beside an error, conns are those
// that are to be closed.
func (f *fanout) meet(ctx context.Context, r *rig, rs *recruits) (users []account, conns []*conn, group int64, err error) {
	conns = make([]*conn, f.Members)
	if r.server.floor() {
		users, group = make([]account, f.Members), 1
		err = each(ctx, f.Members, setupAtATime, r.progress, "members", func(ctx context.Context, i int) (err error) {
			role := floor.Receiver
			if i < f.Senders {
				role = floor.Sender
			}
			conns[i], users[i], _, err = rs.hello(ctx, i, role, uint64(group))
			return err
		})
		return users, conns, group, err
	}
	if users, group, err = f.found(ctx, r, rs); err != nil {
		return nil, nil, 0, err
	}
	err = each(ctx, f.Members, setupAtATime, r.progress, "members", func(ctx context.Context, i int) (err error) {
		conns[i], err = enterByToken(ctx, r.server.addrOf(i), users[i])
		return err
	})
	return users, conns, group, err
}

// found makes the group and its members. They are away again when it returns:
// else each would be told of all who join after it.
func (f *fanout) found(ctx context.Context, r *rig, rs *recruits) ([]account, int64, error) {
	users := make([]account, f.Members)
	var group int64
	enter := func(ctx context.Context, i int, join func(c *conn) error) error {
		c, u, window, err := rs.enter(ctx, i, true)
		if err != nil {
			return err
		}
		defer c.abort()
		users[i] = u
		if t := f.traffic(); f.Kind == "chat" {
			c := t.config()
			if err := c.checkWindow(window); err != nil {
				return err
			}
		}
		return join(c)
	}
	err := enter(ctx, 0, func(c *conn) error {
		a, err := c.call(ctx, &proto.Request{Op: proto.CREATE_GROUP, GroupName: fmt.Sprintf("bench %016x", rs.run)})
		if err == nil {
			group = a.GroupID
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	err = each(ctx, f.Members-1, setupAtATime, r.progress, "users", func(ctx context.Context, i int) error {
		return enter(ctx, i+1, func(c *conn) error {
			_, err := c.call(ctx, &proto.Request{Op: proto.ADD_GROUP, GroupID: group})
			return err
		})
	})
	return users, group, err
}
