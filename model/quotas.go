package model

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
)

// A quota is what a user may store per day, or what strangers may store for a user
// per day. It is a token bucket that holds a day's quota, and needs a day to fill.
// As in package limit, a bucket is one number: when it is full again.
//
// A node counts what it stores in memory, because a row that each append writes
// would cost too much. The table quotas has what all nodes have counted. A node
// adds to it what it has counted itself, a second after that is a sixteenth of a
// quota, and then continues from the sum. So all nodes together may store too much:
// for each node a sixteenth of a quota, and what it stores in that second. A crash
// forgets as much. What a node has counted in an hour is forgotten if it is less than
// a 256th of a quota, so that most users never have a row.

// Kinds of quotas, as stored.
const (
	quotaSent      = 1 // what the user has stored
	quotaStrangers = 2 // what strangers have stored for the user
)

const (
	quotaDay     = int64(24 * time.Hour / time.Microsecond)
	quotaSave    = quotaDay / 16  // a bucket is saved when this much isn't
	quotaKeep    = quotaDay / 256 // the hourly sweep saves a bucket with this much
	quotaSweep   = time.Hour
	quotaPause   = time.Second      // before buckets that are due are saved
	maxQuotas    = 256 << 10        // buckets in memory
	maxQuotaRows = 256              // buckets saved in one transaction
	maxQuotaWait = 10 * time.Second // of a QuotaError. A client sends nothing while it waits, and must not time out
	closeQuotas  = 2 * time.Second  // how long Close may take to save buckets
)

// QuotaError means that a message wasn't stored because its sender has used up
// the quota of a day. The sender should retry after Wait.
type QuotaError struct{ Wait time.Duration }

func (e *QuotaError) Error() string { return "the sender has used up the quota of a day" }

// quotaKey identifies a bucket.
type quotaKey struct{ user, kind int64 }

func (k quotaKey) compare(other quotaKey) int {
	return cmp.Or(cmp.Compare(k.user, other.user), cmp.Compare(k.kind, other.kind))
}

// quota is a bucket, as far as this node knows. Times are in microseconds.
type quota struct {
	full    int64 // when it is full again
	unsaved int64 // the part of full that isn't in the table yet
	due     bool  // the key is in quotas.due
}

// quotas has the buckets of a node. Any goroutine may call its methods.
type quotas struct {
	messages, bytes int64 // a sender's quota; 0: no limit
	fromStrangers   int64 // a receiver's quota, in units of what strangers store; 0: no limit
	wake            chan struct{}
	saving          sync.Mutex // held while buckets are saved

	mu  sync.Mutex // held while many messages are checked, but not while anything blocks
	all map[quotaKey]*quota
	due []quotaKey // to be saved
}

func newQuotas(o *Options) *quotas {
	return &quotas{messages: int64(o.MessagesPerDay), bytes: int64(o.BytesPerDay), fromStrangers: int64(o.MessagesFromStrangers),
		wake: make(chan struct{}, 1), all: make(map[quotaKey]*quota)}
}

func (q *quotas) on() bool { return q.messages+q.bytes+q.fromStrangers > 0 }

// sentCost returns how long a sender's bucket needs to make up for a message. It is
// the share of a day that the message takes of the messages or of the bytes,
// whichever is more.
func (q *quotas) sentCost(size int) (cost int64) {
	if q.messages > 0 {
		cost = quotaDay / q.messages
	}
	if q.bytes > 0 {
		cost = max(cost, int64(size)*quotaDay/q.bytes)
	}
	return cost
}

// strangerCost is sentCost for the bucket of what strangers store for a user.
func (q *quotas) strangerCost(size int) int64 {
	if q.fromStrangers == 0 {
		return 0
	}
	return quotaDay / q.fromStrangers * (strangerUnit + int64(size)) / strangerUnit
}

// wait returns 0, or how long it takes until the bucket has enough. The caller has
// locked q.mu.
func (q *quotas) wait(k quotaKey, cost, now int64) time.Duration {
	b := q.all[k]
	if b == nil {
		return 0
	}
	b.full = sane(b.full, now)
	return time.Duration(max(b.full-now+min(cost, quotaDay)-quotaDay, 0)) * time.Microsecond
}

// sane returns when a bucket is full: it can't be far in the future, unless a
// node's clock was wrong.
func sane(full, now int64) int64 {
	if full > now+2*quotaDay {
		return now + quotaDay
	}
	return max(full, now)
}

