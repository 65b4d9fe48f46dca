package presence

import (
	"context"
	"sync"
	"time"
)

// goneQueue has users who may have gone offline.
type goneQueue struct {
	mu    sync.Mutex
	users map[int64]struct{}
	wake  chan struct{}
}

func (q *goneQueue) init() {
	q.users, q.wake = make(map[int64]struct{}), make(chan struct{}, 1)
}

func (q *goneQueue) add(users []int64) {
	q.mu.Lock()
	for _, u := range users {
		q.users[u] = struct{}{}
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *goneQueue) take() map[int64]struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	users := q.users
	q.users = make(map[int64]struct{})
	return users
}

// RunGone tells users on this node which friends have gone offline, until ctx
// ends. It doesn't use the store, so that a slow database doesn't delay it.
func (p *Presence) RunGone(ctx context.Context) {
	sweep := time.NewTicker(p.cfg.SweepEvery)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			p.sweep()
		case <-p.gone.wake:
			for user := range p.gone.take() {
				p.partWith(user)
			}
		}
	}
}

// partWith tells all who were told that a user is online that they are offline,
// unless they have come back.
func (p *Presence) partWith(user int64) {
	for _, w := range p.watching(user) {
		p.with(w, func(st *stay) {
			if !p.cluster.Online(user) {
				p.tell(st, w, user, false, nil)
			}
		})
	}
}

// sweep finds users who were reported online, but aren't: this node may have
// been told so by a late hint, or before it knew the roster of the user's node. A
// user counts only if they were absent in two sweeps, so that there is time for
// the roster to arrive.
func (p *Presence) sweep() {
	for i := range p.watchers {
		sh := &p.watchers[i]
		var absent []int64
		sh.mu.Lock()
		for f, w := range sh.friends {
			was := w.absent
			if w.absent = !p.cluster.Online(f); w.absent && was {
				absent = append(absent, f)
			}
		}
		sh.mu.Unlock()
		if len(absent) > 0 {
			p.gone.add(absent)
		}
	}
}
