package model

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"chatd/model/feed"
)

// Ban bans a user from logging in, or lifts the ban. A ban ends all tokens and
// sessions of the user; nodes find that in the feed. Errors: ErrNotFound.
func (db *DB) Ban(ctx context.Context, id int64, on bool) error {
	err := db.writeOperator(ctx, func(ctx context.Context, tx *sqlx.Tx) (c changes, err error) {
		if err = one(tx.ExecContext(ctx, `UPDATE users SET banned = ? WHERE id = ? AND deleted = 0`, on, id)); err == nil && on {
			c.ended, err = db.endAll(ctx, tx, id)
		}
		return c, err
	})
	if err != nil {
		what := "ban"
		if !on {
			what = "unban"
		}
		return fmt.Errorf("%s user %d: %w", what, id, err)
	}
	return nil
}

// OperatorPassword sets the hash of a user's password, and ends all tokens and
// sessions of the user; nodes find that in the feed. Errors: ErrNotFound.
func (db *DB) OperatorPassword(ctx context.Context, id int64, hash string) error {
	err := db.writeOperator(ctx, func(ctx context.Context, tx *sqlx.Tx) (c changes, err error) {
		if err = one(tx.ExecContext(ctx, `UPDATE users SET password_hash = ? WHERE id = ? AND deleted = 0`, hash, id)); err == nil {
			c.ended, err = db.endAll(ctx, tx, id)
		}
		return c, err
	})
	if err != nil {
		return fmt.Errorf("set password of user %d: %w", id, err)
	}
	return nil
}

// DeleteUser deletes an account. The row stays, because messages refer to it, and
// keeps the name for Options.ReserveNames: nobody can register it, nor a name that looks
// like it in another script. DeleteUser removes friendships and
// memberships, and dismisses the groups that the user created. Nobody can write to
// the user any more. Nodes find the changes of groups and friends, and the end of the
// user's sessions, in the feed. Errors: ErrNotFound.
//
// The first transaction ends the account: the user can't log in any more, and
// nobody can add them. Further ones remove the rest, page by page: a user may have very
// many friends and conversations, which appends need, too. If DeleteUser fails after
// the first one, nodes continue: see FinishDeletions.
func (db *DB) DeleteUser(ctx context.Context, id int64) error {
	if err := db.endAccount(ctx, id); err != nil {
		return fmt.Errorf("delete user %d: %w", id, err)
	}
	if err := db.finishDeletion(ctx, id); err != nil {
		return fmt.Errorf("user %d is deleted, but not yet removed from all conversations and lists of friends; running nodes continue with that: %w", id, err)
	}
	return nil
}

// endAccount is the first transaction of DeleteUser.
func (db *DB) endAccount(ctx context.Context, id int64) error {
	return db.writeOperator(ctx, func(ctx context.Context, tx *sqlx.Tx) (c changes, err error) {
		err = one(tx.ExecContext(ctx, `UPDATE users SET deleted = 1, deleted_at = ?, password_hash = '' WHERE id = ? AND deleted = 0`, db.nowMS(), id))
		if err == nil {
			_, err = tx.ExecContext(ctx, `INSERT INTO deletions (user_id) VALUES (?)`, id)
		}
		if err == nil {
			c.ended, err = db.endAll(ctx, tx, id)
		}
		return c, err
	})
}

// FinishDeletions finishes what calls of DeleteUser have begun: the process may have
// ended before it was done. Nodes call it from time to time. It blocks. If one of the
// deletions fails, it continues with the others.
func (db *DB) FinishDeletions(ctx context.Context) error {
	var users []int64
	if err := db.sql.Select(ctx, &users, `SELECT user_id FROM deletions ORDER BY user_id`); err != nil {
		return fmt.Errorf("read which deletions of users aren't finished: %w", err)
	}
	var failed []error
	for _, id := range users {
		if err := db.finishDeletion(ctx, id); err != nil {
			failed = append(failed, fmt.Errorf("finish the deletion of user %d: %w", id, err))
			if ctx.Err() != nil {
				break
			}
		}
	}
	return errors.Join(failed...)
}

// How many conversations or friends of a deleted user one transaction changes. Meanwhile,
// they are locked.
const (
	deletionPage = 100
	unfriendRows = 20 // fewer, as all rows are locked before the first change, and logins need them
)

