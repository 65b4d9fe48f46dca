package model

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"chatd/model/feed"
	"chatd/model/sqldb"
)

// Every change of a group's members is described by an Append with a Change, as
// every message is by an Append without one. Whoever commits a change passes it
// on in that form, to the same code that gets the messages. The change is atomic
// in itself and takes no seq, so it doesn't go through the append queue.

// changes are what a transaction has changed that the feed lists.
type changes struct {
	groups    []*Append    // at most one for each group; the transaction has locked their rows
	ended     []feed.Ended // sessions
	relations []feed.Relation
	reads     []feed.Read
}

func (c *changes) empty() bool {
	return len(c.groups)+len(c.ended)+len(c.relations)+len(c.reads) == 0
}

// writeChange runs do in a transaction, as writeFeed does. do returns the changes
// that it has made to groups, and writeChange returns them after the commit.
func (db *DB) writeChange(ctx context.Context, do func(ctx context.Context, tx *sqlx.Tx) ([]*Append, error)) ([]*Append, error) {
	c, err := db.writeFeed(ctx, func(ctx context.Context, tx *sqlx.Tx) (c changes, err error) {
		c.groups, err = do(ctx, tx)
		return c, err
	})
	return c.groups, err
}

// writeFeed runs do in a transaction, like write. In the same transaction, it writes
// a row of the feed with the changes that do returns, if there are any. It returns
// them after the commit. The caller must then announce them to the clients of this
// process; other processes find them in the feed.
func (db *DB) writeFeed(ctx context.Context, do func(ctx context.Context, tx *sqlx.Tx) (changes, error)) (changes, error) {
	lane := db.lanes.get(db.sql)
	defer db.lanes.put(lane)
	for attempt := 1; ; attempt++ {
		if lane.Stale() {
			err := lane.Open(func(query string, args ...any) error {
				return db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
					_, err := tx.ExecContext(ctx, query, args...)
					return err
				})
			})
			if err != nil {
				return changes{}, err
			}
			db.lanes.opened(lane)
		}
		c, err := db.writeOnLane(ctx, lane, do)
		if err == nil {
			lane.Committed()
			db.lanes.settled(lane)
			return c, nil
		}
		db.lanes.settled(lane)
		if !errors.Is(err, feed.ErrClosed) || attempt == maxLanes {
			return changes{}, err
		}
	}
}

// writeOperator is writeFeed for the commands of operators, which run in processes of
// their own. All processes find the changes in the feed, also this one.
func (db *DB) writeOperator(ctx context.Context, do func(ctx context.Context, tx *sqlx.Tx) (changes, error)) error {
	_, err := db.writeOnLane(ctx, feed.NewSharedLane(db.sql), do)
	return err
}

// maxLanes is how many lanes writeFeed tries for one transaction. More than two
// are needed only if the transaction fails for other reasons as well.
const maxLanes = 3

// writeOnLane is one attempt of writeFeed. It returns feed.ErrClosed if it should
// be tried again with another lane.
func (db *DB) writeOnLane(ctx context.Context, lane *feed.Lane, do func(ctx context.Context, tx *sqlx.Tx) (changes, error)) (c changes, err error) {
	err = db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		if lane.Stale() { // an earlier attempt, which write has repeated, has used it
			return feed.ErrClosed
		}
		c, err = do(ctx, tx) // of the last attempt
		if err != nil || c.empty() {
			return err
		}
		return db.record(ctx, tx, lane, &c)
	})
	return c, err
}

// record writes the changes to the feed.
func (db *DB) record(ctx context.Context, tx *sqlx.Tx, lane *feed.Lane, c *changes) error {
	err := lane.Join(func(to any, query string, args ...any) error { return tx.GetContext(ctx, to, query, args...) })
	if err != nil {
		return err
	}
	ids := make([]any, len(c.groups))
	for i, a := range c.groups {
		ids[i] = a.Conv
	}
	highest := int64(0)
	err = sqldb.InBatches(ids, 1, db.d.MaxRows, func(n int, ids []any) error {
		var tick int64
		err := tx.GetContext(ctx, &tick, `SELECT MAX(tick) FROM conversations WHERE id IN (`+sqldb.Repeated("?", n)+`)`, ids...)
		highest = max(highest, tick)
		return err
	})
	if err != nil {
		return err
	}
	tick := lane.Tick(highest)
	err = sqldb.InBatches(ids, 1, db.d.MaxRows, func(n int, ids []any) error {
		_, err := tx.ExecContext(ctx, `UPDATE conversations SET tick = ? WHERE id IN (`+sqldb.Repeated("?", n)+`)`, append([]any{tick}, ids...)...)
		return err
	})
	if err != nil {
		return err
	}
	lane.Reset()
	notices := feed.Notices{Relations: c.relations, Reads: c.reads}
	for _, a := range c.groups {
		s := feed.Span{Conv: a.Conv, Version: a.Version, First: a.Last + 1, Last: a.Last}
		m := feed.Member{Group: a.Group, User: a.Change.User, Version: a.Version, Last: a.Last}
		switch a.Change.Kind {
		case Joined:
			s.Joined = m.User
			m.Joined, m.Name = true, a.Change.UserName
			notices.Members = append(notices.Members, m)
		case Left:
			notices.Members = append(notices.Members, m)
		}
		lane.Add(&s)
	}
	lane.AddNotices(&notices)
	for i := range c.ended {
		lane.AddEnded(&c.ended[i])
	}
	return lane.RecordExtra(tick, func(query string, args ...any) (sql.Result, error) {
		return tx.ExecContext(ctx, query, args...)
	})
}

