package model

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// User is a person's account.
type User struct {
	ID     int64  `db:"id"`
	Name   string `db:"name"`
	Hash   string `db:"password_hash"` // argon2id, in its text form
	Banned bool   `db:"banned"`
}

// CreateUser creates an account and returns its ID. nameKey is the normalized
// name, which must be unique, also among users who were deleted less than
// Options.ReserveNames ago. Errors: ErrTaken, also if the name looks like that of
// another user in another script.
func (db *DB) CreateUser(ctx context.Context, name, nameKey, hash string) (int64, error) {
	var id int64
	err := db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var err error
		id, err = db.insertUser(ctx, tx, name, nameKey, hash)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("create user: %w", err)
	}
	return id, nil
}

// insertUser inserts a user, whose name nobody else may have, and returns the ID.
// Errors: ErrTaken.
func (db *DB) insertUser(ctx context.Context, tx *sqlx.Tx, name, nameKey, hash string) (int64, error) {
	if err := db.releaseName(ctx, tx, nameKey); err != nil {
		return 0, err
	}
	r, err := tx.ExecContext(ctx, `INSERT INTO users (name, name_key, password_hash, created_at) VALUES (?, ?, ?, ?)`,
		name, nameKey, hash, db.nowMS())
	if db.d.IsDuplicate(err) {
		return 0, ErrTaken
	}
	if err != nil {
		return 0, err
	}
	id, err := r.LastInsertId()
	if err != nil {
		return 0, err
	}
	return id, db.addLook(ctx, tx, id, name)
}

// releaseName takes a name, and what it looks like, from a user who was deleted long
// enough ago.
func (db *DB) releaseName(ctx context.Context, tx *sqlx.Tx, nameKey string) error {
	// Most names are free. Look first: an UPDATE of no row would still be a write.
	var was []int64
	before := db.nowMS() - db.o.ReserveNames.Milliseconds()
	err := tx.SelectContext(ctx, &was, `SELECT id FROM users WHERE name_key = ? AND deleted = 1 AND deleted_at <= ?`, nameKey, before)
	if err != nil || len(was) == 0 {
		return err
	}
	if _, err = tx.ExecContext(ctx, `UPDATE users SET name_key = NULL WHERE id = ? AND deleted = 1`, was[0]); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM looks WHERE user_id = ?`, was[0])
	return err
}

// UserByID finds a user. Errors: ErrNotFound, also for a deleted user.
func (db *DB) UserByID(ctx context.Context, id int64) (User, error) {
	var u User
	err := db.get(ctx, &u, `SELECT id, name, password_hash, banned FROM users WHERE id = ? AND deleted = 0`, id)
	if err != nil {
		return User{}, fmt.Errorf("find user %d: %w", id, err)
	}
	return u, nil
}

// UserByNameKey finds a user by the normalized name. Errors: ErrNotFound, also for
// a deleted user.
func (db *DB) UserByNameKey(ctx context.Context, key string) (User, error) {
	var u User
	err := db.get(ctx, &u, `SELECT id, name, password_hash, banned FROM users WHERE name_key = ? AND deleted = 0`, key)
	if err != nil {
		return User{}, fmt.Errorf("find user by name: %w", err)
	}
	return u, nil
}

// SetHash replaces a password hash with another hash of the same password. It
// does nothing if the current hash isn't old.
func (db *DB) SetHash(ctx context.Context, id int64, old, new string) error {
	err := db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?`, new, id, old)
		return err
	})
	if err != nil {
		return fmt.Errorf("set password hash of user %d: %w", id, err)
	}
	return nil
}
