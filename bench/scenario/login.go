package scenario

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"chatd/bench/load"
	"chatd/bench/report"
	"chatd/bench/target"
)

// Login measures logins: users connect, log in and disconnect.
type Login struct {
	By       string        `name:"by" default:"token" enum:"token,password" help:"How to log in: token, as a returning client does, or password, which the server has to hash."`
	Users    int           `name:"users" default:"2000" help:"Users who take turns."`
	AtATime  int           `name:"at-a-time" default:"64" help:"Logins at the same time."`
	History  int           `name:"history" default:"0" help:"Store this many messages for the users beforehand, which they read and receipt; at least one per user. 0: none."`
	Duration time.Duration `name:"duration" default:"10s" help:"Measured time, at most 10m."`
}

// The messages that --history stores.
const (
	historySenders  = 10 // users who send them, each to every user
	historySize     = 100
	historyPatience = 15 * time.Second
)

func (*Login) Name() string { return "login" }

func (l *Login) Help() string {
	return `Users are registered and log in once for their tokens. Then --at-a-time of them at a time
connect, send LOGIN (brief, with receipts), read LOGIN_ACK and disconnect, and the next
ones follow. With --history, 10 more users have sent them that many messages in all, and
every user has read them and sent RECEIPT.

Measured: logins per second; "connect and log in", from connecting to reading LOGIN_ACK;
"log in", from sending LOGIN to that. If the server is too busy (errno 9), the wait it asks
for counts in both. The cost of --by password depends on the server's --argon2: a started
server has 8,1,1, which is much less than the default.

Checked: each LOGIN_ACK is for the user who asked; a token stays the same; every user got
all messages once and in order.`
}

func (l *Login) Check() error {
	var bad flagErrors
	bad.inRange("--users", l.Users, 1, maxConns)
	bad.inRange("--at-a-time", l.AtATime, 1, min(maxAtATime, max(l.Users, 1)))
	bad.check(l.History == 0 || l.History >= l.Users && l.History <= load.MaxStored, "--history: %d is neither 0 nor between --users and %d", l.History, load.MaxStored)
	bad.checkDuration("--duration", l.Duration)
	return bad.join()
}

// validateFloor checks what the relay can't do: it knows no users.
func (l *Login) validateFloor() error {
	var bad flagErrors
	bad.check(l.By == "token", "--by: %s; the floor hashes nothing", l.By)
	bad.check(l.History == 0, "--history: %d; the floor stores nothing", l.History)
	return bad.join()
}

func (l *Login) Run(ctx context.Context, env *load.Env) error {
	accounts := load.NewAccounts(env.Server)
	first := 0 // number of the first user that logs in
	if l.History > 0 {
		first = historySenders
	}
	users, err := accounts.FloorAccounts(l.Users), error(nil)
	if !env.Server.IsFloor() {
		users, err = accounts.RegisterAll(ctx, env.Progress, first, l.Users)
	}
	if err != nil {
		return err
	}
	if l.History > 0 {
		if err := l.sendHistory(ctx, env, accounts, users); err != nil {
			return err
		}
	}
	fromConnect, fromLogin := load.NewMetric("logins", "connect and log in"), load.NewMetric("", "log in")
	password := ""
	if l.By == "password" {
		password = accounts.Password
	}
	workers := make([]*load.LoginWorker, l.AtATime)
	for i := range workers {
		workers[i] = &load.LoginWorker{Env: env, Password: password, FromConnect: fromConnect.NewRecorder(), FromLogin: fromLogin.NewRecorder()}
	}

	sp := load.NewSampler(fromLogin, fromConnect) // a page shows the last one first
	before, started := env.Server.Usage(env.Report), time.Now()
	end := started.Add(l.Duration)
	g, running := errgroup.WithContext(ctx)
	for w, rt := range workers {
		g.Go(func() error { return l.loginInTurns(running, rt, users, first, w, end) })
	}
	done := make(chan struct{})
	go func() {
		err = g.Wait()
		close(done)
	}()
	sp.TakeUntil(done, env.Progress, "measured")
	elapsed, after := time.Since(started), env.Server.Usage(env.Report)

	n := fromConnect.Total.TotalCount()
	env.Report.Seconds = elapsed.Seconds()
	env.Report.AddFigure(fromConnect.RateName, float64(n)/elapsed.Seconds(), "per second", report.Higher)
	if after.Total != nil && before.Total != nil && n > 0 {
		cpu := (after.Total.CPU - before.Total.CPU).Seconds() / float64(n)
		env.Report.AddFigure("server CPU per login", cpu*1e6, "µs", report.Lower)
	}
	sp.AddTo(env.Report)
	target.AddCost(env.Report, before, after, 0, elapsed)
	return err
}

// sendHistory stores messages for the users and has them read everything.
func (l *Login) sendHistory(ctx context.Context, env *load.Env, accounts *load.Accounts, users []load.Account) error {
	h := load.NewHistory(env, users, historySenders, l.History, historySize, historyPatience)
	if _, err := h.Send(ctx, accounts); err != nil {
		return err
	}
	workers := make([]*load.LoginWorker, l.AtATime)
	for i := range workers {
		workers[i] = &load.LoginWorker{Env: env}
	}
	return load.ForEachLogin(ctx, workers, l.Users, func(ctx context.Context, w *load.LoginWorker, i int) error {
		return h.Collect(ctx, w, nil, i)
	})
}

// loginInTurns is worker w of AtATime. It logs in users[w], users[w+AtATime],
// and so on, and starts over until end; it logs in at least one user. Workers
// share no users, so no user has two logins at the same time. users[0] is user
// number first of the run.
func (l *Login) loginInTurns(ctx context.Context, rt *load.LoginWorker, users []load.Account, first, w int, end time.Time) error {
	for i := w; ; {
		c, _, err := rt.Login(ctx, rt.Server.AddrOf(first+i), users[i])
		if err != nil {
			return err
		}
		c.Abort()
		if ctx.Err() != nil || !time.Now().Before(end) {
			return ctx.Err()
		}
		if i += l.AtATime; i >= len(users) {
			i = w
		}
	}
}
