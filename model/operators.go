package model

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"chatd/model/feed"
)

// Ban bans a user from logging in, or lifts the ban. A ban ends all tokens and
// sessions of the user; nodes find that in the feed. Errors: ErrNotFound.
func (db *DB) Ban(ctx context.Context, id int64, on bool) error {
	_, err := db.writeFeed(ctx, func(ctx context.Context, tx *sqlx.Tx) (c changes, err error) {
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
	_, err := db.writeFeed(ctx, func(ctx context.Context, tx *sqlx.Tx) (c changes, err error) {
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
// the user any more. Nodes find the changes of groups, and the end of the user's
// sessions, in the feed, and who has to be told in Departures. Errors: ErrNotFound.
func (db *DB) DeleteUser(ctx context.Context, id int64) error {
	_, err := db.writeFeed(ctx, func(ctx context.Context, tx *sqlx.Tx) (changes, error) { return db.deleteUser(ctx, tx, id) })
	if err != nil {
		return fmt.Errorf("delete user %d: %w", id, err)
	}
	return nil
}

// deleteUser returns the changes of the groups that the user was in, and which
// sessions have ended.
func (db *DB) deleteUser(ctx context.Context, tx *sqlx.Tx, id int64) (all changes, err error) {
	err = one(tx.ExecContext(ctx, `UPDATE users SET deleted = 1, deleted_at = ?, password_hash = '' WHERE id = ? AND deleted = 0`, db.nowMS(), id))
	if err != nil {
		return all, err
	}
	if all.ended, err = db.endAll(ctx, tx, id); err != nil {
		return all, err
	}
	convs, err := db.lockConversations(ctx, tx, id)
	if err != nil {
		return all, err
	}
	for i := range convs {
		c := &convs[i]
		if c.Kind == kindPair {
			if _, err := tx.ExecContext(ctx, `UPDATE conversations SET blocks = blocks | ? WHERE id = ?`, pairClosed, c.ID); err != nil {
				return all, err
			}
			continue
		}
		var a *Append
		if c.Role == roleCreator {
			a, err = db.dismiss(ctx, tx, &c.group)
		} else {
			a, err = db.removeMember(ctx, tx, &c.group, id)
		}
		if err != nil {
			return all, err
		}
		all.groups = append(all.groups, a)
	}
	var friends []int64
	if err := tx.SelectContext(ctx, &friends, `SELECT friend_id FROM friends WHERE user_id = ?`, id); err != nil {
		return all, err
	}
	if err := db.recordDeparture(ctx, tx, id, friends, all.groups); err != nil {
		return all, err
	}
	for _, f := range friends {
		if _, err := tx.ExecContext(ctx, `DELETE FROM friends WHERE user_id = ? AND friend_id = ?`, f, id); err != nil {
			return all, err
		}
	}
	for _, q := range []string{
		`DELETE FROM members WHERE user_id = ?`,
		`DELETE FROM friends WHERE user_id = ?`,
		`DELETE FROM cursors WHERE user_id = ?`,
		`DELETE FROM devices WHERE user_id = ?`,
	} {
		if _, err := tx.ExecContext(ctx, q, id); err != nil {
			return all, err
		}
	}
	return all, nil
}

// joined is a conversation that a user is in. Of group, only ID, Last, Version and
// Size are set.
type joined struct {
	group
	Kind int64 `db:"kind"`
	Role int64 `db:"role"`
}

// lockConversations lists a user's conversations, sorted by ID, and locks their
// rows.
func (db *DB) lockConversations(ctx context.Context, tx *sqlx.Tx, user int64) (all []joined, err error) {
	const list = `SELECT c.id, c.kind, c.last_seq, c.version, c.size, m.role FROM members m JOIN conversations c ON c.id = m.conversation_id
		WHERE m.user_id = ? ORDER BY c.id`
	if err := tx.SelectContext(ctx, &all, list, user); err != nil || db.d.ForUpdate == "" {
		return all, err
	}
	for _, c := range all {
		if _, err := tx.ExecContext(ctx, `SELECT id FROM conversations WHERE id = ?`+db.d.ForUpdate, c.ID); err != nil {
			return nil, err
		}
	}
	// Read again: the user may have left some of them before the lock.
	all = nil
	err = tx.SelectContext(ctx, &all, list, user)
	return all, err
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
