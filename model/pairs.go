package model

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/jmoiron/sqlx"
)

// Kinds of conversation, as stored. Queries spell the numbers out.
const (
	kindPair  = 1
	kindGroup = 2
)

// Bits of a pair's blocks, as stored.
const (
	loBlocksHi = 1
	hiBlocksLo = 2
	pairClosed = 4 // one of the two was deleted
)

// pair is two users, or the same user twice (notes): lo <= hi.
type pair struct{ lo, hi int64 }

func pairOf(a, b int64) pair { return pair{min(a, b), max(a, b)} }

// blockBit returns the bit that is set if by has blocked the other user.
func (p pair) blockBit(by int64) int64 {
	if by == p.lo {
		return loBlocksHi
	}
	return hiBlocksLo
}

// refusal returns the error if sender may not write to the pair, given its
// blocks.
func (p pair) refusal(blocks, sender int64) error {
	other := p.lo + p.hi - sender
	switch {
	case blocks&pairClosed != 0:
		return ErrNotFound
	case p.lo != p.hi && blocks&p.blockBit(other) != 0:
		return ErrNotAllowed
	}
	return nil
}

// execer is a *sql.Tx or a *sqlx.Tx.
type execer interface {
	ExecContext(ctx context.Context, q string, args ...any) (sql.Result, error)
}

// makePair creates the conversation of a pair, or finds the one that another
// node has just created. The caller has checked that both users exist.
func (db *DB) makePair(ctx context.Context, tx execer, p pair, now int64) (int64, error) {
	r, err := tx.ExecContext(ctx, `INSERT INTO conversations (kind, user_lo, user_hi) VALUES (1, ?, ?)`+db.d.returnPairID, p.lo, p.hi)
	if err != nil {
		return 0, err
	}
	id, err := r.LastInsertId()
	if err != nil {
		return 0, err
	}
	if p.lo == p.hi {
		_, err = tx.ExecContext(ctx, `INSERT INTO members (conversation_id, user_id, joined_at) VALUES (?, ?, ?)`+db.d.keepMember, id, p.lo, now)
	} else {
		_, err = tx.ExecContext(ctx, `INSERT INTO members (conversation_id, user_id, joined_at) VALUES (?, ?, ?), (?, ?, ?)`+db.d.keepMember,
			id, p.lo, now, id, p.hi, now)
	}
	return id, err
}

// lockUsers locks the rows of users. Errors: ErrNotFound if one of them doesn't
// exist.
func (db *DB) lockUsers(ctx context.Context, tx *sqlx.Tx, users ...int64) error {
	slices.Sort(users) // all transactions lock in the same order: no deadlocks
	for _, user := range users {
		var id int64
		err := tx.GetContext(ctx, &id, `SELECT id FROM users WHERE id = ? AND deleted = 0`+db.d.ForUpdate, user)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
	}
	return nil
}