// finishDeletion removes a deleted user from conversations and from lists of friends.
// Several processes may do that for the same user.
func (db *DB) finishDeletion(ctx context.Context, id int64) error {
	for _, page := range []func(ctx context.Context, tx *sqlx.Tx, user int64) (c changes, more bool, err error){db.leavePage, db.unfriendPage} {
		for more := true; more; {
			if err := ctx.Err(); err != nil {
				return err
			}
			err := db.writeOperator(ctx, func(ctx context.Context, tx *sqlx.Tx) (c changes, err error) {
				c, more, err = page(ctx, tx, id)
				return c, err
			})
			if err != nil {
				return err
			}
		}
	}
	err := db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM devices WHERE user_id = ?`, id)
		return err
	})
	for more := true; err == nil && more; {
		more, err = db.sweepCursors(ctx, id)
	}
	if err != nil {
		return err
	}
	return db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM deletions WHERE user_id = ?`, id)
		return err
	})
}

// joined is a conversation that a user is in. Of group, only ID, Last, Version and
// Size are set.
type joined struct {
	group
	Kind int64 `db:"kind"`
	Role int64 `db:"role"`
}

// leavePage closes a page of a deleted user's pairs, and removes the user from a page of
// groups. more reports whether there are others.
func (db *DB) leavePage(ctx context.Context, tx *sqlx.Tx, user int64) (c changes, more bool, err error) {
	var ids []int64
	if err := tx.SelectContext(ctx, &ids, `SELECT conversation_id FROM members WHERE user_id = ? ORDER BY conversation_id`+db.d.Limit, user, deletionPage); err != nil {
		return c, false, err
	}
	for _, id := range ids { // sorted, as in all transactions: no deadlocks
		var g joined
		// The lock first: another process may be removing the user, too.
		if err := tx.GetContext(ctx, &g, `SELECT id, kind, last_seq, version, size FROM conversations WHERE id = ?`+db.d.ForUpdate, id); err != nil {
			return c, false, err
		}
		err := tx.GetContext(ctx, &g.Role, `SELECT role FROM members WHERE conversation_id = ? AND user_id = ?`, id, user)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return c, false, err
		}
		var a *Append
		switch {
		case g.Kind == kindPair:
			if _, err = tx.ExecContext(ctx, `UPDATE conversations SET blocks = blocks | ? WHERE id = ?`, pairClosed, id); err == nil {
				_, err = tx.ExecContext(ctx, `DELETE FROM members WHERE conversation_id = ? AND user_id = ?`, id, user)
			}
		case g.Role == roleCreator:
			a, err = db.dismiss(ctx, tx, &g.group)
		default:
			a, err = db.removeMember(ctx, tx, &g.group, user)
		}
		if err != nil {
			return c, false, err
		}
		if a != nil {
			c.groups = append(c.groups, a)
		}
	}
	return c, len(ids) == deletionPage, nil
}

// unfriendPage ends a page of a deleted user's friendships. more reports whether there
// are others.
func (db *DB) unfriendPage(ctx context.Context, tx *sqlx.Tx, user int64) (c changes, more bool, err error) {
	var friends []int64
	if err := tx.SelectContext(ctx, &friends, `SELECT friend_id FROM friends WHERE user_id = ? ORDER BY friend_id`+db.d.Limit, user, unfriendRows); err != nil {
		return c, false, err
	}
	// All transactions lock in the same order: no deadlocks. lockUsers doesn't lock users
	// who are deleted, as this one is.
	locks := append(slices.Clone(friends), user)
	slices.Sort(locks)
	for _, id := range locks {
		err := tx.GetContext(ctx, &id, `SELECT id FROM users WHERE id = ?`+db.d.ForUpdate, id)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return c, false, err
		}
	}
	for _, friend := range friends {
		err := one(tx.ExecContext(ctx, `DELETE FROM friends WHERE user_id = ? AND friend_id = ?`, user, friend))
		if errors.Is(err, ErrNotFound) { // another process has just done it
			continue
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM friends WHERE user_id = ? AND friend_id = ?`, friend, user)
		}
		var r feed.Relation
		if err == nil {
			r, err = number(ctx, tx, feed.Unfriended, user, friend)
		}
		if err != nil {
			return c, false, err
		}
		c.relations = append(c.relations, r)
	}
	return c, len(friends) == unfriendRows, nil
}

// endAll ends all tokens and sessions of a user. The transaction has locked the
// user's row.
func (db *DB) endAll(ctx context.Context, tx *sqlx.Tx, user int64) ([]feed.Ended, error) {
	if _, err := tx.ExecContext(ctx, `UPDATE devices SET token_hash = NULL WHERE user_id = ?`, user); err != nil {
		return nil, err
	}
	number, err := nextSession(ctx, tx, user)
	return []feed.Ended{{User: user, Before: number, Why: feed.ByOperator}}, err
}
