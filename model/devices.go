package model

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"chatd/model/feed"
)

// OpenDevice gives a device a new token after a login by password. u is the user
// whose password was checked. A new device's cursors start where the user's most
// advanced device is, including what this process hasn't written yet, and after the
// user's own messages that follow. For that, OpenDevice runs several transactions:
// see newdevice.go. A user has at most max devices: the least recently used ones are
// removed with their tokens and cursors. ended has the sessions that end: earlier
// ones of the device, and those of devices that are removed. added says that the
// device is new. Errors: ErrNotFound if the user doesn't exist, is banned, or has
// another password hash now; ErrGone.
//
// gone reports whether the client has disconnected; it must not block. If that is so
// when the user's row is locked, OpenDevice ends no session: the client may have a later
// one already.
func (db *DB) OpenDevice(ctx context.Context, u User, device string, tokenHash []byte, max int, gone func() bool) (session int64, added bool, ended []feed.Ended, err error) {
	if err := db.Flush(ctx, u.ID); err != nil {
		return 0, false, nil, fmt.Errorf("open device of user %d: %w", u.ID, err)
	}
	for try := 1; ; try++ {
		var mark int64
		if err = ErrGone; !gone() { // a new device takes long
			mark, err = db.prepareDevice(ctx, u, device)
		}
		if err == nil {
			session, ended, err = db.openDevice(ctx, u, device, tokenHash, max, mark, gone)
		}
		if errors.Is(err, errDeviceChanged) && try < deviceTries {
			continue
		}
		if err != nil {
			return 0, false, nil, fmt.Errorf("open device of user %d: %w", u.ID, err)
		}
		if mark != 0 {
			db.sweep(ctx, u.ID)
		}
		return session, mark != 0, ended, nil
	}
}

// lockAccount locks a user's row, so that the password, the devices and the tokens
// stay the same until the commit. Every transaction that changes one of these locks
// it first. Errors: ErrNotFound if the user doesn't exist, is banned, or has
// another password hash.
func (db *DB) lockAccount(ctx context.Context, tx *sqlx.Tx, user int64, hash string) error {
	var u User
	err := tx.GetContext(ctx, &u, `SELECT id, name, password_hash, banned FROM users WHERE id = ? AND deleted = 0`+db.d.ForUpdate, user)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	case err != nil:
		return err
	case u.Banned || u.Hash != hash:
		return ErrNotFound
	}
	return nil
}

// nextSession returns the user's next session number, which is higher than all
// before it. The transaction has locked the user's row.
func nextSession(ctx context.Context, tx *sqlx.Tx, user int64) (number int64, err error) {
	if _, err = tx.ExecContext(ctx, `UPDATE users SET last_session = last_session + 1 WHERE id = ?`, user); err == nil {
		err = tx.GetContext(ctx, &number, `SELECT last_session FROM users WHERE id = ?`, user)
	}
	return number, err
}

// Token is what the store knows of a valid token.
type Token struct {
	User
	Device  string
	Session int64 // number of the device's latest session
}

// tokenRow is a token's device and user.
type tokenRow struct {
	User
	Device  string `db:"device"`
	Used    int64  `db:"last_used"`
	Session int64  `db:"session"`
}

const (
	tokenColumns = `u.id AS user_id, u.name, u.password_hash, u.banned, d.device, d.last_used, d.session`
	tokenRows    = `FROM devices d JOIN users u ON u.id = d.user_id WHERE d.token_hash = ? AND u.banned = 0 AND u.deleted = 0`
)

// TokenDevice finds a token's user and device. Errors: ErrNotFound if the token is
// unknown or was unused for too long, or its user is banned or deleted.
func (db *DB) TokenDevice(ctx context.Context, tokenHash []byte) (Token, error) {
	var t tokenRow
	err := db.sql.Scan(ctx, `SELECT `+tokenColumns+` `+tokenRows, []any{tokenHash}, func(r *sqlx.Rows) error {
		return r.Scan(&t.ID, &t.Name, &t.Hash, &t.Banned, &t.Device, &t.Used, &t.Session)
	})
	if err == nil {
		err = db.checkUsed(&t)
	}
	if err != nil {
		return Token{}, fmt.Errorf("look up token: %w", err)
	}
	return t.token(), nil
}

