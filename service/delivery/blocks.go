package delivery

import "chatd/service/bus"

// block is a key of the cache: may by have blocked whom?
type block struct{ by, whom int64 }

// blocksOnLoop caches which users have blocked each other. It is only used for events
// and receipts: the transaction that stores a chat message checks the blocks itself.
// Repair finds changes that other nodes make.
type blocksOnLoop struct {
	known      map[block]bool
	generation int // number of invalidations
}

func (b *blocksOnLoop) forgetAll(t Turn) {
	clear(b.known)
	b.generation++
}

// Blocked reports whether by has blocked whom. known is false if that isn't in
// the cache; call AskBlocked then.
func (l *TopicsOnLoop) Blocked(t Turn, by, whom int64) (blocked, known bool) {
	blocked, known = l.blocks.known[block{by, whom}]
	return blocked, known
}

// BlocksVersion returns a number that changes whenever a block may have changed.
// Until then, callers can keep what Blocked returns.
func (l *TopicsOnLoop) BlocksVersion(t Turn) int { return l.blocks.generation }

// AskBlocked returns two functions: ask reads from the store whether by has
// blocked whom, and keep puts the answer into the cache of this loop.
func (l *TopicsOnLoop) AskBlocked(t Turn, by, whom int64) (ask func(t Off) (bool, error), keep func(t Turn, blocked bool)) {
	store, generation := l.d.store, l.blocks.generation
	ask = func(t Off) (bool, error) { return store.Blocked(t, by, whom) }
	keep = func(t Turn, blocked bool) {
		if len(l.blocks.known) >= blockCacheLen {
			clear(l.blocks.known) // rare, and cheaper than an LRU list
		}
		if l.blocks.generation == generation { // otherwise the answer may be outdated
			l.blocks.known[block{by, whom}] = blocked
		}
	}
	return ask, keep
}

// AnyBlock reports whether one of two users has blocked the other. known is false if that
// isn't in the cache; call AskAnyBlock then.
func (l *TopicsOnLoop) AnyBlock(t Turn, a, b int64) (blocked, known bool) {
	one, known1 := l.Blocked(t, a, b)
	other, known2 := l.Blocked(t, b, a)
	return one || other, known1 && known2
}

// AskAnyBlock is AskBlocked for both directions: whether a has blocked b, and b has
// blocked a.
func (l *TopicsOnLoop) AskAnyBlock(t Turn, a, b int64) (ask func(t Off) ([2]bool, error), keep func(t Turn, blocked [2]bool)) {
	ask1, keep1 := l.AskBlocked(t, a, b)
	ask2, keep2 := l.AskBlocked(t, b, a)
	ask = func(t Off) (blocked [2]bool, err error) {
		if blocked[0], err = ask1(t); err == nil {
			blocked[1], err = ask2(t)
		}
		return blocked, err
	}
	keep = func(t Turn, blocked [2]bool) {
		keep1(t, blocked[0])
		keep2(t, blocked[1])
	}
	return ask, keep
}

// ForgetBlock removes an entry from the caches of all loops after the block has
// changed.
func (d *Delivery) ForgetBlock(b *bus.Blocked) {
	d.each(func(t Turn, l *TopicsOnLoop) {
		delete(l.blocks.known, block{b.By, b.Whom})
		l.blocks.generation++
	})
}