// take takes cost out of a bucket. The caller has locked q.mu.
func (q *quotas) take(k quotaKey, cost, now int64) {
	if cost == 0 {
		return
	}
	b := q.all[k]
	if b == nil {
		if len(q.all) >= maxQuotas {
			for old := range q.all {
				delete(q.all, old)
				break
			}
		}
		b = new(quota)
		q.all[k] = b
	}
	b.full = sane(b.full, now) + cost
	if b.unsaved += cost; b.unsaved >= quotaSave && !b.due {
		b.due = true
		q.due = append(q.due, k)
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// give puts back what take has taken.
func (q *quotas) give(k quotaKey, cost int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if b := q.all[k]; b != nil {
		b.full, b.unsaved = b.full-cost, b.unsaved-cost
	}
}

// dueQuota is a bucket that is to be saved.
type dueQuota struct {
	quotaKey
	used int64 // what is added to the table
	full int64 // what the table has afterwards
}

// takeDue returns the buckets that are to be saved, as if they were saved. With
// sweep, it adds those that have changed enough in an hour, and forgets the others
// that are full.
func (q *quotas) takeDue(now int64, sweep bool) (due []dueQuota) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if sweep {
		for k, b := range q.all {
			switch {
			case b.due:
			case b.unsaved >= quotaKeep:
				b.due = true
				q.due = append(q.due, k)
			case b.full <= now:
				delete(q.all, k)
			}
		}
	}
	for _, k := range q.due {
		if b := q.all[k]; b != nil {
			due = append(due, dueQuota{quotaKey: k, used: b.unsaved})
			b.unsaved, b.due = 0, false
		}
	}
	q.due = q.due[:0]
	slices.SortFunc(due, func(a, b dueQuota) int { return a.compare(b.quotaKey) }) // all nodes lock rows in the same order: no deadlocks
	return due
}

// saved continues with what the table has or, if saving has failed, with what
// takeDue has returned.
func (q *quotas) saved(due []dueQuota, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range due {
		switch b := q.all[d.quotaKey]; {
		case b == nil:
		case err != nil:
			b.unsaved += d.used
		default:
			b.full = d.full + b.unsaved
		}
	}
}

// startQuotas saves buckets in the background.
func (db *DB) startQuotas() {
	if !db.quotas.on() || db.o.noBackground {
		return
	}
	db.background(func(ctx context.Context) {
		sweep := time.NewTicker(quotaSweep)
		defer sweep.Stop()
		for {
			var err error
			select {
			case <-ctx.Done():
				return
			case <-db.quotas.wake:
				select { // so that one transaction saves the buckets of many users
				case <-ctx.Done():
					return
				case <-time.After(quotaPause):
				}
				err = db.saveQuotas(ctx, false)
			case <-sweep.C:
				err = db.sweepQuotas(ctx)
			}
			if err != nil && ctx.Err() == nil {
				db.o.Logger.Error("saving quotas failed; other nodes don't count what users have stored here", "err", err)
			}
		}
	})
}

// saveQuotas saves the buckets that are due; see takeDue. It blocks.
func (db *DB) saveQuotas(ctx context.Context, sweep bool) error {
	q := db.quotas
	q.saving.Lock()
	defer q.saving.Unlock()
	now := db.nowMS() * 1000
	due := q.takeDue(now, sweep)
	for len(due) > 0 {
		part := due[:min(len(due), maxQuotaRows)]
		due = due[len(part):]
		err := db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return db.addQuotas(ctx, tx, part, now) })
		q.saved(part, err)
		if err != nil {
			q.saved(due, err)
			return fmt.Errorf("save the quotas of %d users: %w", len(part)+len(due), err)
		}
	}
	return nil
}

// sweepQuotas saves and forgets buckets; see takeDue. It deletes the rows of buckets
// that are full. It blocks.
func (db *DB) sweepQuotas(ctx context.Context) error {
	now := db.nowMS() * 1000
	if err := db.saveQuotas(ctx, true); err != nil {
		return err
	}
	err := db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM quotas WHERE full_at <= ?`, now)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete quotas that nobody has used for a day: %w", err)
	}
	return nil
}

// addQuotas adds what was used to the rows, and sets what they have then.
func (db *DB) addQuotas(ctx context.Context, tx *sqlx.Tx, due []dueQuota, now int64) error {
	for i := range due {
		d := &due[i]
		if _, err := tx.ExecContext(ctx, db.d.addQuota, d.user, d.kind, now+d.used, d.used); err != nil {
			return err
		}
		if err := tx.GetContext(ctx, &d.full, `SELECT full_at FROM quotas WHERE user_id = ? AND kind = ?`, d.user, d.kind); err != nil {
			return err
		}
		if full := sane(d.full, now); full != d.full {
			d.full = full
			if _, err := tx.ExecContext(ctx, `UPDATE quotas SET full_at = ? WHERE user_id = ? AND kind = ?`, full, d.user, d.kind); err != nil {
				return err
			}
		}
	}
	return nil
}

// closeQuotas saves what the hourly sweep would save. It blocks for at most closeQuotas.
func (db *DB) closeQuotas() {
	if !db.quotas.on() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeQuotas)
	defer cancel()
	if err := db.saveQuotas(ctx, true); err != nil {
		db.o.Logger.Warn("saving quotas failed; users may store more than their quota today", "err", err)
	}
}
