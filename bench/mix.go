package main

import (
	"context"
	"fmt"
	"time"

	"chatd/proto"
)

// mix is the scenario of a day: most are silent, some talk, some come and go.
type mix struct {
	Users    int           `name:"users" default:"5000" help:"Users, in pairs of friends; each is in one group."`
	Members  int           `name:"members" default:"20" help:"Members of each group."`
	Typing   float64       `name:"typing" default:"20" help:"Events \"typing\" to the friend, per second and 1000 users."`
	Chats    float64       `name:"chats" default:"10" help:"Messages to the friend, per second and 1000 users."`
	Groups   float64       `name:"groups" default:"2" help:"Messages to the group, per second and 1000 users."`
	Leave    float64       `name:"leave" default:"2" help:"Users who lose their connection, per second and 1000 users."`
	Away     time.Duration `name:"away" default:"2s" help:"How long they are away on average, at most 1m."`
	Size     int           `name:"size" default:"100" help:"Text of each message and event."`
	Duration time.Duration `name:"duration" default:"10s" help:"How long is measured, at most 10m."`
	Warmup   time.Duration `name:"warmup" default:"1s" help:"How long the load runs before that, unmeasured."`
	Patience time.Duration `name:"patience" default:"15s" help:"What is on the way may take so long at the end; then it is lost."`

	begun func() // called when all are there and the day begins; may be nil
}

func (*mix) name() string { return "mix" }

func (m *mix) Help() string {
	return `Users log in by token, with all their lists, and then do what people do: nothing most of the
time. At random some type, write to their friend or their group, or lose their connection
and come back by token a little later, to find what they have missed. All say what has
arrived (RECEIPT) as it does, and PING every 30 s.

The loop is open: everything has its time, and latencies count from it. Latencies "one-to-one",
"group" and "typing" are those of what arrived at users who were there when it was due; of
what others found when they came back the report has the number. Checked is that everyone has
every message of each conversation in the end, unaltered and in one order with seq gapless,
and that nothing comes twice but what was under way when a connection was lost.`
}

func (m *mix) validate() error {
	var bad complaints
	bad.checkConns("--users", m.Users, maxConns)
	bad.check(m.Users%2 == 0, "--users: %d; they are pairs of friends, and need an even number", m.Users)
	bad.check(m.Members >= 2 && m.Members <= maxMembers && m.Members%2 == 0, "--members: %d is not even and between 2 and %d", m.Members, maxMembers)
	for _, r := range m.rates() {
		bad.check(r.per >= 0 && r.per <= maxRate, "--%s: %g is not between 0 and %d", r.flag, r.per, maxRate)
	}
	bad.check(m.Away > 0 && m.Away <= time.Minute, "--away: %s is not above 0 and at most 1m", m.Away)
	f := flow{Size: m.Size, Duration: m.Duration, Warmup: m.Warmup, Patience: m.Patience}
	return append(bad, f.validate(proto.MaxData)...).join()
}

// act is what a user does.
type act int

const (
	actPing act = iota
	actTyping
	actChat
	actGroup
	actLeave
)

// pulse is one kind of act, and how often it comes: per second and 1000 users.
type pulse struct {
	act  act
	flag string
	per  float64
}

func (m *mix) rates() []pulse {
	return []pulse{{actPing, "", 1000 / clientPing.Seconds()}, {actTyping, "typing", m.Typing},
		{actChat, "chats", m.Chats}, {actGroup, "groups", m.Groups}, {actLeave, "leave", m.Leave}}
}

func (m *mix) run(ctx context.Context, r *rig) error {
	rate := 0.0
	for _, p := range m.rates() {
		rate += p.per * float64(m.Users) / 1000
	}
	f := flow{Size: m.Size, Duration: m.Duration, Warmup: m.Warmup, Patience: m.Patience}
	l := &load{rig: r, traffic: traffic{talk: talk{Pairs: m.Users, flow: f}, Rate: rate}, mixed: true}
	t := newTown(l, m)
	defer t.close()
	if err := t.settle(ctx); err != nil {
		return err
	}
	err := each(ctx, m.Users, setupAtATime, r.progress, "connections", func(ctx context.Context, i int) error {
		return t.people[i].arrive(ctx)
	})
	if err != nil {
		return err
	}
	t.logins.collect(nil) // they are no part of the day
	t.logins.total.Reset()
	for _, p := range t.people {
		l.workers = append(l.workers, p.live)
	}
	l.drive, l.giveUp = t.day, t.nudgeAll
	if m.begun != nil {
		m.begun()
	}
	err = l.measure(ctx)
	if err == nil {
		t.check()
	}
	r.report.note("%d messages were found by users who came back", t.missed.Load())
	if n := t.again.Load(); n > 0 {
		r.report.note("%d messages came again after a connection was lost, as they may", n)
	}
	return err
}

// settle makes the town's people, their friendships and groups. They are away
// when it returns: else each would be told of all who join after it.
func (t *town) settle(ctx context.Context) error {
	rs := newRecruits(t.l.server)
	size := t.mix.Members
	groups := (len(t.people) + size - 1) / size
	return each(ctx, groups, setupAtATime, t.l.progress, "groups", func(ctx context.Context, g int) error {
		first := g * size
		members := t.people[first:min(first+size, len(t.people))]
		group := &conversation{name: fmt.Sprintf("group %d", g), members: members}
		for i, p := range members {
			p.number = first + i
			if err := t.enroll(ctx, rs, p, group); err != nil {
				return err
			}
		}
		for i := 0; i < len(members); i += 2 {
			pair := &conversation{name: fmt.Sprintf("friends %d and %d", first+i, first+i+1), members: members[i : i+2]}
			for _, p := range members[i : i+2] {
				p.talks = [2]*talking{newTalking(pair), newTalking(group)}
			}
		}
		return nil
	})
}

// enroll registers p and has it join the group, which the first to come
// founds; every second one makes friends with the one before.
func (t *town) enroll(ctx context.Context, rs *recruits, p *person, group *conversation) error {
	c, u, window, err := rs.enter(ctx, p.number, true)
	if err != nil {
		return err
	}
	defer c.abort()
	p.me, p.window = u, window
	join := &proto.Request{Op: proto.ADD_GROUP, GroupID: group.id}
	if group.id == 0 {
		join = &proto.Request{Op: proto.CREATE_GROUP, GroupName: "bench " + group.name}
	}
	a, err := c.call(ctx, join)
	if err != nil {
		return err
	}
	group.id = a.GroupID
	if p.number%2 == 1 {
		_, err = c.call(ctx, &proto.Request{Op: proto.ADD_FRIEND, FriendID: t.people[p.number-1].me.id})
	}
	return err
}
