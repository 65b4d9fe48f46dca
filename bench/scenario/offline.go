package scenario

import (
	"context"
	"time"

	"chatd/bench/load"
	"chatd/bench/report"
	"chatd/bench/target"
	"chatd/proto"
)

// maxSenders is the most senders of offline. Each has a connection.
const maxSenders = 20_000

// Offline measures storing messages for offline users, and delivering them at
// login.
type Offline struct {
	Users    int           `name:"users" default:"200" help:"Users who are offline."`
	Messages int           `name:"messages" default:"100" help:"Messages sent to each of them meanwhile."`
	Senders  int           `name:"senders" default:"10" help:"Other users who send them. Consecutive messages to a user have different senders."`
	AtATime  int           `name:"at-a-time" default:"64" help:"Users who return at the same time."`
	Size     int           `name:"size" default:"100" help:"Bytes of text in each message."`
	Ping     bool          `name:"ping" help:"While they log in, measure the PING of a user on another connection, 100 times per second."`
	Patience time.Duration `name:"patience" default:"15s" help:"How long to wait for missing messages while nothing else arrives, before they count as lost."`
}

func (*Offline) Name() string { return "offline" }

func (o *Offline) Help() string {
	return `Users are registered, log in once with receipts and go offline. Senders, with 64
unacknowledged messages each, send to them. Then all log in by token, --at-a-time of them
at a time, read what LOGIN_ACK contains (offlinemsg) and the pushes that follow, send
RECEIPT and disconnect.

Measured: messages stored per second; then users per second that have logged in and have
everything, and messages read per second; "log in to complete", from connecting to reading
the user's last message; with --ping, "ping of others".

A backlog over many conversations has as many senders as messages:
"--users 1 --senders 5000 --messages 5000 --ping".

Checked: everyone gets all acknowledged messages once, unchanged, in the order of each
conversation, and nothing else.`
}

func (o *Offline) Check() error {
	var bad flagErrors
	bad.inRange("--users", o.Users, 1, maxConns)
	bad.inRange("--messages", o.Messages, 1, load.MaxStored)
	bad.check(o.Messages < 1 || o.Users <= load.MaxStored/o.Messages, "--messages: %d for each of %d users is more than %d in all", o.Messages, o.Users, load.MaxStored)
	bad.inRange("--senders", o.Senders, 1, maxSenders)
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

	logins, complete := load.NewMetric("", "connect and log in"), load.NewMetric("logged in and complete", "log in to complete")
	metrics := []*load.Metric{logins, complete}
	stopPing := func() error { return nil }
	if o.Ping {
		pings := load.NewMetric("", "ping of others")
		metrics = append(metrics, pings)
		if stopPing, err = load.StartPing(ctx, env, accounts, o.Senders+o.Users, pings.NewRecorder()); err != nil {
			return err
		}
	}
	sp := load.NewSampler(metrics...)
	workers := make([]*load.LoginWorker, min(o.AtATime, o.Users))
	recorders := make(map[*load.LoginWorker]*load.Recorder, len(workers))
	for i := range workers {
		workers[i] = &load.LoginWorker{Env: env, FromConnect: logins.NewRecorder()}
		recorders[workers[i]] = complete.NewRecorder()
	}
	before := env.Server.Usage(env.Report)
	began := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = load.ForEachLogin(ctx, workers, o.Users, func(ctx context.Context, w *load.LoginWorker, i int) error {
			return h.Collect(ctx, w, recorders[w], i)
		})
	}()
	sp.TakeUntil(done, env.Progress, "coming back")
	elapsed := time.Since(began)
	if pingErr := stopPing(); err == nil {
		err = pingErr
	}
	env.Report.Seconds = elapsed.Seconds()
	env.Report.AddFigure(complete.RateName, float64(complete.Total.TotalCount())/elapsed.Seconds(), "users per second", report.Higher)
	var read int64
	for _, b := range h.Backlogs {
		read += b.ReadCount
	}
	env.Report.AddFigure("read", float64(read)/elapsed.Seconds(), "messages per second", report.Higher)
	sp.AddTo(env.Report)
	target.AddCost(env.Report, before, env.Server.Usage(env.Report), read, elapsed)
	return err
}
