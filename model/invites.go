package model

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// Invite is an invitation to register.
type Invite struct {
	ID      int64 `db:"id"`
	Created int64 `db:"created_at"` // in Unix ms
	Expires int64 `db:"expires_at"` // in Unix ms
	Uses    int64 `db:"uses"`       // how often it could be used in all
	Left    int64 `db:"uses_left"`  // how often it can still be used
}

// validInvite is the condition for a row of invites that can be used: by its hash
// and the current time.
const validInvite = `code_hash = ? AND expires_at > ? AND uses_left > 0`

// CreateInvite stores an invitation that is valid for the time life, and for a
// number of registrations. codeHash is the hash of its code.
func (db *DB) CreateInvite(ctx context.Context, codeHash []byte, uses int64, life time.Duration) (in Invite, err error) {
	err = db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		now := db.nowMS()
		in = Invite{Created: now, Expires: now + life.Milliseconds(), Uses: uses, Left: uses}
		r, err := tx.ExecContext(ctx, `INSERT INTO invites (code_hash, created_at, expires_at, uses, uses_left) VALUES (?, ?, ?, ?, ?)`,
			codeHash, in.Created, in.Expires, uses, uses)
		if err != nil {
			return err
		}
		in.ID, err = r.LastInsertId()
		return err
	})
	if err != nil {
		return Invite{}, fmt.Errorf("create invitation: %w", err)
	}
	return in, nil
}

// Invites lists the invitations that can be used, by ID.
func (db *DB) Invites(ctx context.Context) (all []Invite, err error) {
	err = db.sql.Select(ctx, &all, `SELECT id, created_at, expires_at, uses, uses_left FROM invites
		WHERE expires_at > ? AND uses_left > 0 ORDER BY id`, db.nowMS())
	if err != nil {
		return nil, fmt.Errorf("list invitations: %w", err)
	}
	return all, nil
}

// RevokeInvite ends an invitation. Errors: ErrNoInvite if there is none with this ID
// that can be used.
func (db *DB) RevokeInvite(ctx context.Context, id int64) error {
	err := db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		r, err := tx.ExecContext(ctx, `UPDATE invites SET uses_left = 0 WHERE id = ? AND expires_at > ? AND uses_left > 0`, id, db.nowMS())
		return anInvite(one(r, err))
	})
	if err != nil {
		return fmt.Errorf("revoke invitation %d: %w", id, err)
	}
	return nil
}

// CheckInvite checks whether an invitation can be used. Errors: ErrNoInvite.
func (db *DB) CheckInvite(ctx context.Context, codeHash []byte) error {
	var id int64
	err := anInvite(db.get(ctx, &id, `SELECT id FROM invites WHERE `+validInvite, codeHash, db.nowMS()))
	if err != nil {
		return fmt.Errorf("check invitation: %w", err)
	}
	return nil
}

// CreateInvitedUser is CreateUser for a user with an invitation, which the same
// transaction uses once. Errors: ErrNoInvite, ErrTaken.
func (db *DB) CreateInvitedUser(ctx context.Context, name, nameKey, hash string, codeHash []byte) (id int64, err error) {
	err = db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		r, err := tx.ExecContext(ctx, `UPDATE invites SET uses_left = uses_left - 1 WHERE `+validInvite, codeHash, db.nowMS())
		if err := anInvite(one(r, err)); err != nil {
			return err
		}
		id, err = db.insertUser(ctx, tx, name, nameKey, hash)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("create invited user: %w", err)
	}
	return id, nil
}

// anInvite returns ErrNoInvite for ErrNotFound.
func anInvite(err error) error {
	if errors.Is(err, ErrNotFound) {
		return ErrNoInvite
	}
	return err
}
