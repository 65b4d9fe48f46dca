package model

import (
	"context"
	"slices"
	"time"

	"chatd/model/feed"
)

// KeepFeed is how long rows of the feed are kept. A reader that pauses for longer
// gets feed.ErrTrimmed.
const KeepFeed = time.Hour

// StartFeed returns a reader of what is committed after the call. It may also
// return some of what was committed during the call. It blocks on the database.
func (db *DB) StartFeed(ctx context.Context) (*FeedReader, error) {
	r, err := feed.Start(ctx, db.sql)
	if err != nil {
		return nil, err
	}
	return &FeedReader{reader: r, db: db}, nil
}

// FeedReader is a feed.Reader that leaves out the notices of those transactions of this
// process whose callers announce them. Only one goroutine may use it at a time.
type FeedReader struct {
	reader *feed.Reader
	db     *DB
	held   []feed.Row // with notices of transactions that hadn't ended at the last Next
}

// Next returns rows that were committed since the last call, like feed.Reader.Next.
// Notices of a transaction of this process may come later than the rest of its row, in a
// row without anything else. The errors are those of feed.Reader.Next.
func (r *FeedReader) Next(ctx context.Context) (rows []feed.Row, more bool, err error) {
	rows, more, err = r.reader.Next(ctx)
	if err != nil {
		return nil, false, err
	}
	var held []feed.Row
	decide := func(row *feed.Row) {
		if row.Notices.Empty() {
			return
		}
		switch r.db.lanes.fate(row.Lane, row.Pos) {
		case announced:
			row.Notices = feed.Notices{}
		case undecided:
			held = append(held, feed.Row{Lane: row.Lane, Pos: row.Pos, Tick: row.Tick, Time: row.Time, Notices: row.Notices})
			row.Notices = feed.Notices{}
		}
	}
	before := r.held
	for i := range before {
		decide(&before[i])
	}
	before = slices.DeleteFunc(before, func(row feed.Row) bool { return row.Notices.Empty() })
	for i := range rows {
		decide(&rows[i])
	}
	r.held = held
	return append(before, rows...), more, nil
}

// TrimFeed deletes rows of the feed that are older than KeepFeed. Each node calls it from
// time to time. It blocks on the database.
func (db *DB) TrimFeed(ctx context.Context) error {
	if db.o.ReadOnly {
		return ErrClosed
	}
	return feed.Trim(ctx, db.sql, KeepFeed)
}
