package feed

import (
	"database/sql"
	"errors"
	"math/rand/v2"

	"chatd/model/sqldb"
)

// Lane writes rows of the feed, one transaction after another. Only one goroutine
// may use it at a time, and only for one open transaction.
//
// Before a transaction begins, call Open if the lane is Stale. In the transaction,
// once all the conversations that it changes are locked, call Tick and store the
// result in their rows. Call Record as the last statement, and Committed after a
// successful commit. After a failed one, the lane is stale.
//
// A shared lane is never stale. Instead of Open, call Join in each transaction.
type Lane struct {
	db        *sqldb.DB
	shared    bool
	id        int64 // random; 0: none yet
	pos, tick int64 // of the last committed row
	recorded  int64 // the tick of a row that isn't known to be committed; 0: none
	spans     []byte
	extra     []byte
}

// NewLane returns a lane on an open database.
func NewLane(db *sqldb.DB) *Lane { return &Lane{db: db, spans: []byte{}} } // nil would be NULL

// sharedLane is the ID of the lane that many processes use. A migration creates it, and
// Trim never closes it.
const sharedLane = 1

// NewSharedLane returns the lane that is for processes that write only a few rows, such
// as operators' commands: a lane of their own would stay in the list of lanes for
// hours, and readers look at each lane. Its transactions wait for each other.
func NewSharedLane(db *sqldb.DB) *Lane {
	return &Lane{db: db, shared: true, id: sharedLane, spans: []byte{}}
}

// Join waits until no other transaction uses the shared lane, and reads the position of
// its last row. Other lanes need no Join. Call it in the transaction, before Tick. get
// must read a single row in that transaction; sql.ErrNoRows is an error.
func (l *Lane) Join(get func(to any, query string, args ...any) error) error {
	if !l.shared {
		return nil
	}
	l.recorded = 0
	if err := get(&l.pos, `SELECT trimmed FROM feed_lanes WHERE lane = ?`+l.db.ForUpdate, l.id); err != nil {
		return err
	}
	// Under the lock: an earlier transaction of the lane has ended.
	last := struct {
		Pos  int64 `db:"pos"`
		Tick int64 `db:"tick"`
	}{l.pos, 0}
	err := get(&last, `SELECT pos, tick FROM feed WHERE lane = ? ORDER BY pos DESC LIMIT 1`, l.id)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	l.pos, l.tick = last.Pos, last.Tick
	return nil
}

// ID returns the lane's ID, or 0 if it isn't open.
func (l *Lane) ID() int64 { return l.id }

// Pos returns the position of the last row for which Committed was called.
func (l *Lane) Pos() int64 { return l.pos }

// Stale reports whether Open must be called before the next transaction: the lane
// is new, or it isn't known that the last transaction with a Record was committed.
// After its connection is lost, that transaction may still be open on the server, so
// nobody may use its position again.
func (l *Lane) Stale() bool { return !l.shared && (l.id == 0 || l.recorded != 0) }

// Open takes a new lane, with a new random ID. exec must execute the statement and
// commit it.
func (l *Lane) Open(exec func(query string, args ...any) error) error {
	id := 1 + rand.Int64N(1<<62)
	err := exec(`INSERT INTO feed_lanes (lane, opened) VALUES (?, `+l.db.Now+`)`, id)
	if err == nil {
		*l = Lane{db: l.db, id: id, tick: l.tick, spans: l.spans[:0], extra: l.extra[:0]}
	}
	return err
}

// Tick returns the tick for the next row. highest is the highest tick of the
// conversations that the transaction changes, read while they are locked.
func (l *Lane) Tick(highest int64) int64 { return 1 + max(highest, l.tick) }

// Add adds a span to the row that the next Record writes.
func (l *Lane) Add(s *Span) { l.spans = appendSpan(l.spans, s) }

// AddEnded adds ended sessions to the row that the next RecordExtra writes.
func (l *Lane) AddEnded(e *Ended) { l.extra = appendEnded(l.extra, e) }

// AddNotices adds notices to the row that the next RecordExtra writes.
func (l *Lane) AddNotices(n *Notices) {
	for i := range n.Relations {
		l.extra = appendRelation(l.extra, &n.Relations[i])
	}
	for i := range n.Members {
		l.extra = appendMember(l.extra, &n.Members[i])
	}
	for i := range n.Reads {
		l.extra = appendRead(l.extra, &n.Reads[i])
	}
}

// Reset drops what was added for a transaction that was rolled back.
func (l *Lane) Reset() { l.spans, l.extra = l.spans[:0], l.extra[:0] }

// RecordSQL returns the statement that Record executes, for callers that prepare
// it. It inserts nothing if the lane is closed. The lock on the lane's row keeps
// Trim from closing the lane while the transaction is open.
func RecordSQL(db *sqldb.DB) string {
	return `INSERT INTO feed (lane, pos, tick, time, spans)
		SELECT lane, ?, ?, ` + db.Now + `, ? FROM feed_lanes WHERE lane = ? AND closed = 0` + db.ForShare
}

// recordExtraSQL is RecordSQL for a row that also has the column extra.
func recordExtraSQL(db *sqldb.DB) string {
	return `INSERT INTO feed (lane, pos, tick, time, spans, extra)
		SELECT lane, ?, ?, ` + db.Now + `, ?, ? FROM feed_lanes WHERE lane = ? AND closed = 0` + db.ForShare
}

// Record writes the row, with the spans of Add, in the open transaction, through
// exec, which must execute RecordSQL with the arguments. tick is the one from Tick.
// It blocks on the database. Errors: ErrClosed, and those of exec.
func (l *Lane) Record(tick int64, exec func(args ...any) (sql.Result, error)) error {
	l.recorded = tick
	return recorded(exec(l.pos+1, tick, l.spans, l.id))
}

// RecordExtra is Record for a transaction for which AddEnded or AddNotices may have been
// called. exec must execute the statement that it gets.
func (l *Lane) RecordExtra(tick int64, exec func(query string, args ...any) (sql.Result, error)) error {
	if len(l.extra) == 0 {
		return l.Record(tick, func(args ...any) (sql.Result, error) { return exec(RecordSQL(l.db), args...) })
	}
	l.recorded = tick
	return recorded(exec(recordExtraSQL(l.db), l.pos+1, tick, l.spans, l.extra, l.id))
}

func recorded(r sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err == nil && n != 1 {
		err = ErrClosed
	}
	return err
}

// Committed records that the transaction was committed. Without a call of Record,
// it does nothing.
func (l *Lane) Committed() {
	if l.recorded == 0 {
		return
	}
	l.pos++
	l.tick, l.recorded = l.recorded, 0
	l.Reset()
}
