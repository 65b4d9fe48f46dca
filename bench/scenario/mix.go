package scenario

import (
	"context"
	"time"

	"chatd/bench/load"
	"chatd/proto"
)

// Mix is the scenario of a day: most are silent, some talk, some come and go.
type Mix struct {
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

	started func() // called when all are there and the day begins; may be nil
}

func (*Mix) Name() string { return "mix" }

func (m *Mix) Help() string {
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

func (m *Mix) Check() error {
	var bad flagErrors
	bad.checkConns("--users", m.Users, maxConns)
	bad.check(m.Users%2 == 0, "--users: %d; they are pairs of friends, and need an even number", m.Users)
	bad.check(m.Members >= 2 && m.Members <= maxMembers && m.Members%2 == 0, "--members: %d is not even and between 2 and %d", m.Members, maxMembers)
	for _, r := range m.rates() {
		bad.check(r.Rate >= 0 && r.Rate <= maxRate, "--%s: %g is not between 0 and %d", r.Flag, r.Rate, maxRate)
	}
	bad.check(m.Away > 0 && m.Away <= time.Minute, "--away: %s is not above 0 and at most 1m", m.Away)
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
