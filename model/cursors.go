package model

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Kinds of values that are written to the database with a delay. A value only
// rises, so only the latest one is kept.
const (
	deliveredSeq = iota // the last seq that a device has in a conversation
	readSeq             // the last seq that a user has read in a conversation
	usedTime            // when a device's token was last used, in Unix ms
	cursorKinds
)

// cursorKey identifies one of a user's values.
type cursorKey struct {
	kind   uint8
	device string // "" for readSeq
	conv   int64  // 0 for usedTime
}

// cursorValue is a pending value: the first and the latest one that was set
// since the last write.
type cursorValue struct{ first, last int64 }

const cursorShards = 64

// cursors keeps values in memory until its goroutine writes them. One
// transaction writes the values of many users.
type cursors struct {
	db     *DB
	shards [cursorShards]cursorShard
	count  atomic.Int64 // pending values, of all users

	mu      sync.Mutex
	due     []int64            // users whose values the next transaction writes
	waiting []chan error       // calls of Flush that wait for that transaction
	sweeps  []int64            // users with cursors of devices that they no longer have
	reads   map[int64]struct{} // users whose read cursors the next transaction of writeReads writes
	closed  bool

	wake chan struct{} // holds a value if due or sweeps has changed
	stop chan struct{}
	done chan error
}

type cursorShard struct {
	mu    sync.Mutex
	users map[int64]*userCursors
}

// userCursors are a user's pending values. While a transaction writes them,
// they are in writing, where reads still find them.
type userCursors struct {
	pending, writing map[cursorKey]cursorValue
	due              bool // is in cursors.due, because a cursor has moved by CursorBehind
}

// cursorRow is a value that is being written.
type cursorRow struct {
	user int64
	cursorKey
	cursorValue
}

func newCursors(db *DB) *cursors {
	c := &cursors{
		db:    db,
		reads: make(map[int64]struct{}),
		wake:  make(chan struct{}, 1),
		stop:  make(chan struct{}),
		done:  make(chan error, 1),
	}
	for i := range c.shards {
		c.shards[i].users = make(map[int64]*userCursors)
	}
	db.m.gauge("chatd_model_cursors_pending", func() float64 { return float64(c.count.Load()) })
	go c.run()
	return c
}

// SetDelivered records that a device has a conversation's messages up to seq. It
// never blocks: the cursor is written later. A lower seq than before is ignored;
// one above the conversation's last is lowered to it. If the device no longer
// exists, nothing is written.
func (db *DB) SetDelivered(user int64, device string, conv, seq int64) {
	db.cursors.set(user, cursorKey{deliveredSeq, device, conv}, seq)
}

// SetRead records that a user has read a conversation up to seq. It works like
// SetDelivered. The caller announces it to the clients of this process; if other
// processes may serve clients, they find it in the feed, within ReadInterval.
func (db *DB) SetRead(user, conv, seq int64) {
	if c := db.cursors; c.set(user, cursorKey{kind: readSeq, conv: conv}, seq) && db.several() {
		c.mu.Lock()
		c.reads[user] = struct{}{}
		c.mu.Unlock()
	}
}

// ReadUpTo returns up to which seq a user has read a conversation, including what this
// process hasn't written yet. It returns 0 if the user isn't a member. It blocks.
func (db *DB) ReadUpTo(ctx context.Context, user, conv int64) (int64, error) {
	pending := db.cursors.value(user, cursorKey{kind: readSeq, conv: conv}) // before the read
	var seq int64
	err := db.get(ctx, &seq, `SELECT read_seq FROM members WHERE conversation_id = ? AND user_id = ?`, conv, user)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read up to where user %d has read conversation %d: %w", user, conv, err)
	}
	return max(seq, pending), nil
}

// several reports whether several processes may serve clients from this store.
func (db *DB) several() bool { return db.sql.Name != "sqlite" || db.o.Shared }

// FlushSoon makes the next transaction write a user's cursors. It never blocks.
func (db *DB) FlushSoon(user int64) {
	if c := db.cursors; c.has(user) {
		c.makeDue(user)
	}
}

// Flush writes a user's cursors and blocks until they are written. Simultaneous
// calls share a transaction. After an error, the cursors stay pending and are
// written later. Errors: ErrClosed.
func (db *DB) Flush(ctx context.Context, user int64) error {
	c := db.cursors
	if !c.has(user) {
		return nil
	}
	answer := make(chan error, 1)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrClosed
	}
	c.due = append(c.due, user)
	c.waiting = append(c.waiting, answer)
	c.mu.Unlock()
	c.wakeUp()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *cursors) shard(user int64) *cursorShard { return &c.shards[uint64(user)%cursorShards] }

// makeDue makes the next transaction write a user's values.
func (c *cursors) makeDue(user int64) {
	c.mu.Lock()
	c.due = append(c.due, user)
	c.mu.Unlock()
	c.wakeUp()
}

// sweepLater deletes the cursors of devices that a user no longer has, in the
// background.
func (c *cursors) sweepLater(user int64) {
	c.mu.Lock()
	c.sweeps = append(c.sweeps, user)
	c.mu.Unlock()
	c.wakeUp()
}

func (c *cursors) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// set makes a value pending, and reports whether it is new. It holds a lock only for a
// map operation.
func (c *cursors) set(user int64, k cursorKey, v int64) bool {
	s := c.shard(user)
	s.mu.Lock()
	u := s.users[user]
	if u == nil {
		u = &userCursors{}
		s.users[user] = u
	}
	p, known := u.pending[k]
	switch {
	case known && v <= p.last:
		s.mu.Unlock()
		return false
	case known:
		p.last = v
	case c.count.Load() >= maxPending:
		// No harm is done: the client's next receipt has a higher seq.
		s.mu.Unlock()
		c.db.m.cursorDropped.Inc()
		return false
	default:
		p = cursorValue{v, v}
		c.count.Add(1)
		if u.pending == nil {
			u.pending = make(map[cursorKey]cursorValue)
		}
	}
	u.pending[k] = p
	due := k.kind == deliveredSeq && p.last-p.first >= c.db.o.CursorBehind && !u.due
	if due {
		u.due = true
	}
	s.mu.Unlock()
	if due {
		c.makeDue(user)
	}
	return true
}

// has reports whether a user has values that aren't written yet.
func (c *cursors) has(user int64) bool {
	s := c.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.users[user] != nil
}

// value returns a value that isn't written yet, or 0. As with values, call it
// before reading the database.
func (c *cursors) value(user int64, k cursorKey) int64 {
	s := c.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[user]
	if u == nil {
		return 0
	}
	return max(u.writing[k].last, u.pending[k].last)
}

// values returns a user's values that aren't written yet. Call it before reading
// the database, so that a value that is written between the two is seen twice. In
// the reverse order, it could be missed by both.
func (c *cursors) values(user int64) map[cursorKey]int64 {
	s := c.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[user]
	if u == nil {
		return nil
	}
	all := make(map[cursorKey]int64, len(u.pending)+len(u.writing))
	for _, m := range []map[cursorKey]cursorValue{u.writing, u.pending} {
		for k, p := range m {
			all[k] = max(all[k], p.last)
		}
	}
	return all
}
