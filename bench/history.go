package main

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"chatd/proto"
)

const (
	// maxStored bounds what a run leaves in a store.
	maxStored = 10_000_000
	// historyWindow is what each sender keeps on the way.
	historyWindow = 64
)

// history is what senders say to users who are away.
type history struct {
	*rig
	senders  int        // users number 0 to senders-1 of the run
	missed   []*backlog // of those who follow, each one's
	total    int        // messages, of which all users get the same number, or one more
	size     int        // of a text
	patience time.Duration
	done     atomic.Int64 // acknowledged
}

func newHistory(r *rig, users []account, senders, total, size int, patience time.Duration) *history {
	h := &history{rig: r, senders: senders, missed: make([]*backlog, len(users)), total: total, size: size, patience: patience}
	for i, u := range users {
		h.missed[i] = newBacklog(u, size, r.faults)
	}
	return h
}

// store has the senders say it all, who are registered for it. It blocks until
// all is acknowledged, and returns how long that took.
func (h *history) store(ctx context.Context, rs *recruits) (time.Duration, error) {
	senders := make([]*filler, h.senders)
	for i := range senders {
		senders[i] = &filler{history: h, number: i, at: -1, letters: make(map[int64]*letters)}
	}
	defer func() {
		for _, f := range senders {
			if f.conn != nil {
				f.conn.close()
			}
		}
	}()
	err := each(ctx, h.senders, setupAtATime, h.progress, "senders", func(ctx context.Context, i int) error {
		return senders[i].enter(ctx, rs)
	})
	if err != nil {
		return 0, err
	}
	began := time.Now()
	g, first := errgroup.WithContext(ctx)
	for _, f := range senders {
		g.Go(func() error { return f.run(first) })
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	elapsed := time.Since(began)
	for _, f := range senders {
		h.report.refused(int32(proto.TooFast), f.refused)
		for _, l := range f.letters {
			l.to.from[f.me.id] = l
			l.to.left += l.sent.seqs.last
		}
	}
	return elapsed, ctx.Err()
}

// collect has user i log in and read all of it. complete measures how long
// that takes; nil: nothing does.
func (h *history) collect(ctx context.Context, rt *returner, complete *meter, i int) error {
	return h.missed[i].collect(ctx, rt, complete, h.server.addrOf(h.senders+i), h.patience)
}
