package main

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// login is the scenario of users who come and go.
type login struct {
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

func (*login) name() string { return "login" }

func (l *login) Help() string {
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

func (l *login) validate() error {
	var bad complaints
	bad.between("--users", l.Users, 1, maxConns)
	bad.between("--at-a-time", l.AtATime, 1, min(maxAtATime, max(l.Users, 1)))
	bad.check(l.History == 0 || l.History >= l.Users && l.History <= maxStored, "--history: %d is neither 0 nor between --users and %d", l.History, maxStored)
	bad.lasting("--duration", l.Duration)
	return bad.join()
}

// validateFloor checks what the floor can't do, which knows nobody.
func (l *login) validateFloor() error {
	var bad complaints
	bad.check(l.By == "token", "--by: %s; the floor hashes nothing", l.By)
	bad.check(l.History == 0, "--history: %d; the floor stores nothing", l.History)
	return bad.join()
}

func (l *login) run(ctx context.Context, r *rig) error {
	rs := newRecruits(r.server)
	first := 0 // user who logs in
	if l.History > 0 {
		first = historySenders
	}
	users, err := rs.strangers(l.Users), error(nil)
	if !r.server.floor() {
		users, err = rs.enroll(ctx, r.progress, first, l.Users)
	}
	if err != nil {
		return err
	}
	if l.History > 0 {
		if err := l.remember(ctx, r, rs, users); err != nil {
			return err
		}
	}
	whole, ack := newGauge("logins", "connect and log in"), newGauge("", "log in")
	password := ""
	if l.By == "password" {
		password = rs.password
	}
	returners := make([]*returner, l.AtATime)
	for i := range returners {
		returners[i] = &returner{rig: r, byPassword: password, whole: whole.meter(), ack: ack.meter()}
	}

	sp := newSampler(ack, whole) // the whole last: a page shows that one first
	before, started := r.server.usage(r.report), time.Now()
	end := started.Add(l.Duration)
	g, running := errgroup.WithContext(ctx)
	for w, rt := range returners {
		g.Go(func() error { return l.takeTurns(running, rt, users, first, w, end) })
	}
	done := make(chan struct{})
	go func() {
		err = g.Wait()
		close(done)
	}()
	sp.until(done, r.progress, "measured")
	elapsed, after := time.Since(started), r.server.usage(r.report)

	n := whole.total.TotalCount()
	r.report.Seconds = elapsed.Seconds()
	r.report.figure(whole.name, float64(n)/elapsed.Seconds(), "per second", higher)
	if after.server != nil && before.server != nil && n > 0 {
		cpu := (after.server.cpu - before.server.cpu).Seconds() / float64(n)
		r.report.figure("server CPU per login", cpu*1e6, "µs", lower)
	}
	sp.tell(r.report)
	addCost(r.report, before, after, 0, elapsed)
	return err
}

// remember gives the users a history, of which they have everything when it
// returns.
func (l *login) remember(ctx context.Context, r *rig, rs *recruits, users []account) error {
	h := newHistory(r, users, historySenders, l.History, historySize, historyPatience)
	if _, err := h.store(ctx, rs); err != nil {
		return err
	}
	returners := make([]*returner, l.AtATime)
	for i := range returners {
		returners[i] = &returner{rig: r}
	}
	return crowd(ctx, returners, l.Users, func(ctx context.Context, rt *returner, i int) error {
		return h.collect(ctx, rt, nil, i)
	})
}

// takeTurns logs every AtATime-th user in, from the w-th on, again and again:
// so each user is one returner's alone. The first turn comes in any case. first
// is the number in the run of the first of users.
func (l *login) takeTurns(ctx context.Context, rt *returner, users []account, first, w int, end time.Time) error {
	for i := w; ; {
		c, _, err := rt.enter(ctx, rt.server.addrOf(first+i), users[i])
		if err != nil {
			return err
		}
		c.abort()
		if ctx.Err() != nil || !time.Now().Before(end) {
			return ctx.Err()
		}
		if i += l.AtATime; i >= len(users) {
			i = w
		}
	}
}
