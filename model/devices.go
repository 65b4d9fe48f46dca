package model

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// OpenDevice gives a device a new token after a login by password. u is the user
// whose password was checked. A new device's cursors start where the user's most
// advanced device is, including what this process hasn't written yet. A user has
// at most max devices: the least recently used ones are removed with their
// tokens and cursors, and returned in evicted. Errors: ErrNotFound if the user
// doesn't exist, is banned, or has changed the password since.
func (db *DB) OpenDevice(ctx context.Context, u User, device string, tokenHash []byte, max int) (evicted []string, err error) {
	user := u.ID
	if err := db.Flush(ctx, user); err != nil {
		return nil, fmt.Errorf("open device of user %d: %w", user, err)
	}
	err = db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var id int64
		err := tx.GetContext(ctx, &id, `SELECT id FROM users WHERE id = ? AND deleted = 0 AND banned = 0 AND password_hash = ?`, user, u.Hash)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		now := db.nowMS()
		err = one(tx.ExecContext(ctx, `UPDATE devices SET token_hash = ?, last_used = ? WHERE user_id = ? AND device = ?`,
			tokenHash, now, user, device))
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO devices (user_id, device, token_hash, last_used) VALUES (?, ?, ?, ?)`,
			user, device, tokenHash, now); err != nil {
			return err
		}
		// Another node may have written cursors of the device after its eviction.
		if _, err := tx.ExecContext(ctx, `DELETE FROM cursors WHERE user_id = ? AND device = ?`, user, device); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO cursors (user_id, device, conversation_id, delivered_seq)
			SELECT k.user_id, ?, k.conversation_id, MAX(k.delivered_seq) FROM cursors k WHERE k.user_id = ?
			GROUP BY k.user_id, k.conversation_id`, device, user); err != nil {
			return err
		}
		// Only a new device can exceed the limit.
		var others []string
		if err := tx.SelectContext(ctx, &others, `SELECT device FROM devices WHERE user_id = ? AND device <> ?
			ORDER BY last_used DESC, device`, user, device); err != nil {
			return err
		}
		for i := max - 1; i >= 0 && i < len(others); i++ {
			evicted = append(evicted, others[i])
			for _, q := range []string{
				`DELETE FROM devices WHERE user_id = ? AND device = ?`,
				`DELETE FROM cursors WHERE user_id = ? AND device = ?`,
			} {
				if _, err := tx.ExecContext(ctx, q, user, others[i]); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open device of user %d: %w", user, err)
	}
	return evicted, nil
}

// HasDevice reports whether a user has a device, logged in or not.
func (db *DB) HasDevice(ctx context.Context, user int64, device string) (bool, error) {
	var n int64
	err := db.get(ctx, &n, `SELECT COUNT(*) FROM devices WHERE user_id = ? AND device = ?`, user, device)
	if err != nil {
		return false, fmt.Errorf("look for a device of user %d: %w", user, err)
	}
	return n > 0, nil
}

// tokenRow is a token's device and user.
type tokenRow struct {
	User
	Device string `db:"device"`
	Used   int64  `db:"last_used"`
}

const (
	tokenColumns = `u.id AS user_id, u.name, u.password_hash, u.banned, d.device, d.last_used`
	tokenRows    = `FROM devices d JOIN users u ON u.id = d.user_id WHERE d.token_hash = ? AND u.banned = 0 AND u.deleted = 0`
)

// TokenDevice finds a token's user and device. It only reads; the time of use is
// written later. Errors: ErrNotFound if the token is unknown or was unused for
// too long, or its user is banned or deleted.
func (db *DB) TokenDevice(ctx context.Context, tokenHash []byte) (u User, device string, err error) {
	var t tokenRow
	err = db.sql.Scan(ctx, `SELECT `+tokenColumns+` `+tokenRows, []any{tokenHash}, func(r *sqlx.Rows) error {
		return r.Scan(&t.ID, &t.Name, &t.Hash, &t.Banned, &t.Device, &t.Used)
	})
	if err == nil {
		err = db.used(&t)
	}
	if err != nil {
		return User{}, "", fmt.Errorf("look up token: %w", err)
	}
	return t.User, t.Device, nil
}

// used checks that a token is still valid, and records its use. Errors:
// ErrNotFound.
func (db *DB) used(t *tokenRow) error {
	if t.ID == 0 {
		return ErrNotFound
	}
	now := db.nowMS()
	unused := now - t.Used
	if unused > db.o.TokenLife.Milliseconds() {
		return fmt.Errorf("expired, unused for %s: %w", time.Duration(unused)*time.Millisecond, ErrNotFound)
	}
	if unused >= usedEvery.Milliseconds() {
		db.cursors.set(t.ID, cursorKey{kind: usedTime, device: t.Device}, now)
	}
	return nil
}

// CloseDevice revokes a device's token. The device's cursors stay.
func (db *DB) CloseDevice(ctx context.Context, tokenHash []byte) error {
	err := db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE devices SET token_hash = NULL WHERE token_hash = ?`, tokenHash)
		return err
	})
	if err != nil {
		return fmt.Errorf("close device: %w", err)
	}
	return nil
}

// ChangePassword sets a user's password hash, gives the device a new token, and
// revokes the tokens of the user's other devices, which it returns. Errors:
// ErrNotFound if there is no such user or device.
func (db *DB) ChangePassword(ctx context.Context, user int64, hash, device string, tokenHash []byte) (others []string, err error) {
	err = db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := one(tx.ExecContext(ctx, `UPDATE users SET password_hash = ? WHERE id = ? AND deleted = 0`, hash, user)); err != nil {
			return err
		}
		others = nil
		if err := tx.SelectContext(ctx, &others, `SELECT device FROM devices WHERE user_id = ? AND device <> ? ORDER BY device`, user, device); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE devices SET token_hash = NULL WHERE user_id = ? AND device <> ?`, user, device); err != nil {
			return err
		}
		return one(tx.ExecContext(ctx, `UPDATE devices SET token_hash = ?, last_used = ? WHERE user_id = ? AND device = ?`,
			tokenHash, db.nowMS(), user, device))
	})
	if err != nil {
		return nil, fmt.Errorf("change password of user %d: %w", user, err)
	}
	return others, nil
}
