package model

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"chatd/internal/names"
)

// The table looks has what the users' names look like (names.LookOf). CreateUser
// writes a user's rows, and refuses a name that looks like another user's in
// another script. UpdateLooks writes the rows of users that an earlier release
// has created, or with an earlier names.LookVersion. The rows of a deleted user stay
// until another user registers the name. They don't count once the name is free.

const (
	lookPage  = 200             // users in one transaction of UpdateLooks
	lookRest  = 3               // pauses between the pages, in durations of a page
	lookRetry = 5 * time.Second // after an error
)

// addLook inserts what a new user's name looks like. Errors: ErrTaken if it looks
// like another user's name in another script.
func (db *DB) addLook(ctx context.Context, tx *sqlx.Tx, user int64, name string) error {
	l := names.LookOf(name)
	if err := insertLook(ctx, tx, user, l); err != nil {
		return err
	}
	// Two nodes may register names that look alike at the same time. Each has
	// inserted its rows before it looks for those of others, with a lock. So at
	// least one of them finds the other's rows, or is rolled back by a deadlock
	// and runs again.
	var other []int64
	err := tx.SelectContext(ctx, &other, `SELECT user_id FROM looks`+db.d.byLookIndex+` WHERE look IN (?, ?) AND user_id <> ? AND script <> ?`+db.d.ForUpdate,
		l.Keys[0], l.Keys[len(l.Keys)-1], user, l.Script)
	if err != nil {
		return err
	}
	before := db.nowMS() - db.o.ReserveNames.Milliseconds()
	for _, id := range other {
		// This read takes no lock, and may miss a user of another transaction. So a
		// name is free only if it finds the user deleted, which is never undone.
		var free int
		err := tx.GetContext(ctx, &free, `SELECT COUNT(*) FROM users WHERE id = ? AND deleted = 1 AND (name_key IS NULL OR deleted_at <= ?)`, id, before)
		if err != nil {
			return err
		}
		if free == 0 {
			return ErrTaken
		}
	}
	return nil
}

func insertLook(ctx context.Context, tx *sqlx.Tx, user int64, l names.Look) error {
	for _, key := range l.Keys {
		// REPLACE, because two nodes may run UpdateLooks.
		if _, err := tx.ExecContext(ctx, `REPLACE INTO looks (user_id, look, script, version) VALUES (?, ?, ?, ?)`,
			user, key, l.Script, names.LookVersion); err != nil {
			return err
		}
	}
	return nil
}

// startLooks runs UpdateLooks in the background.
func (db *DB) startLooks() {
	if db.o.Shared || db.o.noBackground {
		return
	}
	db.background(func(ctx context.Context) {
		for {
			err := db.UpdateLooks(ctx, lookRest)
			if err == nil || ctx.Err() != nil {
				return
			}
			db.o.Logger.Warn("computing what user names look like failed, will retry", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(lookRetry):
			}
		}
	})
}

// UpdateLooks computes what the names of all users look like, where this is
// missing or outdated. Until it has finished, names may be registered that look
// like those of the remaining users. It works in pages. Between pages that write,
// it pauses for rest times as long as the page took, so that messages don't wait
// for it. It may run on several nodes at once.
func (db *DB) UpdateLooks(ctx context.Context, rest int) error {
	for last, more := int64(0), true; more; {
		begin := time.Now()
		var wrote bool
		var err error
		if last, wrote, more, err = db.updateLooks(ctx, last); err != nil {
			return fmt.Errorf("update the looks of user names: %w", err)
		}
		if !wrote || rest == 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(rest) * time.Since(begin)):
		}
	}
	return nil
}

