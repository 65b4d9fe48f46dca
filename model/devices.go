package model

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatd/model/sqldb"

	"github.com/jmoiron/sqlx"
)

// OpenDevice gives a device a new token after a login by password. u is the user
// whose password was checked. A new device's cursors start where the user's most
// advanced device is, including what this process hasn't written yet, and after the
// user's own messages that follow. For that, OpenDevice runs several transactions:
// see newdevice.go. A user has
// at most max devices: the least recently used ones are removed with their
// tokens and cursors, and returned in evicted. Errors: ErrNotFound if the user
// doesn't exist, is banned, or has changed the password since.
func (db *DB) OpenDevice(ctx context.Context, u User, device string, tokenHash []byte, max int) (evicted []string, err error) {
	if err := db.Flush(ctx, u.ID); err != nil {
		return nil, fmt.Errorf("open device of user %d: %w", u.ID, err)
	}
	for try := 1; ; try++ {
		mark, err := db.prepareDevice(ctx, u, device)
		if err == nil {
			evicted, err = db.openDevice(ctx, u, device, tokenHash, max, mark)
		}
		if errors.Is(err, errDeviceChanged) && try < deviceTries {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open device of user %d: %w", u.ID, err)
		}
		if mark != 0 {
			db.sweep(ctx, u.ID)
		}
		return evicted, nil
	}
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

// ValidTokens reports for each of some tokens whether TokenDevice would find it. It
// doesn't record their use. It blocks, and returns nil and an error if the database
// fails.
func (db *DB) ValidTokens(ctx context.Context, tokenHashes [][]byte) ([]bool, error) {
	args := make([]any, len(tokenHashes))
	for i, h := range tokenHashes {
		args[i] = h
	}
	used := make(map[string]int64)
	err := sqldb.InBatches(args, 1, db.d.MaxRows, func(n int, args []any) error {
		return db.sql.Scan(ctx, `SELECT d.token_hash, d.last_used FROM devices d JOIN users u ON u.id = d.user_id
			WHERE (`+sqldb.AnyOf("d.token_hash = ?", n)+`) AND u.banned = 0 AND u.deleted = 0`, args, func(r *sqlx.Rows) error {
			var hash []byte
			var at int64
			err := r.Scan(&hash, &at)
			used[string(hash)] = at
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("look up %d tokens: %w", len(tokenHashes), err)
	}
	valid := make([]bool, len(tokenHashes))
	oldest := db.nowMS() - db.o.TokenLife.Milliseconds()
	for i, h := range tokenHashes {
		at, found := used[string(h)]
		valid[i] = found && at >= oldest
	}
	return valid, nil
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
