package model

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// Ban bans a user from logging in, or lifts the ban. A ban revokes all tokens of
// the user and notifies the nodes. Errors: ErrNotFound.
func (db *DB) Ban(ctx context.Context, id int64, on bool) error {
	err := db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := one(tx.ExecContext(ctx, `UPDATE users SET banned = ? WHERE id = ? AND deleted = 0`, on, id)); err != nil || !on {
			return err
		}
		return db.revoke(ctx, tx, id)
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

// OperatorPassword sets the hash of a user's password, revokes all tokens of the
// user and notifies the nodes. Errors: ErrNotFound.
func (db *DB) OperatorPassword(ctx context.Context, id int64, hash string) error {
	err := db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := one(tx.ExecContext(ctx, `UPDATE users SET password_hash = ? WHERE id = ? AND deleted = 0`, hash, id)); err != nil {
			return err
		}
		return db.revoke(ctx, tx, id)
	})
	if err != nil {
		return fmt.Errorf("set password of user %d: %w", id, err)
	}
	return nil
}

// DeleteUser deletes an account. The row stays, because messages refer to it, and
// keeps the name for Options.ReserveNames. DeleteUser removes friendships and
// memberships, and dismisses the groups that the user created. Nobody can write to
// the user any more. Nodes find who has to be told in Departures. Errors:
// ErrNotFound.
func (db *DB) DeleteUser(ctx context.Context, id int64) error {
	_, err := db.writeChange(ctx, func(ctx context.Context, tx *sqlx.Tx) ([]*Append, error) { return db.deleteUser(ctx, tx, id) })
	if err != nil {
		return fmt.Errorf("delete user %d: %w", id, err)
	}
	return nil
}

// deleteUser returns the changes of the groups that the user was in.
func (db *DB) deleteUser(ctx context.Context, tx *sqlx.Tx, id int64) (changes []*Append, err error) {
	err = one(tx.ExecContext(ctx, `UPDATE users SET deleted = 1, deleted_at = ?, password_hash = '' WHERE id = ? AND deleted = 0`, db.nowMS(), id))
	if err != nil {
		return nil, err
	}
	if err := db.revoke(ctx, tx, id); err != nil {
		return nil, err
	}
	convs, err := db.lockConversations(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	for i := range convs {
		c := &convs[i]
		if c.Kind == kindPair {
			if _, err := tx.ExecContext(ctx, `UPDATE conversations SET blocks = blocks | ? WHERE id = ?`, pairClosed, c.ID); err != nil {
				return nil, err
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
			return nil, err
		}
		changes = append(changes, a)
	}
	var friends []int64
	if err := tx.SelectContext(ctx, &friends, `SELECT friend_id FROM friends WHERE user_id = ?`, id); err != nil {
		return nil, err
	}
	if err := db.recordDeparture(ctx, tx, id, friends, changes); err != nil {
		return nil, err
	}
	for _, f := range friends {
		if _, err := tx.ExecContext(ctx, `DELETE FROM friends WHERE user_id = ? AND friend_id = ?`, f, id); err != nil {
			return nil, err
		}
	}
	for _, q := range []string{
		`DELETE FROM members WHERE user_id = ?`,
		`DELETE FROM friends WHERE user_id = ?`,
		`DELETE FROM cursors WHERE user_id = ?`,
		`DELETE FROM devices WHERE user_id = ?`,
		`DELETE FROM looks WHERE user_id = ?`,
	} {
		if _, err := tx.ExecContext(ctx, q, id); err != nil {
			return nil, err
		}
	}
	return changes, nil
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

// revoke revokes all tokens of a user and adds a row for Revocations.
func (db *DB) revoke(ctx context.Context, tx *sqlx.Tx, user int64) error {
	if _, err := tx.ExecContext(ctx, `UPDATE devices SET token_hash = NULL WHERE user_id = ?`, user); err != nil {
		return err
	}
	// With this row lock, revocations commit in the order of their IDs. Otherwise
	// one could become visible after another with a higher ID, and nodes, which
	// only read IDs above the last one they saw, would miss it.
	var epoch int64
	if err := tx.GetContext(ctx, &epoch, `SELECT value FROM meta WHERE name = 'epoch'`+db.d.ForUpdate); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO revocations (user_id, at) VALUES (?, ?)`, user, db.nowMS())
	return err
}

// Revocations lists users whose tokens operators have revoked: those whose
// revocation has an ID above after. It also returns the last ID, to pass to the
// next call. If after is -1, it returns only the last ID. Nodes poll it.
func (db *DB) Revocations(ctx context.Context, after int64) (last int64, users []int64, err error) {
	if after < 0 {
		if err := db.get(ctx, &last, `SELECT COALESCE(MAX(id), 0) FROM revocations`); err != nil {
			return 0, nil, fmt.Errorf("read revocations: %w", err)
		}
		return last, nil, nil
	}
	var rows []struct {
		ID   int64 `db:"id"`
		User int64 `db:"user_id"`
	}
	if err := db.sql.Select(ctx, &rows, `SELECT id, user_id FROM revocations WHERE id > ? ORDER BY id LIMIT ?`, after, revokedRows); err != nil {
		return 0, nil, fmt.Errorf("read revocations: %w", err)
	}
	last = after
	for _, r := range rows {
		last, users = r.ID, append(users, r.User)
	}
	return last, users, nil
}
