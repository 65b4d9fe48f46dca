package model

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"chatd/model/feed"
	"chatd/model/sqldb"
)

// Friend is an entry in a user's friend list.
type Friend struct {
	ID     int64  `db:"id"`
	Name   string `db:"name"`
	Hidden bool   `db:"hidden"` // the friend has blocked the user: don't show presence
}

// friendPair joins the conversation of the friends in row f, if there is one.
// Its row holds the blocks.
const friendPair = ` LEFT JOIN conversations c
	ON c.user_lo = CASE WHEN f.user_id < f.friend_id THEN f.user_id ELSE f.friend_id END
	AND c.user_hi = CASE WHEN f.user_id < f.friend_id THEN f.friend_id ELSE f.user_id END `

// blocksMe: f.friend_id has blocked f.user_id. blockedByMe: the reverse.
const (
	blocksMe    = ` COALESCE(c.blocks & CASE WHEN f.friend_id < f.user_id THEN 1 ELSE 2 END, 0) <> 0 `
	blockedByMe = ` COALESCE(c.blocks & CASE WHEN f.user_id < f.friend_id THEN 1 ELSE 2 END, 0) <> 0 `
)

// AddFriend makes two users friends. The caller announces the change, which has their
// names. Errors: ErrNotFound; ErrAlready; ErrNotAllowed if the friend has blocked the
// user, or is the user; ErrFull if either has max friends.
func (db *DB) AddFriend(ctx context.Context, user, friend int64, max int) (feed.Relation, error) {
	r, err := db.relate(ctx, feed.Befriended, user, friend, func(ctx context.Context, tx *sqlx.Tx) error {
		var already int
		if err := tx.GetContext(ctx, &already, `SELECT COUNT(*) FROM friends WHERE user_id = ? AND friend_id = ?`, user, friend); err != nil {
			return err
		}
		if already > 0 {
			return ErrAlready
		}
		p := pairOf(user, friend)
		var blocks int64
		err := tx.GetContext(ctx, &blocks, `SELECT blocks FROM conversations WHERE user_lo = ? AND user_hi = ?`, p.lo, p.hi)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err := p.refusal(blocks, user); err != nil {
			return err
		}
		for _, u := range []int64{user, friend} {
			var n int
			if err := tx.GetContext(ctx, &n, `SELECT COUNT(*) FROM friends WHERE user_id = ?`, u); err != nil {
				return err
			}
			if n >= max {
				return ErrFull
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO friends (user_id, friend_id) VALUES (?, ?), (?, ?)`, user, friend, friend, user)
		return err
	})
	if err != nil {
		return feed.Relation{}, fmt.Errorf("add friend %d of user %d: %w", friend, user, err)
	}
	return r, nil
}

// relate runs do in a transaction that changes what is between two users, and records
// the change in the feed. Their rows are locked, so that the numbers of their friends
// stay the same until the commit, and changes are numbered in the order of the commits.
// Errors: ErrNotFound; ErrNotAllowed if the two are the same; those of do.
func (db *DB) relate(ctx context.Context, what feed.What, by, other int64, do func(ctx context.Context, tx *sqlx.Tx) error) (feed.Relation, error) {
	c, err := db.writeFeed(ctx, func(ctx context.Context, tx *sqlx.Tx) (c changes, err error) {
		if by == other {
			return c, ErrNotAllowed
		}
		if err := db.lockUsers(ctx, tx, by, other); err != nil {
			return c, err
		}
		if err := do(ctx, tx); err != nil {
			return c, err
		}
		r, err := number(ctx, tx, what, by, other)
		c.relations = []feed.Relation{r}
		return c, err
	})
	if err != nil {
		return feed.Relation{}, err
	}
	return c.relations[0], nil
}

// number gives a change its numbers. The transaction has locked both users' rows.
// Sessions are numbered in the same way: those with higher numbers begin after the
// change is committed, and so need not be told.
func number(ctx context.Context, tx *sqlx.Tx, what feed.What, by, other int64) (feed.Relation, error) {
	r := feed.Relation{What: what, By: feed.Party{User: by}, Other: feed.Party{User: other}}
	if _, err := tx.ExecContext(ctx, `UPDATE users SET last_session = last_session + 1 WHERE id IN (?, ?)`, by, other); err != nil {
		return r, err
	}
	var rows []struct {
		ID     int64  `db:"id"`
		Name   string `db:"name"`
		Number int64  `db:"last_session"`
	}
	err := tx.SelectContext(ctx, &rows, `SELECT id, name, last_session FROM users WHERE id IN (?, ?)`, by, other)
	for _, row := range rows {
		p := &r.By
		if row.ID == other {
			p = &r.Other
		}
		if p.Number = row.Number; what == feed.Befriended {
			p.Name = row.Name
		}
	}
	return r, err
}

// DelFriend ends a friendship. The caller announces the change. Errors: ErrNotFound if
// there is no such user; ErrAlready if the two are not friends.
func (db *DB) DelFriend(ctx context.Context, user, friend int64) (feed.Relation, error) {
	if user == friend {
		return feed.Relation{}, ErrAlready
	}
	r, err := db.relate(ctx, feed.Unfriended, user, friend, func(ctx context.Context, tx *sqlx.Tx) error {
		err := one(tx.ExecContext(ctx, `DELETE FROM friends WHERE (user_id = ? AND friend_id = ?) OR (user_id = ? AND friend_id = ?)`,
			user, friend, friend, user))
		if errors.Is(err, ErrNotFound) {
			return ErrAlready
		}
		return err
	})
	if err != nil {
		return feed.Relation{}, fmt.Errorf("delete friend %d of user %d: %w", friend, user, err)
	}
	return r, nil
}

// Friends lists a user's friends, sorted by ID.
func (db *DB) Friends(ctx context.Context, user int64) ([]Friend, error) {
	var l []Friend
	err := db.sql.Select(ctx, &l, `SELECT u.id, u.name, `+blocksMe+` AS hidden FROM friends f JOIN users u ON u.id = f.friend_id `+
		friendPair+` WHERE f.user_id = ? ORDER BY f.friend_id`, user)
	if err != nil {
		return nil, fmt.Errorf("list friends of user %d: %w", user, err)
	}
	return l, nil
}

// AreFriends reports whether a and b are friends, and whether b has blocked a.
func (db *DB) AreFriends(ctx context.Context, a, b int64) (friends, hidden bool, err error) {
	err = db.get(ctx, &hidden, `SELECT `+blocksMe+` FROM friends f `+friendPair+` WHERE f.user_id = ? AND f.friend_id = ?`, a, b)
	if errors.Is(err, ErrNotFound) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("check whether users %d and %d are friends: %w", a, b, err)
	}
	return true, hidden, nil
}

// Friendship says that User and Friend are friends, and whether one of them has
// blocked the other, and so hides their presence.
type Friendship struct {
	User, Friend int64
	Blocks       bool // User has blocked Friend
	Blocked      bool // Friend has blocked User
}

// Friendships lists the friends of many users. It blocks, and returns the
// errors of the database.
func (db *DB) Friendships(ctx context.Context, users []int64) ([]Friendship, error) {
	args := make([]any, len(users))
	for i, u := range users {
		args[i] = u
	}
	var l []Friendship
	err := sqldb.InBatches(args, 1, db.d.MaxRows, func(n int, args []any) error {
		return db.sql.Scan(ctx, `SELECT f.user_id, f.friend_id, `+blockedByMe+`, `+blocksMe+` FROM friends f `+friendPair+
			` WHERE f.user_id IN (`+sqldb.Repeated("?", n)+`)`, args, func(r *sqlx.Rows) error {
			var f Friendship
			err := r.Scan(&f.User, &f.Friend, &f.Blocks, &f.Blocked)
			l = append(l, f)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list the friends of %d users: %w", len(users), err)
	}
	return l, nil
}

// Block makes user block other, or unblocks. A blocked user can't write to the
// other one or see their presence. Friends stay friends. The caller announces the
// change. Errors: ErrNotFound; ErrNotAllowed if user and other are the same.
func (db *DB) Block(ctx context.Context, user, other int64, on bool) (feed.Relation, error) {
	p, what, verb := pairOf(user, other), feed.Blocked, "block"
	if !on {
		what, verb = feed.Unblocked, "unblock"
	}
	r, err := db.relate(ctx, what, user, other, func(ctx context.Context, tx *sqlx.Tx) error {
		var c struct {
			ID     int64 `db:"id"`
			Blocks int64 `db:"blocks"`
		}
		read := func() error {
			return tx.GetContext(ctx, &c, `SELECT id, blocks FROM conversations WHERE user_lo = ? AND user_hi = ?`+db.d.ForUpdate, p.lo, p.hi)
		}
		err := read()
		if errors.Is(err, sql.ErrNoRows) {
			if !on {
				return nil
			}
			if _, err = db.makePair(ctx, tx, p, db.nowMS()); err == nil {
				err = read() // another node may have created it, and set its blocks
			}
		}
		if err != nil {
			return err
		}
		blocks := c.Blocks &^ p.blockBit(user)
		if on {
			blocks |= p.blockBit(user)
		}
		_, err = tx.ExecContext(ctx, `UPDATE conversations SET blocks = ? WHERE id = ?`, blocks, c.ID)
		return err
	})
	if err != nil {
		return feed.Relation{}, fmt.Errorf("%s user %d for user %d: %w", verb, other, user, err)
	}
	return r, nil
}

// Blocked reports whether by has blocked whom. It is a single indexed read.
func (db *DB) Blocked(ctx context.Context, by, whom int64) (bool, error) {
	p := pairOf(by, whom)
	var blocks int64
	err := db.get(ctx, &blocks, `SELECT blocks FROM conversations WHERE user_lo = ? AND user_hi = ?`, p.lo, p.hi)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("check whether user %d has blocked user %d: %w", by, whom, err)
	}
	return by != whom && blocks&p.blockBit(by) != 0, nil
}

// BlockersAmong returns those of others who have blocked user. Its cost depends on the
// number of others, not on the number of the user's conversations.
func (db *DB) BlockersAmong(ctx context.Context, user int64, others []int64) ([]int64, error) {
	args := make([]any, 0, 2*len(others))
	for _, o := range others {
		if o != user {
			p := pairOf(user, o)
			args = append(args, p.lo, p.hi)
		}
	}
	var l []int64
	err := sqldb.InBatches(args, 2, db.d.MaxRows, func(n int, args []any) error {
		return db.sql.Scan(ctx, `SELECT user_lo, user_hi, blocks FROM conversations WHERE `+sqldb.AnyOf("user_lo = ? AND user_hi = ?", n), args, func(r *sqlx.Rows) error {
			var p pair
			var blocks int64
			err := r.Scan(&p.lo, &p.hi, &blocks)
			if other := p.lo + p.hi - user; blocks&p.blockBit(other) != 0 {
				l = append(l, other)
			}
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list which of %d users have blocked user %d: %w", len(others), user, err)
	}
	return l, nil
}