// changeGroup locks a group and runs do in that transaction. do checks whether
// the change is allowed, and makes it with addMember, removeMember or dismiss.
// Errors: ErrNotFound, also for a dismissed group, and those of do.
func (db *DB) changeGroup(ctx context.Context, id int64, do func(ctx context.Context, tx *sqlx.Tx, g *group) (*Append, error)) (*Append, error) {
	changes, err := db.writeChange(ctx, func(ctx context.Context, tx *sqlx.Tx) ([]*Append, error) {
		g, err := db.lockGroup(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		a, err := do(ctx, tx, &g)
		return []*Append{a}, err
	})
	if err != nil {
		return nil, err
	}
	return changes[0], nil
}

// describe returns the Append for a change that has just given g its version and
// size.
func (g *group) describe(kind ChangeKind, user int64) *Append {
	return &Append{Group: g.ID, Conv: g.ID, Version: g.Version, Last: g.Last, Change: &Change{Kind: kind, User: user, Count: g.Size}}
}

// raiseVersion raises a group's membership version and adds by to its size, in
// the store and in g. The version tells other nodes that the members have
// changed. The caller has locked the group.
func (db *DB) raiseVersion(ctx context.Context, tx *sqlx.Tx, g *group, by int64) error {
	g.Version, g.Size = g.Version+1, g.Size+by
	_, err := tx.ExecContext(ctx, `UPDATE conversations SET version = version + 1, size = size + ? WHERE id = ?`, by, g.ID)
	return err
}

// addMember adds a user to a group. The user gets the messages after the group's
// last one.
func (db *DB) addMember(ctx context.Context, tx *sqlx.Tx, g *group, user int64, name string) (*Append, error) {
	if _, err := tx.ExecContext(ctx, `INSERT INTO members (conversation_id, user_id, joined_seq, joined_at, read_seq)
		VALUES (?, ?, ?, ?, ?)`, g.ID, user, g.Last, db.nowMS(), g.Last); err != nil {
		return nil, err
	}
	if err := db.raiseVersion(ctx, tx, g, +1); err != nil {
		return nil, err
	}
	return g.describeJoin(user, name), nil
}

func (g *group) describeJoin(user int64, name string) *Append {
	a := g.describe(Joined, user)
	a.Change.UserName, a.Change.GroupName, a.Change.GroupDesc = name, g.Name, g.Desc
	return a
}

// removeMember removes a user from a group. Errors: ErrNotAllowed if the user is
// not a member.
func (db *DB) removeMember(ctx context.Context, tx *sqlx.Tx, g *group, user int64) (*Append, error) {
	err := one(tx.ExecContext(ctx, `DELETE FROM members WHERE conversation_id = ? AND user_id = ?`, g.ID, user))
	if errors.Is(err, ErrNotFound) {
		err = ErrNotAllowed
	}
	if err != nil {
		return nil, err
	}
	if err := db.raiseVersion(ctx, tx, g, -1); err != nil {
		return nil, err
	}
	return g.describe(Left, user), nil
}

// dismiss ends a group. Its messages stay stored, but nobody may see them.
func (db *DB) dismiss(ctx context.Context, tx *sqlx.Tx, g *group) (*Append, error) {
	if _, err := tx.ExecContext(ctx, `DELETE FROM members WHERE conversation_id = ?`, g.ID); err != nil {
		return nil, err
	}
	g.Version, g.Size = g.Version+1, 0
	_, err := tx.ExecContext(ctx, `UPDATE conversations SET gone = 1, size = 0, version = version + 1 WHERE id = ?`, g.ID)
	return g.describe(Dismissed, 0), err
}

// lanePool has the lanes that writeFeed uses. It has as many as there were calls at
// the same time, at most. It knows which of their rows the callers of writeFeed announce.
type lanePool struct {
	mu   sync.Mutex
	free []*feed.Lane
	own  map[int64]*ownLane
}

// ownLane is a lane of a lanePool.
type ownLane struct {
	committed int64     // the callers were told that the rows up to this position are committed
	left      time.Time // when the lane was abandoned, after a commit of unknown outcome
}

// fate says whether the caller of writeFeed announces what a row contains.
type fate int

const (
	unannounced fate = iota // by nobody in this process: another one has written the row, or the caller got an error
	announced
	undecided // the transaction is ending
)

func (p *lanePool) get(db *sqldb.DB) *feed.Lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		l := p.free[n-1]
		p.free = p.free[:n-1]
		return l
	}
	return feed.NewLane(db)
}

func (p *lanePool) put(l *feed.Lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, l)
}

// opened adds a lane before its first row. It forgets lanes whose rows are gone.
func (p *lanePool) opened(l *feed.Lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.own == nil {
		p.own = make(map[int64]*ownLane)
	}
	maps.DeleteFunc(p.own, func(_ int64, o *ownLane) bool { return !o.left.IsZero() && time.Since(o.left) > KeepFeed })
	p.own[l.ID()] = &ownLane{}
}

// settled records the outcome of a transaction.
func (p *lanePool) settled(l *feed.Lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.own[l.ID()]
	o.committed = l.Pos()
	if l.Stale() {
		o.left = time.Now()
	}
}

func (p *lanePool) fate(lane, pos int64) fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.own[lane]
	switch {
	case o == nil:
		return unannounced
	case pos <= o.committed:
		return announced
	case !o.left.IsZero():
		return unannounced
	}
	return undecided
}
