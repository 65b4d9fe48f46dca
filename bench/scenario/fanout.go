package scenario

import (
	"context"
	"fmt"

	"chatd/bench/floor"
	"chatd/bench/load"
	"chatd/proto"
)

const maxMembers = 10_000

// Fanout measures messages to one large group.
type Fanout struct {
	Members      int     `name:"members" default:"200" help:"Members of the group, all online."`
	Senders      int     `name:"senders" default:"1" help:"Members who send messages."`
	Kind         string  `name:"kind" default:"chat" enum:"chat,event" help:"What they send: chat, which is stored and acknowledged, or event, which is relayed."`
	Window       int     `name:"window" default:"64" help:"Unacknowledged messages that each sender keeps in flight. In an open loop, the maximum."`
	Rate         float64 `name:"rate" default:"0" help:"Open loop: messages per second in all, sent at fixed times. 0: closed loop."`
	messageFlags `embed:""`
}

func (*Fanout) Name() string { return "fanout" }

func (f *Fanout) Help() string {
	return `Each sender keeps --window messages
unacknowledged (GROUP_CHAT), or that many events in flight to each member (EVENT to the
group). All other members receive them and send RECEIPT for every 256 messages.

"acknowledged" counts messages. "delivered" counts what members receive: one message to
200 members is delivered 199 times. Costs are per million deliveries. "end to end" is
from sending a message to a member's read.

Checked for each member: seqs rise by one; texts arrive unchanged and in order; every
acknowledged message is delivered once.

` + rateHelp
}

// flags returns the flags as if each sender were one of a pair.
func (f *Fanout) flags() trafficFlags {
	return trafficFlags{pairFlags: pairFlags{Pairs: f.Senders, messageFlags: f.messageFlags}, Window: f.Window, Rate: f.Rate}
}

func (f *Fanout) Check() error {
	var bad flagErrors
	bad.checkConns("--members", f.Members, maxMembers)
	bad.check(f.Members >= 2, "--members: %d; a group needs at least 2", f.Members)
	bad.check(f.Senders >= 1 && f.Senders <= min(f.Members, maxPairs), "--senders: %d is not between 1 and %d, the smaller of --members and %d", f.Senders, min(f.Members, maxPairs), maxPairs)
	if err := bad.join(); err != nil {
		return err
	}
	if f.Kind == "event" {
		return (&Event{trafficFlags: f.flags()}).Check()
	}
	t := f.flags()
	return t.validate(proto.MaxMsg, maxStreamWindow)
}

// validateFloor refuses what the relay can't do: a sender receives nothing
// there.
func (f *Fanout) validateFloor() error {
	if f.Senders != 1 {
		return fmt.Errorf("--senders: %d; on the relay only 1 member can send, since senders receive nothing there", f.Senders)
	}
	return (&Event{trafficFlags: f.flags()}).validateFor(proto.MaxMsg)
}

func (f *Fanout) Run(ctx context.Context, env *load.Env) error {
	t := f.flags()
	g := load.NewGenerator(env, t.config())
	defer g.CloseAll()
	if f.Kind == "chat" && env.Server.IsFloor() {
		env.Report.AddNote(floorNote)
	}
	op := proto.GROUP_CHAT
	if f.Kind == "event" {
		op = proto.EVENT
	}
	stored := op == proto.GROUP_CHAT && !env.Server.IsFloor()
	var acks *load.Metric
	if stored {
		acks = g.AddMetric(load.Acknowledged, "ack")
	}
	pushes := g.AddMetric("delivered", "end to end")

	accounts := load.NewAccounts(env.Server)
	users, conns, group, err := f.connectMembers(ctx, env, accounts)
	if err != nil {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
		return err
	}
	room := load.NewRoom(g, "the group", op, stored)
	room.GroupID, room.Cache = group, &load.FrameCache{}
	room.Receipt = proto.Request{Op: proto.RECEIPT, GroupID: group}
	text := load.NewText(f.Size)
	for i, c := range conns {
		if i < f.Senders {
			room.Join(c, users[i], accounts.Template(room.NewRequest(text), users[i], text), g.Quota(i))
		} else {
			room.Join(c, users[i], nil, 0)
		}
	}
	g.AddRoom(room, acks, pushes)
	return g.Measure(ctx)
}

// connectMembers creates a group and brings all members online. On an error the
// caller must close conns.
func (f *Fanout) connectMembers(ctx context.Context, env *load.Env, accounts *load.Accounts) (users []load.Account, conns []*load.Conn, group int64, err error) {
	conns = make([]*load.Conn, f.Members)
	if env.Server.IsFloor() {
		users, group = make([]load.Account, f.Members), 1
		err = load.ForEach(ctx, f.Members, load.SetupConcurrency, env.Progress, "members", func(ctx context.Context, i int) (err error) {
			role := floor.Receiver
			if i < f.Senders {
				role = floor.Sender
			}
			conns[i], users[i], _, err = accounts.JoinFloor(ctx, i, role, uint64(group))
			return err
		})
		return users, conns, group, err
	}
	if users, group, err = f.createGroup(ctx, env, accounts); err != nil {
		return nil, nil, 0, err
	}
	err = load.ForEach(ctx, f.Members, load.SetupConcurrency, env.Progress, "members", func(ctx context.Context, i int) (err error) {
		conns[i], err = load.LoginByToken(ctx, env.Server.AddrOf(i), users[i])
		return err
	})
	return users, conns, group, err
}

// createGroup registers the members and creates the group. All are offline when
// it returns, so that they aren't notified of those who join later.
func (f *Fanout) createGroup(ctx context.Context, env *load.Env, accounts *load.Accounts) ([]load.Account, int64, error) {
	users := make([]load.Account, f.Members)
	var group int64
	enter := func(ctx context.Context, i int, join func(c *load.Conn) error) error {
		c, u, window, err := accounts.Register(ctx, i, true)
		if err != nil {
			return err
		}
		defer c.Abort()
		users[i] = u
		if t := f.flags(); f.Kind == "chat" {
			c := t.config()
			if err := c.CheckWindow(window); err != nil {
				return err
			}
		}
		return join(c)
	}
	err := enter(ctx, 0, func(c *load.Conn) error {
		a, err := c.Call(ctx, &proto.Request{Op: proto.CREATE_GROUP, GroupName: fmt.Sprintf("bench %016x", accounts.RunID)})
		if err == nil {
			group = a.GroupID
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	err = load.ForEach(ctx, f.Members-1, load.SetupConcurrency, env.Progress, "users", func(ctx context.Context, i int) error {
		return enter(ctx, i+1, func(c *load.Conn) error {
			_, err := c.Call(ctx, &proto.Request{Op: proto.ADD_GROUP, GroupID: group})
			return err
		})
	})
	return users, group, err
}
