package delivery

import "chatd/service/bus"

// block is a question: has a user blocked another?
type block struct{ by, whom int64 }

// blocksOnLoop caches on a loop which users have blocked which, for events. (For
// chat messages the log looks in its transaction.)
type blocksOnLoop struct {
	known      map[block]bool
	generation int // rises when something is forgotten
}

func (b *blocksOnLoop) forgetAll(t Turn) {
	clear(b.known)
	b.generation++
}

// Blocked reports whether a user has blocked another, as far as the loop knows.
func (l *TopicsOnLoop) Blocked(t Turn, by, whom int64) (blocked, known bool) {
	blocked, known = l.blocks.known[block{by, whom}]
	return blocked, known
}

// AskBlocked returns a question for the store, and what keeps its answer on
// this loop.
func (l *TopicsOnLoop) AskBlocked(t Turn, by, whom int64) (ask func(t Off) (bool, error), keep func(t Turn, blocked bool)) {
	store, generation := l.d.store, l.blocks.generation
	ask = func(t Off) (bool, error) { return store.Blocked(t, by, whom) }
	keep = func(t Turn, blocked bool) {
		if len(l.blocks.known) >= blockCacheLen {
			clear(l.blocks.known) // rare, and cheaper than keeping an order
		}
		if l.blocks.generation == generation { // else it was asked before a change
			l.blocks.known[block{by, whom}] = blocked
		}
	}
	return ask, keep
}

// ForgetBlock makes every loop ask the store again what one user has blocked of
// another.
func (d *Delivery) ForgetBlock(b *bus.Blocked) {
	d.each(func(t Turn, l *TopicsOnLoop) {
		delete(l.blocks.known, block{b.By, b.Whom})
		l.blocks.generation++
	})
}
