package scenario

import (
	"context"
	"time"

	"chatd/bench/load"
	"chatd/proto"
)

// Mix measures everyday use: most users are idle, some send, some disconnect
// and return.
type Mix struct {
	Users    int           `name:"users" default:"5000" help:"Users, in pairs of friends. Each is in one group."`
	Members  int           `name:"members" default:"20" help:"Members of each group."`
	Typing   float64       `name:"typing" default:"20" help:"Typing events to the friend, per second and 1000 users."`
	Chats    float64       `name:"chats" default:"10" help:"Messages to the friend, per second and 1000 users."`
	Groups   float64       `name:"groups" default:"2" help:"Messages to the group, per second and 1000 users."`
	Leave    float64       `name:"leave" default:"2" help:"Users who lose their connection, per second and 1000 users."`
	Away     time.Duration `name:"away" default:"2s" help:"How long they stay offline on average, at most 1m."`
	Size     int           `name:"size" default:"100" help:"Bytes of text in each message and event."`
	Duration time.Duration `name:"duration" default:"10s" help:"Measured time, at most 10m."`
	Warmup   time.Duration `name:"warmup" default:"1s" help:"Unmeasured time before that."`
	Patience time.Duration `name:"patience" default:"15s" help:"How long to wait for missing messages at the end before they count as lost."`

	started func() // called when all users are online; may be nil
}

func (*Mix) Name() string { return "mix" }

func (m *Mix) Help() string {
	return `Users log in by token, with all their lists, and are mostly idle. At random they type,
send a message to their friend or group, or lose their connection, return by token a
little later and read what they have missed. All send RECEIPT for what arrives, and PING
every 30 s.

The loop is open: every action has a due time, and latencies count from it. The latencies
"one-to-one", "group" and "typing" cover what reached users who were online when it was
due. The report counts what others found at login.

Checked: in the end everyone has all messages of their conversations, unchanged, in one
order and without gaps, and nothing came twice except what was in flight when a connection
was lost.`
}

func (m *Mix) Check() error {
	var bad flagErrors
	bad.checkConns("--users", m.Users, maxConns)
	bad.check(m.Users%2 == 0, "--users: %d is odd, but users are pairs of friends", m.Users)
	bad.check(m.Members >= 2 && m.Members <= maxMembers && m.Members%2 == 0, "--members: %d is not even and between 2 and %d", m.Members, maxMembers)
	for _, r := range m.rates() {
		bad.check(r.Rate >= 0 && r.Rate <= maxRate, "--%s: %g is not between 0 and %d", r.Flag, r.Rate, maxRate)
	}
	bad.check(m.Away > 0 && m.Away <= time.Minute, "--away: %s is out of range: above 0, at most 1m", m.Away)
	f := messageFlags{Size: m.Size, Duration: m.Duration, Warmup: m.Warmup, Patience: m.Patience}
	return append(bad, f.validate(proto.MaxData)...).join()
}

func (m *Mix) rates() []load.ActionRate {
	return []load.ActionRate{
		{Action: load.ActionPing, Rate: 1000 / load.ClientPingInterval.Seconds()},
		{Action: load.ActionTyping, Flag: "typing", Rate: m.Typing},
		{Action: load.ActionChat, Flag: "chats", Rate: m.Chats},
		{Action: load.ActionGroup, Flag: "groups", Rate: m.Groups},
		{Action: load.ActionLeave, Flag: "leave", Rate: m.Leave},
	}
}

func (m *Mix) Run(ctx context.Context, env *load.Env) error {
	rate := 0.0
	for _, p := range m.rates() {
		rate += p.Rate * float64(m.Users) / 1000
	}
	g := load.NewGenerator(env, load.Config{SenderCount: m.Users, Rate: rate, Size: m.Size, Duration: m.Duration, Warmup: m.Warmup, Patience: m.Patience})
	g.MixedCosts = true
	t := load.NewPopulation(g, load.PopulationConfig{UserCount: m.Users, GroupSize: m.Members, TextSize: m.Size, MeanAway: m.Away, Rates: m.rates()})
	defer t.Close()
	if err := t.SetUp(ctx); err != nil {
		return err
	}
	if err := t.Connect(ctx); err != nil {
		return err
	}
	if m.started != nil {
		m.started()
	}
	err := g.Measure(ctx)
	if err == nil {
		t.Check()
	}
	t.Note(env.Report)
	return err
}
