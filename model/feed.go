package model

import (
	"context"
	"errors"
	"time"

	"chatd/model/feed"
)

// KeepFeed is how long rows of the feed are kept. A reader that pauses for longer
// gets feed.ErrTrimmed.
const KeepFeed = time.Hour

// StartFeed returns a reader of what is committed after the call. It may also
// return some of what was committed during the call. It blocks on the database.
func (db *DB) StartFeed(ctx context.Context) (*feed.Reader, error) { return feed.Start(ctx, db.sql) }

// TrimFeed deletes rows of the feed, and of departures, that are older than KeepFeed.
// Each node calls it from time to time. It blocks on the database.
func (db *DB) TrimFeed(ctx context.Context) error {
	if db.o.ReadOnly {
		return ErrClosed
	}
	return errors.Join(feed.Trim(ctx, db.sql, KeepFeed), db.trimDepartures(ctx))
}
