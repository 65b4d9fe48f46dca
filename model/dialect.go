package model

import (
	"fmt"

	"chatd/model/sqldb"
)

// dialect is the SQL that differs between databases, including what names the
// chat's tables. A query is written once, with these pieces where it must
// differ.
type dialect struct {
	*sqldb.Dialect

	returnPairID string // after an INSERT of one pair: if the pair exists, LastInsertId is its id
	keepPair     string // after an INSERT of pairs: existing rows are locked and left alone
	keepMember   string // after an INSERT of members: existing rows are left alone
	byPairIndex  string // after a table's name: forces the index of pairs, so that no other row is locked

	// Each returns a statement that takes rows of the columns named. The same
	// row may be passed twice. Values only rise: a lower one changes nothing.
	raiseHeads     func(rows int) string // conversation, seq, time
	raiseDelivered func(rows int) string // user, device, conversation, seq
	raiseRead      func(rows int) string // user, conversation, seq
	raiseUsed      func(rows int) string // user, device, ms
}

// dialectOf returns the SQL for an open database.
func dialectOf(db *sqldb.DB) (*dialect, error) {
	switch db.Name {
	case "sqlite":
		return sqlite(db.Dialect), nil
	case "mysql":
		return mysql(db.Dialect), nil
	}
	return nil, fmt.Errorf("%s: there is no SQL of the chat's for %s", db.Where, db.Name)
}
