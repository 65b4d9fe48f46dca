package model

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// asideAppends is how many other writes an append transaction waits for, at
// most.
const asideAppends = 8

// gate gives turns at a connection that there is only one of. database/sql
// picks any of those who wait for it, so that with many lists being changed
// the log might wait for long. Here turns are given in order, and only so many
// of the other writes may stand in line. A nil gate is always open.
type gate struct{ others, turn *semaphore.Weighted }

func newGate() *gate {
	return &gate{others: semaphore.NewWeighted(asideAppends), turn: semaphore.NewWeighted(1)}
}

// append waits for the turn of an append transaction.
func (g *gate) append(ctx context.Context) (release func(), err error) {
	if g == nil {
		return func() {}, ctx.Err()
	}
	if err := g.turn.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return func() { g.turn.Release(1) }, nil
}

// other waits for the turn of any other write.
func (g *gate) other(ctx context.Context) (release func(), err error) {
	if g == nil {
		return func() {}, ctx.Err()
	}
	if err := g.others.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	if err := g.turn.Acquire(ctx, 1); err != nil {
		g.others.Release(1)
		return nil, err
	}
	return func() {
		g.turn.Release(1)
		g.others.Release(1)
	}, nil
}
