package scenario

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"chatd/bench/load"
	"chatd/bench/report"
	"chatd/bench/target"
)

// Login is the scenario of users who come and go.
type Login struct {
	By       string        `name:"by" default:"token" enum:"token,password" help:"What they log in with: token, as a client does that comes back; or password, which the server has to hash."`
	Users    int           `name:"users" default:"2000" help:"Users who take turns."`
	AtATime  int           `name:"at-a-time" default:"64" help:"Logins that are under way at the same time."`
	History  int           `name:"history" default:"0" help:"So many messages in all are said to the users beforehand, each of whom gets and receipts its share; at least one each. 0: none."`
	Duration time.Duration `name:"duration" default:"10s" help:"How long is measured, at most 10m."`
}

// Of the history.
const (
	historySenders  = 10 // users who tell it; each user has a conversation with each of them
	historySize     = 100
	historyPatience = 15 * time.Second
)

func (*Login) Name() string { return "login" }

func (l *Login) Help() string {
	return `Users are registered first, and log in once for their tokens. Then --at-a-time of them at
the same time connect, send LOGIN (brief, with receipts), read LOGIN_ACK and are gone
without a word, and the next ones come. With --history they have a past by then: 10
further users have sent them so many messages in all, and every user has logged in, read
all of them and said so with RECEIPT.

Measured are logins per second; "connect and log in", from connecting to the read of
LOGIN_ACK; and "log in", from the write of LOGIN to that. Where the server is too busy
(errno 9), the pause that it asks for counts as part of both. Checked is that each
LOGIN_ACK is for the user who asked, that a token stays the same, and that each user has
got the whole history, once and in order. What --by password costs is the server's --argon2: a started one has 8,1,1, far less than by default.`
}

func (l *Login) Check() error {
	var bad flagErrors
	bad.inRange("--users", l.Users, 1, maxConns)
	bad.inRange("--at-a-time", l.AtATime, 1, min(maxAtATime, max(l.Users, 1)))
	bad.check(l.History == 0 || l.History >= l.Users && l.History <= load.MaxStored, "--history: %d is neither 0 nor between --users and %d", l.History, load.MaxStored)
	bad.checkDuration("--duration", l.Duration)
	return bad.join()
}

// validateFloor checks what the floor can't do, which knows nobody.
func (l *Login) validateFloor() error {
	var bad flagErrors
	bad.check(l.By == "token", "--by: %s; the floor hashes nothing", l.By)
	bad.check(l.History == 0, "--history: %d; the floor stores nothing", l.History)
	return bad.join()
}

func (l *Login) Run(ctx context.Context, env *load.Env) error {
	accounts := load.NewAccounts(env.Server)
	first := 0 // user who logs in
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
	whole, ack := load.NewMetric("logins", "connect and log in"), load.NewMetric("", "log in")
	password := ""
	if l.By == "password" {
		password = accounts.Password
	}
	returners := make([]*load.LoginWorker, l.AtATime)
	for i := range returners {
		returners[i] = &load.LoginWorker{Env: env, Password: password, FromConnect: whole.NewRecorder(), FromLogin: ack.NewRecorder()}
	}

	sp := load.NewSampler(ack, whole) // the whole last: a page shows that one first
	before, started := env.Server.Usage(env.Report), time.Now()
	end := started.Add(l.Duration)
	g, running := errgroup.WithContext(ctx)
	for w, rt := range returners {
		g.Go(func() error { return l.loginInTurns(running, rt, users, first, w, end) })
	}
	done := make(chan struct{})
	go func() {
		err = g.Wait()
		close(done)
	}()
	sp.TakeUntil(done, env.Progress, "measured")
	elapsed, after := time.Since(started), env.Server.Usage(env.Report)

	n := whole.Total.TotalCount()
	env.Report.Seconds = elapsed.Seconds()
	env.Report.AddFigure(whole.RateName, float64(n)/elapsed.Seconds(), "per second", report.Higher)
	if after.Total != nil && before.Total != nil && n > 0 {
		cpu := (after.Total.CPU - before.Total.CPU).Seconds() / float64(n)
		env.Report.AddFigure("server CPU per login", cpu*1e6, "µs", report.Lower)
	}
	sp.AddTo(env.Report)
	target.AddCost(env.Report, before, after, 0, elapsed)
	return err
}

// sendHistory gives the users a history, of which they have everything when it
// returns.
func (l *Login) sendHistory(ctx context.Context, env *load.Env, accounts *load.Accounts, users []load.Account) error {
	h := load.NewHistory(env, users, historySenders, l.History, historySize, historyPatience)
	if _, err := h.Send(ctx, accounts); err != nil {
		return err
	}
	returners := make([]*load.LoginWorker, l.AtATime)
	for i := range returners {
		returners[i] = &load.LoginWorker{Env: env}
	}
	return load.ForEachLogin(ctx, returners, l.Users, func(ctx context.Context, w *load.LoginWorker, i int) error {
		return h.Collect(ctx, w, nil, i)
	})
}

// loginInTurns logs every AtATime-th user in, from the w-th on, again and again:
// so each user is one returner's alone. The first turn comes in any case. first
// is the number in the run of the first of users.
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
