package scenario

import (
	"context"
	"time"

	"chatd/bench/load"
	"chatd/bench/report"
	"chatd/bench/target"
	"chatd/proto"
)

// Offline is the scenario of users who have been away.
type Offline struct {
	Users    int           `name:"users" default:"200" help:"Users who are away."`
	Messages int           `name:"messages" default:"100" help:"Messages that each of them gets meanwhile."`
	Senders  int           `name:"senders" default:"10" help:"Further users, who send them: each message of a user is from the next one."`
	AtATime  int           `name:"at-a-time" default:"64" help:"Users who come back at the same time."`
	Size     int           `name:"size" default:"100" help:"Text of each message."`
	Patience time.Duration `name:"patience" default:"15s" help:"What is missing may take so long while nothing else arrives; then it is lost."`
}

func (*Offline) Name() string { return "offline" }

func (o *Offline) Help() string {
	return `Users are registered, log in once with receipts, and go away. Senders fill what they will
find: each keeps 64 messages unacknowledged. Then all log in by token, --at-a-time of
them at the same time; each reads what LOGIN_ACK has of it (offlinemsg) and the pushes
that follow, says with RECEIPT that it has it, and is gone.

Measured are messages stored per second, users per second who have logged in and have
everything, and messages read per second meanwhile; and "log in to complete", from
connecting to the read of a user's last message. Checked is that each has all that was
acknowledged, once, unaltered, in the order of each conversation, and nothing beside.`
}

func (o *Offline) Check() error {
	var bad flagErrors
	bad.inRange("--users", o.Users, 1, maxConns)
	bad.inRange("--messages", o.Messages, 1, load.MaxStored)
	bad.check(o.Messages < 1 || o.Users <= load.MaxStored/o.Messages, "--messages: %d for each of %d users are more than %d", o.Messages, o.Users, load.MaxStored)
	bad.inRange("--senders", o.Senders, 1, maxPairs)
	bad.inRange("--at-a-time", o.AtATime, 1, maxAtATime)
	bad.inRange("--size", o.Size, load.StampSize, proto.MaxMsg)
	bad.checkDuration("--patience", o.Patience)
	return bad.join()
}

func (o *Offline) Run(ctx context.Context, env *load.Env) error {
	accounts := load.NewAccounts(env.Server)
	users, err := accounts.RegisterAll(ctx, env.Progress, o.Senders, o.Users)
	if err != nil {
		return err
	}
	h := load.NewHistory(env, users, o.Senders, o.Users*o.Messages, o.Size, o.Patience)
	fresh := env.Server.Usage(env.Report)
	stored, err := h.Send(ctx, accounts)
	if err != nil {
		return err
	}
	env.Report.AddFigure("stored", float64(h.Total)/stored.Seconds(), "per second", report.Higher)
	target.AddCostEach(env.Report, "stored", fresh, env.Server.Usage(env.Report), h.Total)

	entered, back := load.NewMetric("", "connect and log in"), load.NewMetric("logged in and complete", "log in to complete")
	sp := load.NewSampler(entered, back)
	returners := make([]*load.LoginWorker, min(o.AtATime, o.Users))
	meters := make(map[*load.LoginWorker]*load.Recorder, len(returners))
	for i := range returners {
		returners[i] = &load.LoginWorker{Env: env, FromConnect: entered.NewRecorder()}
		meters[returners[i]] = back.NewRecorder()
	}
	before := env.Server.Usage(env.Report)
	began := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = load.ForEachLogin(ctx, returners, o.Users, func(ctx context.Context, w *load.LoginWorker, i int) error {
			return h.Collect(ctx, w, meters[w], i)
		})
	}()
	sp.TakeUntil(done, env.Progress, "coming back")
	elapsed := time.Since(began)
	env.Report.Seconds = elapsed.Seconds()
	env.Report.AddFigure(back.RateName, float64(back.Total.TotalCount())/elapsed.Seconds(), "users per second", report.Higher)
	var read int64
	for _, b := range h.Backlogs {
		read += b.ReadCount
	}
	env.Report.AddFigure("read", float64(read)/elapsed.Seconds(), "messages per second", report.Higher)
	sp.AddTo(env.Report)
	target.AddCost(env.Report, before, env.Server.Usage(env.Report), read, elapsed)
	return err
}
