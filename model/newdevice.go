package model

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/jmoiron/sqlx"

	"chatd/model/feed"
	"chatd/model/sqldb"
)

// A new device starts where the user's most advanced device is, in each
// conversation. A user may have any number of conversations, so the cursors are
// written page by page, in transactions between which appends run:
//
//  1. beginDevice adds the device's row, without a token. Its last_used is negative:
//     the device isn't ready.
//  2. copyCursors writes the cursors. It never writes those of a device that is
//     ready, because that device may lack messages that others have.
//  3. openDevice sets token and last_used. If the row isn't the one of step 1 any
//     more, OpenDevice starts again.
//
// If a process dies before step 3, the next login of the device repeats step 2.
// Cursors only rise, so what was written before does no harm.
//
// The cursors of devices that a user no longer has are deleted page by page, too.

const (
	devicePage     = 1024      // conversations in one transaction that writes or deletes a device's cursors
	deviceTries    = 5         // attempts of OpenDevice, if other logins interfere
	abandonedAfter = 3_600_000 // ms after which a device that isn't ready is removed
	ownPage        = 200       // own messages in one read
	ownBytes       = 256 << 10 // their bytes
	maxOwn         = 4096      // own messages that one login skips, after the first of each conversation
)

// errDeviceChanged means that another login has changed the device's row.
var errDeviceChanged = errors.New("another login has changed the device")

// prepareDevice writes the cursors of a new device. It returns the device's
// last_used, which is negative, or 0 if the device isn't new. Errors: ErrNotFound as
// OpenDevice; errDeviceChanged.
func (db *DB) prepareDevice(ctx context.Context, u User, device string) (mark int64, err error) {
	var used int64
	err = db.get(ctx, &used, `SELECT last_used FROM devices WHERE user_id = ? AND device = ?`, u.ID, device)
	if err == nil && used >= 0 {
		return 0, nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return 0, err
	}
	mark, others, err := db.beginDevice(ctx, u, device)
	if err != nil || mark == 0 || others == 0 { // a user's first device starts at the beginning
		return mark, err
	}
	own := maxOwn
	for after := int64(0); ; {
		starts, err := db.deviceStarts(ctx, u.ID, after)
		if err == nil {
			err = db.skipOwn(ctx, u.ID, starts, &own)
		}
		if err == nil {
			err = db.copyCursors(ctx, u.ID, device, mark, starts)
		}
		if err != nil || len(starts) < devicePage {
			return mark, err
		}
		after = starts[len(starts)-1].Conv
	}
}

// beginDevice adds the row of a new device, if it isn't there. mark is 0 if the
// device is ready. others is the number of the user's other devices.
func (db *DB) beginDevice(ctx context.Context, u User, device string) (mark int64, others int, err error) {
	err = db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := db.lockAccount(ctx, tx, u.ID, u.Hash); err != nil { // also locks out sweepCursors
			return err
		}
		err := tx.GetContext(ctx, &mark, `SELECT last_used FROM devices WHERE user_id = ? AND device = ?`, u.ID, device)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			mark = -db.nowMS()
			_, err = tx.ExecContext(ctx, `INSERT INTO devices (user_id, device, last_used) VALUES (?, ?, ?)`, u.ID, device, mark)
			if db.d.IsDuplicate(err) {
				return errDeviceChanged
			}
		case mark >= 0:
			mark = 0
			return err
		}
		if err != nil {
			return err
		}
		return tx.GetContext(ctx, &others, `SELECT COUNT(*) FROM devices WHERE user_id = ? AND device <> ? AND last_used >= 0`, u.ID, device)
	})
	return mark, others, err
}

// deviceStart is where a new device starts in a conversation.
type deviceStart struct {
	Conv      int64 `db:"conversation_id"`
	Last      int64 `db:"last_seq"`
	Joined    int64 `db:"joined_seq"`
	Delivered int64 `db:"delivered"` // the device doesn't get messages up to this seq
}

