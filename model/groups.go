package model

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// Roles of a member, as stored.
const (
	roleNormal  = 0
	roleCreator = 1
)

// Group is an entry in a user's list of groups.
type Group struct {
	ID     int64  `db:"id"`
	Name   string `db:"name"`
	Desc   string `db:"description"`
	Joined int64  `db:"joined_seq"` // the user sees messages after this seq
	Count  int64  `db:"size"`       // members
}

// Member is a member of a group.
type Member struct {
	User   int64  `db:"user_id"`
	Name   string `db:"name"`
	Role   string `db:"role"`       // "creator" or "normal"
	Joined int64  `db:"joined_seq"` // sees messages after this seq
}

// group holds the columns of a group's row that transactions need.
type group struct {
	ID      int64  `db:"id"`
	Name    string `db:"name"`
	Desc    string `db:"description"`
	Creator int64  `db:"creator"`
	Last    int64  `db:"last_seq"`
	Version int64  `db:"version"`
	Size    int64  `db:"size"`
}

// lockGroup reads a group's row and locks it against appends and other changes.
// Errors: ErrNotFound, also for a dismissed group.
func (db *DB) lockGroup(ctx context.Context, tx *sqlx.Tx, id int64) (g group, err error) {
	err = tx.GetContext(ctx, &g, `SELECT id, name, description, creator, last_seq, version, size FROM conversations
		WHERE id = ? AND kind = 2 AND gone = 0`+db.d.ForUpdate, id)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return g, err
}

func isMember(ctx context.Context, tx *sqlx.Tx, group, user int64) (bool, error) {
	var n int
	err := tx.GetContext(ctx, &n, `SELECT COUNT(*) FROM members WHERE conversation_id = ? AND user_id = ?`, group, user)
	return n > 0, err
}

// groupsFull returns ErrFull if user is in max groups already.
func groupsFull(ctx context.Context, tx *sqlx.Tx, user int64, max int) error {
	var n int
	err := tx.GetContext(ctx, &n, `SELECT COUNT(*) FROM members m JOIN conversations c ON c.id = m.conversation_id
		WHERE m.user_id = ? AND c.kind = 2`, user)
	if err == nil && n >= max {
		err = ErrFull
	}
	return err
}

// lockUser locks a user's row, so that the number of the user's groups stays the
// same until the commit. It returns the user's name. Errors: ErrNotFound.
func (db *DB) lockUser(ctx context.Context, tx *sqlx.Tx, user int64) (name string, err error) {
	err = tx.GetContext(ctx, &name, `SELECT name FROM users WHERE id = ? AND deleted = 0`+db.d.ForUpdate, user)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return name, err
}

// firstVersion is the membership version of a new group.
const firstVersion = 1