// updateLooks updates a page of users with IDs above after. It returns the last
// ID of the page.
func (db *DB) updateLooks(ctx context.Context, after int64) (last int64, wrote, more bool, err error) {
	var page []struct {
		ID      int64  `db:"id"`
		Name    string `db:"name"`
		Free    bool   `db:"free"`    // deleted, and the name is taken away
		Version int64  `db:"version"` // 0: no row
	}
	err = db.sql.Select(ctx, &page, `SELECT u.id, u.name, u.deleted = 1 AND u.name_key IS NULL AS free, COALESCE((SELECT MIN(l.version) FROM looks l WHERE l.user_id = u.id), 0) AS version
		FROM users u WHERE u.id > ? ORDER BY u.id`+db.d.Limit, after, lookPage)
	if err != nil || len(page) == 0 {
		return after, false, false, err
	}
	last, more = page[len(page)-1].ID, len(page) == lookPage
	stale := page[:0]
	for _, u := range page {
		if u.Free && u.Version != 0 || !u.Free && u.Version < names.LookVersion {
			stale = append(stale, u)
		}
	}
	if len(stale) == 0 {
		return last, false, more, nil
	}
	looks := make([]names.Look, len(stale))
	for i, u := range stale {
		looks[i] = names.LookOf(u.Name)
	}
	err = db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		for i, u := range stale {
			// The name may have been taken away since the page was read. The row lock
			// makes releaseName wait, which then deletes the new rows.
			var free bool
			if err := tx.GetContext(ctx, &free, `SELECT deleted = 1 AND name_key IS NULL FROM users WHERE id = ?`+db.d.ForUpdate, u.ID); err != nil {
				return err
			}
			if u.Version != 0 {
				if _, err := tx.ExecContext(ctx, `DELETE FROM looks WHERE user_id = ?`, u.ID); err != nil {
					return err
				}
			}
			if free {
				continue
			}
			if err := insertLook(ctx, tx, u.ID, looks[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return last, true, more, err
}

// Clash is a set of users whose names look alike, or like a reserved name.
type Clash struct {
	Reserved string // the reserved name; "" if there is none
	Users    []User // sorted by ID; only ID, Name and Banned are set
}

// Clashes lists the users whose names look alike and are of different scripts, or
// look like one of the reserved names. Users may be in several clashes. It reads
// all rows of looks, which takes about a second for a million users. Call
// UpdateLooks first.
func (db *DB) Clashes(ctx context.Context, reserved []string) ([]Clash, error) {
	type row struct {
		User
		Look []byte `db:"look"`
	}
	var rows []row
	err := db.sql.Select(ctx, &rows, `SELECT l.look, u.id, u.name, u.banned FROM looks l JOIN users u ON u.id = l.user_id
		WHERE u.deleted = 0 AND l.look IN (SELECT look FROM looks GROUP BY look HAVING COUNT(DISTINCT script) > 1) ORDER BY l.look, u.id`)
	if err != nil {
		return nil, fmt.Errorf("list names that look alike: %w", err)
	}
	var all []Clash
	add := func(c Clash) {
		// Names that have both keys in common would be listed twice.
		if len(c.Users) > 0 && !slices.ContainsFunc(all, func(o Clash) bool {
			return c.Reserved == o.Reserved && slices.Equal(c.Users, o.Users)
		}) {
			all = append(all, c)
		}
	}
	for _, name := range reserved {
		c := Clash{Reserved: name}
		l := names.LookOf(name)
		err := db.sql.Select(ctx, &c.Users, `SELECT u.id, u.name, u.banned FROM users u
			WHERE u.deleted = 0 AND u.id IN (SELECT user_id FROM looks WHERE look IN (?, ?)) ORDER BY u.id`, l.Keys[0], l.Keys[len(l.Keys)-1])
		if err != nil {
			return nil, fmt.Errorf("list names that look like %q: %w", name, err)
		}
		add(c)
	}
	for i := 0; i < len(rows); {
		var c Clash
		first := rows[i].Look
		for ; i < len(rows) && string(rows[i].Look) == string(first); i++ {
			c.Users = append(c.Users, rows[i].User)
		}
		if len(c.Users) > 1 { // the others may be deleted
			add(c)
		}
	}
	return all, nil
}
