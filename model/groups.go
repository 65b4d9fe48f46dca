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

// JoinResult describes the group that a user has joined.
type JoinResult struct {
	Name, Desc string
	Seq        int64 // of the last message before the join
	Version    int64 // of the membership, after the join
	Count      int64 // members, including the new one
}

// Group is an entry in a user's list of groups.
type Group struct {
	ID    int64  `db:"id"`
	Name  string `db:"name"`
	Desc  string `db:"description"`
	Last  int64  `db:"last_seq"`
	Count int64  `db:"size"` // members
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
	err = tx.GetContext(ctx, &g, `SELECT name, description, creator, last_seq, version, size FROM conversations
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

// FirstVersion is the membership version of a new group.
const FirstVersion = 1

// CreateGroup creates a group with its creator as the only member, and returns
// its ID. Errors: ErrNotFound if there is no such user; ErrFull if the user is in
// maxGroups groups already.
func (db *DB) CreateGroup(ctx context.Context, creator int64, name, desc string, maxGroups int) (int64, error) {
	var id int64
	err := db.writeChange(ctx, func(ctx context.Context, tx *sqlx.Tx, c *changes) error {
		if err := db.lockUsers(ctx, tx, creator); err != nil {
			return err
		}
		if err := groupsFull(ctx, tx, creator, maxGroups); err != nil {
			return err
		}
		r, err := tx.ExecContext(ctx, `INSERT INTO conversations (kind, name, description, creator, size, version)
			VALUES (2, ?, ?, ?, 1, ?)`, name, desc, creator, FirstVersion)
		if err != nil {
			return err
		}
		if id, err = r.LastInsertId(); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO members (conversation_id, user_id, role, joined_at) VALUES (?, ?, ?, ?)`,
			id, creator, roleCreator, db.nowMS())
		c.add(id, FirstVersion, 0)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("create group: %w", err)
	}
	return id, nil
}

// JoinGroup makes user a member of a group. Errors: ErrNotFound; ErrAlready;
// ErrGroupFull if the group has maxMembers members already; ErrFull if the user
// is in maxGroups groups already.
func (db *DB) JoinGroup(ctx context.Context, group, user int64, maxMembers, maxGroups int) (JoinResult, error) {
	var j JoinResult
	err := db.writeChange(ctx, func(ctx context.Context, tx *sqlx.Tx, c *changes) error {
		g, err := db.lockGroup(ctx, tx, group)
		if err != nil {
			return err
		}
		if err := db.lockUsers(ctx, tx, user); err != nil {
			return err
		}
		switch in, err := isMember(ctx, tx, group, user); {
		case err != nil:
			return err
		case in:
			return ErrAlready
		case g.Size >= int64(maxMembers):
			return ErrGroupFull
		}
		if err := groupsFull(ctx, tx, user, maxGroups); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO members (conversation_id, user_id, joined_seq, joined_at, read_seq)
			VALUES (?, ?, ?, ?, ?)`, group, user, g.Last, db.nowMS(), g.Last); err != nil {
			return err
		}
		j = JoinResult{Name: g.Name, Desc: g.Desc, Seq: g.Last, Version: g.Version + 1, Count: g.Size + 1}
		c.add(group, j.Version, g.Last)
		return db.raiseVersion(ctx, tx, group, +1)
	})
	if err != nil {
		return JoinResult{}, fmt.Errorf("join group %d: %w", group, err)
	}
	return j, nil
}

// raiseVersion raises a group's membership version and adds to its size. The
// version tells other nodes that the members have changed.
func (db *DB) raiseVersion(ctx context.Context, tx *sqlx.Tx, group int64, by int) error {
	_, err := tx.ExecContext(ctx, `UPDATE conversations SET version = version + 1, size = size + ? WHERE id = ?`, by, group)
	return err
}

// LeaveGroup removes a member and returns the group's new version. Errors:
// ErrNotFound if there is no such group; ErrNotAllowed if the user is not a
// member, or is the creator.
func (db *DB) LeaveGroup(ctx context.Context, group, user int64) (version int64, err error) {
	err = db.writeChange(ctx, func(ctx context.Context, tx *sqlx.Tx, c *changes) error {
		g, err := db.lockGroup(ctx, tx, group)
		if err != nil {
			return err
		}
		if g.Creator == user {
			return ErrNotAllowed
		}
		version = g.Version + 1
		c.add(group, version, g.Last)
		return db.removeMember(ctx, tx, group, user)
	})
	if err != nil {
		return 0, fmt.Errorf("leave group %d: %w", group, err)
	}
	return version, nil
}

// KickMember removes user from a group on behalf of by, who must be its creator,
// and returns the group's new version. Errors: ErrNotFound if there is no such
// group; ErrNotAllowed if by is not the creator, or user is, or user is not a
// member.
func (db *DB) KickMember(ctx context.Context, group, by, user int64) (version int64, err error) {
	err = db.writeChange(ctx, func(ctx context.Context, tx *sqlx.Tx, c *changes) error {
		g, err := db.lockGroup(ctx, tx, group)
		if err != nil {
			return err
		}
		if g.Creator != by || g.Creator == user {
			return ErrNotAllowed
		}
		version = g.Version + 1
		c.add(group, version, g.Last)
		return db.removeMember(ctx, tx, group, user)
	})
	if err != nil {
		return 0, fmt.Errorf("kick user %d from group %d: %w", user, group, err)
	}
	return version, nil
}

func (db *DB) removeMember(ctx context.Context, tx *sqlx.Tx, group, user int64) error {
	err := one(tx.ExecContext(ctx, `DELETE FROM members WHERE conversation_id = ? AND user_id = ?`, group, user))
	if errors.Is(err, ErrNotFound) {
		return ErrNotAllowed
	}
	if err != nil {
		return err
	}
	return db.raiseVersion(ctx, tx, group, -1)
}

// DismissGroup ends a group on behalf of by, who must be its creator. It returns
// the group's new version and its former members. Errors: ErrNotFound;
// ErrNotAllowed if by is not the creator.
func (db *DB) DismissGroup(ctx context.Context, group, by int64) (version int64, members []int64, err error) {
	err = db.writeChange(ctx, func(ctx context.Context, tx *sqlx.Tx, c *changes) error {
		g, err := db.lockGroup(ctx, tx, group)
		if err != nil {
			return err
		}
		if g.Creator != by {
			return ErrNotAllowed
		}
		version, members = g.Version+1, nil
		if err := tx.SelectContext(ctx, &members, `SELECT user_id FROM members WHERE conversation_id = ? ORDER BY user_id`, group); err != nil {
			return err
		}
		c.add(group, version, g.Last)
		return db.dismiss(ctx, tx, group)
	})
	if err != nil {
		return 0, nil, fmt.Errorf("dismiss group %d: %w", group, err)
	}
	return version, members, nil
}

// dismiss ends a group. Its messages stay stored, but nobody may see them.
func (db *DB) dismiss(ctx context.Context, tx *sqlx.Tx, group int64) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM members WHERE conversation_id = ?`, group); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE conversations SET gone = 1, size = 0, version = version + 1 WHERE id = ?`, group)
	return err
}

// Groups lists a user's groups, sorted by ID.
func (db *DB) Groups(ctx context.Context, user int64) ([]Group, error) {
	var l []Group
	err := db.sql.Select(ctx, &l, `SELECT c.id, c.name, c.description, c.last_seq, c.size FROM members m
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
