package main

import (
	"context"
	"time"

	"chatd/proto"
)

// offline is the scenario of users who have been away.
type offline struct {
	Users    int           `name:"users" default:"200" help:"Users who are away."`
	Messages int           `name:"messages" default:"100" help:"Messages that each of them gets meanwhile."`
	Senders  int           `name:"senders" default:"10" help:"Further users, who send them: each message of a user is from the next one."`
	AtATime  int           `name:"at-a-time" default:"64" help:"Users who come back at the same time."`
	Size     int           `name:"size" default:"100" help:"Text of each message."`
	Patience time.Duration `name:"patience" default:"15s" help:"What is missing may take so long while nothing else arrives; then it is lost."`
}

func (*offline) name() string { return "offline" }

func (o *offline) Help() string {
	return `Users are registered, log in once with receipts, and go away. Senders fill what they will
find: each keeps 64 messages unacknowledged. Then all log in by token, --at-a-time of
them at the same time; each reads what LOGIN_ACK has of it (offlinemsg) and the pushes
that follow, says with RECEIPT that it has it, and is gone.

Measured are messages stored per second, users per second who have logged in and have
everything, and messages read per second meanwhile; and "log in to complete", from
connecting to the read of a user's last message. Checked is that each has all that was
acknowledged, once, unaltered, in the order of each conversation, and nothing beside.`
}

func (o *offline) validate() error {
	var bad complaints
	bad.between("--users", o.Users, 1, maxConns)
	bad.between("--messages", o.Messages, 1, maxStored)
	bad.check(o.Messages < 1 || o.Users <= maxStored/o.Messages, "--messages: %d for each of %d users are more than %d", o.Messages, o.Users, maxStored)
	bad.between("--senders", o.Senders, 1, maxPairs)
	bad.between("--at-a-time", o.AtATime, 1, maxAtATime)
	bad.between("--size", o.Size, stampSize, proto.MaxMsg)
	bad.lasting("--patience", o.Patience)
	return bad.join()
}

func (o *offline) run(ctx context.Context, r *rig) error {
	rs := newRecruits(r.server)
	users, err := rs.enroll(ctx, r.progress, o.Senders, o.Users)
	if err != nil {
		return err
	}
	h := newHistory(r, users, o.Senders, o.Users*o.Messages, o.Size, o.Patience)
	fresh := r.server.usage(r.report)
	stored, err := h.store(ctx, rs)
	if err != nil {
		return err
	}
	r.report.figure("stored", float64(h.total)/stored.Seconds(), "per second", higher)
	addCostEach(r.report, "stored", fresh, r.server.usage(r.report), h.total)

	entered, back := newGauge("", "connect and log in"), newGauge("logged in and complete", "log in to complete")
	sp := newSampler(entered, back)
	returners := make([]*returner, min(o.AtATime, o.Users))
	meters := make(map[*returner]*meter, len(returners))
	for i := range returners {
		returners[i] = &returner{rig: r, whole: entered.meter()}
		meters[returners[i]] = back.meter()
	}
	before := r.server.usage(r.report)
	began := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = crowd(ctx, returners, o.Users, func(ctx context.Context, rt *returner, i int) error {
			return h.collect(ctx, rt, meters[rt], i)
		})
	}()
	sp.until(done, r.progress, "coming back")
	elapsed := time.Since(began)
	r.report.Seconds = elapsed.Seconds()
	r.report.figure(back.name, float64(back.total.TotalCount())/elapsed.Seconds(), "users per second", higher)
	var read int64
	for _, b := range h.missed {
		read += b.read
	}
	r.report.figure("read", float64(read)/elapsed.Seconds(), "messages per second", higher)
	sp.tell(r.report)
	addCost(r.report, before, r.server.usage(r.report), read, elapsed)
	return err
}