// deviceStarts returns the highest cursors of a user's devices, in the devicePage
// conversations after the given one.
func (db *DB) deviceStarts(ctx context.Context, user, after int64) (l []deviceStart, err error) {
	// CROSS JOIN makes SQLite keep the order of the tables.
	err = db.sql.Select(ctx, &l, `SELECT m.conversation_id, c.last_seq, m.joined_seq, COALESCE((SELECT MAX(k.delivered_seq) FROM devices d
			CROSS JOIN cursors k ON k.user_id = d.user_id AND k.device = d.device AND k.conversation_id = m.conversation_id
			WHERE d.user_id = m.user_id), 0) AS delivered
		FROM members m JOIN conversations c ON c.id = m.conversation_id
		WHERE m.user_id = ? AND m.conversation_id > ? ORDER BY m.conversation_id`+db.d.Limit, user, after, devicePage)
	for i := range l {
		l[i].Delivered = max(l[i].Delivered, l[i].Joined)
	}
	return l, err
}

// skipOwn moves starts past the user's own messages that follow directly: the
// device that has sent them has them, even if it hasn't sent a receipt. left is how
// many messages may still be read for that; a device may get the others again.
func (db *DB) skipOwn(ctx context.Context, user int64, starts []deviceStart, left *int) error {
	behind := make(map[int64]*deviceStart)
	var pages []PageRequest
	for i := range starts {
		if s := &starts[i]; s.Delivered < s.Last {
			behind[s.Conv] = s
			pages = append(pages, PageRequest{Conv: s.Conv, After: s.Delivered, Limit: 1})
		}
	}
	for chunk := range slices.Chunk(pages, maxPages) { // not all at once: messages may be long
		first, err := db.Pages(ctx, chunk, maxPages*ownBytes)
		if err != nil {
			return err
		}
		for i := range first {
			s := behind[first[i].Conv]
			for l := first[i : i+1]; len(l) > 0 && s.pass(user, l) && s.Delivered < s.Last && *left > 0; *left -= len(l) {
				if l, err = db.Page(ctx, s.Conv, s.Delivered, min(ownPage, *left), ownBytes); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// pass moves s past the user's own messages at the beginning of l. It reports
// whether all of l are the user's.
func (s *deviceStart) pass(user int64, l []Message) bool {
	for i := range l {
		if l[i].Sender != user || l[i].Seq != s.Delivered+1 {
			return false
		}
		s.Delivered = l[i].Seq
	}
	return true
}

// copyCursors writes a page of the cursors of a device that isn't ready. Errors:
// errDeviceChanged.
func (db *DB) copyCursors(ctx context.Context, user int64, device string, mark int64, starts []deviceStart) error {
	var args []any
	for i := range starts {
		if s := &starts[i]; s.Delivered > 0 {
			args = append(args, user, device, s.Conv, s.Delivered)
		}
	}
	if len(args) == 0 {
		return nil
	}
	return db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var used int64
		err := tx.GetContext(ctx, &used, `SELECT last_used FROM devices WHERE user_id = ? AND device = ?`+db.d.ForUpdate, user, device)
		if errors.Is(err, sql.ErrNoRows) || err == nil && used != mark {
			return errDeviceChanged
		}
		if err != nil {
			return err
		}
		return sqldb.InBatches(args, 4, db.d.MaxRows, func(rows int, args []any) error {
			_, err := tx.ExecContext(ctx, db.d.raiseDelivered(rows), args...)
			return err
		})
	})
}

// sweepCursors deletes a page of the cursors of devices that a user no longer has.
// It reports whether there may be more.
func (db *DB) sweepCursors(ctx context.Context, user int64) (more bool, err error) {
	for device := ""; ; {
		var next sql.NullString
		if err := db.get(ctx, &next, `SELECT MIN(device) FROM cursors WHERE user_id = ? AND device > ?`, user, device); err != nil || !next.Valid {
			return false, err
		}
		device = next.String
		var known int
		if err := db.get(ctx, &known, `SELECT COUNT(*) FROM devices WHERE user_id = ? AND device = ?`, user, device); err != nil {
			return false, err
		}
		if known > 0 {
			continue
		}
		var page struct {
			Size int   `db:"size"`
			Last int64 `db:"last"`
		}
		err := db.get(ctx, &page, `SELECT COUNT(*) AS size, COALESCE(MAX(v.conversation_id), 0) AS last FROM (
			SELECT conversation_id FROM cursors WHERE user_id = ? AND device = ? ORDER BY conversation_id`+db.d.Limit+`) AS v`, user, device, devicePage)
		if err == nil {
			err = db.deleteCursors(ctx, user, device, page.Last)
		}
		if err != nil || page.Size == devicePage {
			return err == nil, err
		}
	}
}

// deleteCursors deletes a device's cursors up to a conversation, unless the device
// has logged in again.
func (db *DB) deleteCursors(ctx context.Context, user int64, device string, last int64) error {
	return db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var id int64
		err := tx.GetContext(ctx, &id, `SELECT id FROM users WHERE id = ?`+db.d.ForUpdate, user) // against beginDevice
		if err != nil {
			return err
		}
		var known int
		err = tx.GetContext(ctx, &known, `SELECT COUNT(*) FROM devices WHERE user_id = ? AND device = ?`, user, device)
		if err != nil || known > 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM cursors WHERE user_id = ? AND device = ? AND conversation_id <= ?`, user, device, last)
		return err
	})
}

// sweep deletes the cursors of devices that a user no longer has: a page of them at
// once, the others in the background. If it fails, the next login of a new device
// tries again.
func (db *DB) sweep(ctx context.Context, user int64) {
	more, err := db.sweepCursors(ctx, user)
	if err != nil {
		db.o.Logger.Warn("cursors of removed devices not deleted", "user", user, "err", err)
	}
	if more {
		db.cursors.sweepLater(user)
	}
}

// openDevice sets the token of a device that is ready (mark 0) or that prepareDevice
// has prepared. In the latter case it removes devices beyond max. Results and errors
// are those of OpenDevice, and errDeviceChanged.
func (db *DB) openDevice(ctx context.Context, u User, device string, tokenHash []byte, max int, mark int64, gone func() bool) (session int64, ended []feed.Ended, err error) {
	c, err := db.writeFeed(ctx, func(ctx context.Context, tx *sqlx.Tx) (c changes, err error) {
		if err := db.lockAccount(ctx, tx, u.ID, u.Hash); err != nil {
			return c, err
		}
		if gone() { // the wait for the lock may have been long
			return c, ErrGone
		}
		if session, err = nextSession(ctx, tx, u.ID); err != nil {
			return c, err
		}
		c.ended = []feed.Ended{{User: u.ID, Device: device, Before: session, Why: feed.Replaced}}
		now := db.nowMS()
		// A device that is ready may have been used meanwhile.
		err = one(tx.ExecContext(ctx, `UPDATE devices SET token_hash = ?, last_used = ?, session = ? WHERE user_id = ? AND device = ?
			AND (last_used = ? OR ? = 0 AND last_used >= 0)`, tokenHash, now, session, u.ID, device, mark, mark))
		if errors.Is(err, ErrNotFound) {
			return c, errDeviceChanged
		}
		if err != nil || mark == 0 {
			return c, err
		}
		// Only a new device can exceed the limit.
		var others []string
		if err := tx.SelectContext(ctx, &others, `SELECT device FROM devices WHERE user_id = ? AND device <> ? AND last_used >= 0
			ORDER BY last_used DESC, session DESC`, u.ID, device); err != nil {
			return c, err
		}
		for i := max - 1; i >= 0 && i < len(others); i++ {
			c.ended = append(c.ended, feed.Ended{User: u.ID, Device: others[i], Before: session, Why: feed.LoggedOut})
			if _, err := tx.ExecContext(ctx, `DELETE FROM devices WHERE user_id = ? AND device = ?`, u.ID, others[i]); err != nil {
				return c, err
			}
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM devices WHERE user_id = ? AND last_used < 0 AND last_used > ?`, u.ID, abandonedAfter-now)
		return c, err
	})
	return session, c.ended, err
}
