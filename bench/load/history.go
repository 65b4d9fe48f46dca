package load

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"chatd/proto"
)

const (
	// MaxStored bounds the messages that one run stores.
	MaxStored = 10_000_000
	// historyWindow is how many messages each sender has in flight.
	historyWindow = 64
)

// History is a set of messages that users are sent while they are offline.
type History struct {
	*Env
	senders  int        // users 0 to senders-1 of the run
	Backlogs []*backlog // one for each of the users that follow
	Total    int        // messages; users get equally many, some of them one more
	size     int        // bytes of each text
	patience time.Duration
	acked    atomic.Int64 // messages
}

func NewHistory(env *Env, users []Account, senders, total, size int, patience time.Duration) *History {
	h := &History{Env: env, senders: senders, Backlogs: make([]*backlog, len(users)), Total: total, size: size, patience: patience}
	for i, u := range users {
		h.Backlogs[i] = newBacklog(u, size, env.Faults)
	}
	return h
}

// Send registers the senders and sends all messages. It blocks until they are
// acknowledged and returns how long that took.
func (h *History) Send(ctx context.Context, accounts *Accounts) (time.Duration, error) {
	senders := make([]*backlogSender, h.senders)
	for i := range senders {
		senders[i] = &backlogSender{History: h, number: i, user: -1, logs: make(map[int64]*pairLog)}
	}
	defer func() {
		for _, s := range senders {
			if s.conn != nil {
				s.conn.Close()
			}
		}
	}()
	err := ForEach(ctx, h.senders, SetupConcurrency, h.Progress, "senders", func(ctx context.Context, i int) error {
		return senders[i].login(ctx, accounts)
	})
	if err != nil {
		return 0, err
	}
	began := time.Now()
	g, first := errgroup.WithContext(ctx)
	for _, s := range senders {
		g.Go(func() error { return s.run(first) })
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	elapsed := time.Since(began)
	for _, s := range senders {
		h.Report.AddRefusals(int32(proto.TooFast), s.refused)
		for _, l := range s.logs {
			l.to.senders[s.account.ID] = l
			l.to.missing += l.sent.seqs.last
		}
	}
	return elapsed, ctx.Err()
}

// Collect logs user i in and reads all its messages. If complete isn't nil, it
// records how long that takes.
func (h *History) Collect(ctx context.Context, w *LoginWorker, complete *Recorder, i int) error {
	return h.Backlogs[i].collect(ctx, w, complete, h.Server.AddrOf(h.senders+i), h.patience)
}