func (t *tokenRow) token() Token { return Token{User: t.User, Device: t.Device, Session: t.Session} }

// checkUsed checks that a token was used recently enough to be valid. Errors:
// ErrNotFound, also if there is no row.
func (db *DB) checkUsed(t *tokenRow) error {
	if t.ID == 0 {
		return ErrNotFound
	}
	used := t.Used
	if db.cursors != nil { // opened to write
		used = max(used, db.cursors.value(t.ID, cursorKey{kind: usedTime, device: t.Device}))
	}
	if unused := db.nowMS() - used; unused > db.o.TokenLife.Milliseconds() {
		return fmt.Errorf("expired, unused for %s: %w", time.Duration(unused)*time.Millisecond, ErrNotFound)
	}
	return nil
}

// SetUsed records that a device is being used now. Logins record it, too. It never
// blocks: the time is written later.
func (db *DB) SetUsed(user int64, device string) {
	db.cursors.set(user, cursorKey{kind: usedTime, device: device}, db.nowMS())
}

// CloseDevice ends a device's token, if it is still this one, because of a session
// that logs out. ended has the sessions that end, other than that one. The device's
// cursors stay.
func (db *DB) CloseDevice(ctx context.Context, user int64, device string, session int64, tokenHash []byte) (ended []feed.Ended, err error) {
	c, err := db.writeFeed(ctx, func(ctx context.Context, tx *sqlx.Tx) (c changes, err error) {
		if _, err := db.lockUser(ctx, tx, user); err != nil {
			return c, err
		}
		if err := one(tx.ExecContext(ctx, `UPDATE devices SET token_hash = NULL WHERE user_id = ? AND device = ? AND token_hash = ?`,
			user, device, tokenHash)); err != nil {
			return c, err
		}
		number, err := nextSession(ctx, tx, user)
		c.ended = []feed.Ended{{User: user, Device: device, Before: number, Keep: session, Why: feed.LoggedOut}}
		return c, err
	})
	if err != nil && !errors.Is(err, ErrNotFound) { // not found: the token has ended before
		return nil, fmt.Errorf("close device of user %d: %w", user, err)
	}
	return c.ended, nil
}

// ChangePassword replaces a user's password hash old, which was checked. It gives
// the device of the session that asks for it a new token, and ends the tokens of the
// user's other devices. ended has the sessions that end. Errors: ErrNotFound if the
// user has another password hash now, or the session has ended.
func (db *DB) ChangePassword(ctx context.Context, u User, hash, device string, session int64, oldToken, newToken []byte) (ended []feed.Ended, err error) {
	c, err := db.writeFeed(ctx, func(ctx context.Context, tx *sqlx.Tx) (c changes, err error) {
		if err := db.lockAccount(ctx, tx, u.ID, u.Hash); err != nil {
			return c, err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE users SET password_hash = ? WHERE id = ?`, hash, u.ID); err != nil {
			return c, err
		}
		if err := one(tx.ExecContext(ctx, `UPDATE devices SET token_hash = ?, last_used = ?
			WHERE user_id = ? AND device = ? AND session = ? AND token_hash = ?`,
			newToken, db.nowMS(), u.ID, device, session, oldToken)); err != nil {
			return c, err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE devices SET token_hash = NULL WHERE user_id = ? AND device <> ?`, u.ID, device); err != nil {
			return c, err
		}
		number, err := nextSession(ctx, tx, u.ID)
		c.ended = []feed.Ended{{User: u.ID, Before: number, Keep: session, Why: feed.LoggedOut}}
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("change password of user %d: %w", u.ID, err)
	}
	return c.ended, nil
}
