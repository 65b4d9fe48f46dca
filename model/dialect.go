package model

import (
	"fmt"

	"chatd/model/sqldb"
)

// dialect is the SQL that differs between databases: sqldb's, which holds for
// any table, and the pieces that name the chat's tables. Each query is written
// once and uses these pieces.
type dialect struct {
	*sqldb.Dialect

	returnPairID string // after an INSERT of one pair: if the pair exists, LastInsertId is its id
	keepPair     string // after an INSERT of pairs: existing rows are locked and left alone
	keepMember   string // after an INSERT of members: existing rows are left alone
	byLookIndex  string // after a table's name: forces the index of looks, so that no other row is locked
	byCIDIndex   string // after messages and its alias: forces the index of cids, so that not the whole conversation is read
	byPairIndex  string // after a table's name: forces the index of pairs, so that no other row is locked

	// These are queries for parts of a conversation's log. SQLite's need further
	// arguments, because its newest messages are in the table recent.
	// addQuota adds to a row of quotas, or inserts it. Its arguments are user, kind,
	// the time at which a row that was full is full again, and how much later any other
	// row is.
	addQuota string

	page       string                // messages after a seq, see pageArgs
	pageBefore string                // messages before a seq, see PageBefore
	traceSeq   string                // see TraceSeq
	traceCID   string                // see TraceCID
	repeats    func(rows int) string // those of some messages that are in messages; conversation, sender, cid

	// These return statements for a number of rows. Each row has the arguments
	// listed, and may be passed twice. A value lower than the stored one changes
	// nothing.
	raiseHeads       func(rows int) string // conversation, seq, time, tick
	raiseDelivered   func(rows int) string // user, device, conversation, seq
	raiseRead        func(rows int) string // user, conversation, seq
	raiseUsed        func(rows int) string // user, device, ms
	raiseLastSession func(rows int) string // user, session
	raiseSession     func(rows int) string // user, device, session, ms
}

// dialectOf returns the SQL for an open database.
func dialectOf(db *sqldb.DB) (*dialect, error) {
	switch db.Name {
	case "sqlite":
		return sqlite(db.Dialect), nil
	case "mysql":
		return mysql(db.Dialect), nil
	}
	return nil, fmt.Errorf("%s: unsupported database %q: want sqlite or mysql", db.Where, db.Name)
}