// CreateGroup creates a group with its creator as the only member. Errors:
// ErrNotFound if there is no such user; ErrFull if the user is in maxGroups groups
// already.
func (db *DB) CreateGroup(ctx context.Context, creator int64, name, desc string, maxGroups int) (*Append, error) {
	changes, err := db.writeChange(ctx, func(ctx context.Context, tx *sqlx.Tx) ([]*Append, error) {
		userName, err := db.lockUser(ctx, tx, creator)
		if err != nil {
			return nil, err
		}
		if err := groupsFull(ctx, tx, creator, maxGroups); err != nil {
			return nil, err
		}
		r, err := tx.ExecContext(ctx, `INSERT INTO conversations (kind, name, description, creator, size, version)
			VALUES (2, ?, ?, ?, 1, ?)`, name, desc, creator, firstVersion)
		if err != nil {
			return nil, err
		}
		g := group{Name: name, Desc: desc, Creator: creator, Version: firstVersion, Size: 1}
		if g.ID, err = r.LastInsertId(); err != nil {
			return nil, err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO members (conversation_id, user_id, role, joined_at) VALUES (?, ?, ?, ?)`,
			g.ID, creator, roleCreator, db.nowMS())
		return []*Append{g.describeJoin(creator, userName)}, err
	})
	if err != nil {
		return nil, fmt.Errorf("create group: %w", err)
	}
	return changes[0], nil
}

// JoinGroup makes user a member of a group. Errors: ErrNotFound; ErrAlready;
// ErrGroupFull if the group has maxMembers members already; ErrFull if the user
// is in maxGroups groups already.
func (db *DB) JoinGroup(ctx context.Context, id, user int64, maxMembers, maxGroups int) (*Append, error) {
	changes, err := db.writeChange(ctx, func(ctx context.Context, tx *sqlx.Tx) ([]*Append, error) {
		// The user first: counting reads all of the user's conversations, and messages to
		// the group must not wait for that.
		name, err := db.lockUser(ctx, tx, user)
		if err != nil {
			return nil, err
		}
		full := groupsFull(ctx, tx, user, maxGroups)
		if full != nil && !errors.Is(full, ErrFull) {
			return nil, full
		}
		g, err := db.lockGroup(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		switch in, err := isMember(ctx, tx, id, user); {
		case err != nil:
			return nil, err
		case in:
			return nil, ErrAlready
		case g.Size >= int64(maxMembers):
			return nil, ErrGroupFull
		case full != nil:
			return nil, full
		}
		a, err := db.addMember(ctx, tx, &g, user, name)
		return []*Append{a}, err
	})
	if err != nil {
		return nil, fmt.Errorf("join group %d: %w", id, err)
	}
	return changes[0], nil
}

// LeaveGroup removes a member. Errors: ErrNotFound if there is no such group;
// ErrNotAllowed if the user is not a member, or is the creator.
func (db *DB) LeaveGroup(ctx context.Context, id, user int64) (*Append, error) {
	a, err := db.changeGroup(ctx, id, func(ctx context.Context, tx *sqlx.Tx, g *group) (*Append, error) {
		if g.Creator == user {
			return nil, ErrNotAllowed
		}
		return db.removeMember(ctx, tx, g, user)
	})
	if err != nil {
		return nil, fmt.Errorf("leave group %d: %w", id, err)
	}
	return a, nil
}

// KickMember removes user from a group on behalf of by, who must be its creator.
// Errors: ErrNotFound if there is no such group; ErrNotAllowed if by is not the
// creator, or user is, or user is not a member.
func (db *DB) KickMember(ctx context.Context, id, by, user int64) (*Append, error) {
	a, err := db.changeGroup(ctx, id, func(ctx context.Context, tx *sqlx.Tx, g *group) (*Append, error) {
		if g.Creator != by || g.Creator == user {
			return nil, ErrNotAllowed
		}
		return db.removeMember(ctx, tx, g, user)
	})
	if err != nil {
		return nil, fmt.Errorf("kick user %d from group %d: %w", user, id, err)
	}
	return a, nil
}

// DismissGroup ends a group on behalf of by, who must be its creator. Errors:
// ErrNotFound; ErrNotAllowed if by is not the creator.
func (db *DB) DismissGroup(ctx context.Context, id, by int64) (*Append, error) {
	a, err := db.changeGroup(ctx, id, func(ctx context.Context, tx *sqlx.Tx, g *group) (*Append, error) {
		if g.Creator != by {
			return nil, ErrNotAllowed
		}
		return db.dismiss(ctx, tx, g)
	})
	if err != nil {
		return nil, fmt.Errorf("dismiss group %d: %w", id, err)
	}
	return a, nil
}

// Groups lists a user's groups, sorted by ID.
func (db *DB) Groups(ctx context.Context, user int64) ([]Group, error) {
	var l []Group
	err := db.sql.Select(ctx, &l, `SELECT c.id, c.name, c.description, m.joined_seq, c.size FROM members m
		JOIN conversations c ON c.id = m.conversation_id WHERE m.user_id = ? AND c.kind = 2 ORDER BY m.conversation_id`, user)
	if err != nil {
		return nil, fmt.Errorf("list groups of user %d: %w", user, err)
	}
	return l, nil
}

// Members lists a group's members whose IDs are above after, sorted by ID, at
// most limit (0: all). A dismissed group has none.
func (db *DB) Members(ctx context.Context, group, after int64, limit int) ([]Member, error) {
	if limit <= 0 {
		limit = 1 << 30
	}
	var l []Member
	err := db.sql.Select(ctx, &l, `SELECT m.user_id, u.name, CASE m.role WHEN 1 THEN 'creator' ELSE 'normal' END AS role, m.joined_seq
		FROM members m JOIN conversations c ON c.id = m.conversation_id JOIN users u ON u.id = m.user_id
		WHERE m.conversation_id = ? AND c.kind = 2 AND m.user_id > ? ORDER BY m.user_id`+db.d.Limit, group, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list members of group %d: %w", group, err)
	}
	return l, nil
}

// MemberIDs returns a group's membership version and its members at that version,
// sorted by ID. It sets only User and Joined of each. Errors: ErrNotFound, also
// for a dismissed group.
func (db *DB) MemberIDs(ctx context.Context, group int64) (version int64, members []Member, err error) {
	// A single statement sees a single snapshot.
	var rows []struct {
		Version int64         `db:"version"`
		User    sql.NullInt64 `db:"user_id"`
		Joined  sql.NullInt64 `db:"joined_seq"`
	}
	err = db.sql.Select(ctx, &rows, `SELECT c.version, m.user_id, m.joined_seq FROM conversations c
		LEFT JOIN members m ON m.conversation_id = c.id WHERE c.id = ? AND c.kind = 2 AND c.gone = 0 ORDER BY m.user_id`, group)
	if err == nil && len(rows) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return 0, nil, fmt.Errorf("list members of group %d: %w", group, err)
	}
	for _, r := range rows {
		version = r.Version
		if r.User.Valid {
			members = append(members, Member{User: r.User.Int64, Joined: r.Joined.Int64})
		}
	}
	return version, members, nil
}
