package recent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/jmoiron/sqlx"

	"chatd/model/sqldb"
)

const (
	// How much may be in recent before appends have to wait for the Folder. For each
	// row, the Index takes about 60 bytes of memory.
	maxRows  = 512 << 10
	maxBytes = 256 << 20

	quiet      = 5 * time.Millisecond // without appends; then the store counts as idle
	target     = 3 * time.Millisecond // for the statements of a slice
	sliceRows  = 4096                 // most rows in a slice
	sliceBytes = 512 << 10            // most bytes in a slice
	minSlice   = 64                   // rows that a slice has at least, if there are any
	restRatio  = 4                    // pauses between slices, if the store isn't idle, in durations of a slice
	retryWait  = 5 * time.Second      // after an error
)

// Folder moves rows from recent to messages, in slices: short transactions. It goes
// through the conversations in turn and moves many rows of one at a time, because
// they share pages of the indexes.
//
// Any goroutine may call its methods.
type Folder struct {
	// Max is how many rows may be in recent: maxRows. Write runs a transaction:
	// sqldb.DB.WritePriority. Tests change them before the first append.
	Max   int
	Write func(ctx context.Context, do func(ctx context.Context, tx *sqlx.Tx) error) error

	db     *sqldb.DB
	x      *Index
	log    *slog.Logger
	folded *metrics.Counter
	took   *metrics.PrometheusHistogram

	busy     atomic.Bool  // a transaction of an append is open
	lastEnd  atomic.Int64 // end of the last one, since start
	start    time.Time
	refusals atomic.Int64 // len(refused)

	mu      sync.Mutex
	convs   []int64 // sorted: those that are still to be folded in this round
	rows    int     // of the next slice
	refused map[int64]bool
}

// NewFolder returns a Folder for the rows that x knows. set gets its metrics.
func NewFolder(db *sqldb.DB, x *Index, log *slog.Logger, set *metrics.Set) *Folder {
	f := &Folder{db: db, x: x, log: log, start: time.Now(), Max: maxRows, Write: db.WritePriority, rows: minSlice, refused: make(map[int64]bool),
		folded: set.GetOrCreateCounter("chatd_model_recent_folded_total"),
		took:   set.GetOrCreatePrometheusHistogramExt("chatd_model_recent_slice_seconds", []float64{.001, .002, .005, .01, .02, .05, .1, .5, 1})}
	set.GetOrCreateGauge("chatd_model_recent_messages", func() float64 { return float64(x.Len()) })
	set.GetOrCreateGauge("chatd_model_recent_refused_conversations", func() float64 { return float64(f.refusals.Load()) })
	return f
}

// Began and Ended tell the Folder about transactions of appends. They don't
// block.
func (f *Folder) Began() { f.busy.Store(true) }

// Ended: see Began.
func (f *Folder) Ended() {
	f.lastEnd.Store(int64(time.Since(f.start)))
	f.busy.Store(false)
}

func (f *Folder) idle() bool {
	return !f.busy.Load() && time.Since(f.start)-time.Duration(f.lastEnd.Load()) >= quiet
}

// full reports whether a share of what recent may hold is used.
func (f *Folder) full(share float64) bool {
	rows, bytes := f.x.used()
	return float64(rows) >= share*float64(f.Max) || float64(bytes) >= share*maxBytes
}

// MakeRoom folds if recent is full, until it isn't. It blocks. It returns an error
// if that fails and recent has twice as much as it may hold.
func (f *Folder) MakeRoom(ctx context.Context) error {
	for f.full(1) {
		more, err := f.Slice(ctx)
		if err == nil && !more {
			err = f.stuck()
		}
		if err != nil {
			if f.full(2) {
				return fmt.Errorf("make room for messages: %w", err)
			}
			return nil // Run logs it
		}
	}
	return nil
}

// Run folds whenever the store is idle, until ctx ends. If recent is half full, it
// also folds between appends, for a fifth of the time.
func (f *Folder) Run(ctx context.Context) {
	pause := quiet
	for more := true; ; {
		if !more {
			select {
			case <-ctx.Done():
				return
			case <-f.x.wake:
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if more, pause = true, quiet; !f.idle() && !f.full(0.5) {
			continue
		}
		began := time.Now()
		var err error
		more, err = f.Slice(ctx)
		switch {
		case err != nil:
			more, pause = true, retryWait
			if ctx.Err() == nil {
				f.log.Error("messages not moved to the indexes; retrying", "in", retryWait, "err", err)
			}
		case f.idle():
			pause = 0
		default:
			pause = restRatio * time.Since(began)
		}
	}
}

// All folds all rows. It blocks. It returns the database's errors, and an error
// that names conversations that can't be folded.
func (f *Folder) All(ctx context.Context) error {
	for {
		more, err := f.Slice(ctx)
		if err != nil {
			return err
		}
		if !more {
			return f.stuck()
		}
	}
}

// stuck returns an error if messages refuses rows of some conversations.
func (f *Folder) stuck() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.refused) == 0 {
		return nil
	}
	var convs []int64
	for conv := range f.refused {
		convs = append(convs, conv)
	}
	slices.Sort(convs)
	return fmt.Errorf("something other than chatd has written to the database: two messages have the same seq or cid, in conversations %v (the first 10 at most)",
		convs[:min(len(convs), 10)])
}

// Slice runs one transaction. It returns false if there is nothing to fold. It
// blocks, and returns the database's errors.
func (f *Folder) Slice(ctx context.Context) (more bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.x.isDoubtful() {
		if err := f.reload(ctx); err != nil {
			return true, err
		}
	}
	if len(f.convs) == 0 {
		f.convs = slices.DeleteFunc(f.x.conversations(), func(conv int64) bool { return f.refused[conv] })
	}
	ids, counts := f.nextRows()
	if len(ids) == 0 {
		f.convs = f.convs[:0]
		return false, nil
	}
	err = f.move(ctx, ids)
	switch {
	case err == nil:
		f.moved(counts)
		return true, nil
	case f.db.Classify(err) == sqldb.Duplicate:
		return true, f.isolate(ctx, len(counts))
	}
	return true, err
}

// nextRows returns the rows of a slice, and how many of them each of the next
// conversations has.
func (f *Folder) nextRows() (ids []int64, counts []int) {
	bytes := 0
	for _, conv := range f.convs {
		before := len(ids)
		ids, bytes = f.x.oldest(ids, conv, f.rows, bytes, sliceBytes)
		if counts = append(counts, len(ids)-before); len(ids) == f.rows || bytes >= sliceBytes {
			break
		}
	}
	return ids, counts
}

// moved updates the Index after a slice, and the size of the next one.
func (f *Folder) moved(counts []int) {
	for i, n := range counts {
		f.removed(f.convs[i], n)
	}
	// The last one may have more rows: it comes first in the next slice.
	f.convs = f.convs[len(counts)-1:]
	if !f.x.has(f.convs[0]) {
		f.convs = f.convs[1:]
	}
}

// removed updates the Index after the first n rows of a conversation were moved.
func (f *Folder) removed(conv int64, n int) {
	f.x.remove(conv, n)
	f.folded.Add(n)
}

var errMissing = errors.New("messages that should be in the table recent aren't there")

// move moves rows to messages, in one transaction. As a row is always in one of the
// two tables, no query sees it twice or misses it. After an error, the rows may have
// been moved all the same, except if it is a sqldb.Duplicate.
func (f *Folder) move(ctx context.Context, ids []int64) error {
	list, began := List(ids), time.Time{}
	err := f.Write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		began = time.Now()
		// In this order, rows next to each other go to the same page of an index.
		r, err := tx.ExecContext(ctx, `INSERT OR ROLLBACK INTO messages (`+Columns+`) SELECT `+Columns+` FROM recent
			WHERE id IN (SELECT value FROM json_each(?)) ORDER BY conversation_id, seq`, list)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n != int64(len(ids)) {
			return errors.Join(errMissing, err)
		}
		if _, err = tx.ExecContext(ctx, `DELETE FROM recent WHERE id IN (SELECT value FROM json_each(?))`, list); err != nil {
			return err
		}
		// So that no ID is given twice once recent is empty.
		if _, err = tx.ExecContext(ctx, `UPDATE meta SET value = ? WHERE name = 'recent_last' AND value < ?`, slices.Max(ids), slices.Max(ids)); err != nil {
			return err
		}
		// The commit isn't counted: it takes about as long for fewer rows.
		f.rows = adapt(f.rows, time.Since(began))
		return nil
	})
	switch {
	case err == nil:
		f.took.UpdateDuration(began)
	case f.db.Classify(err) != sqldb.Duplicate:
		f.x.doubt()
	}
	return err
}

// reload reads the rows again, and begins a new round. It blocks appends while it
// does, for about two seconds for each million rows.
func (f *Folder) reload(ctx context.Context) error {
	f.convs = f.convs[:0]
	return f.Write(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return f.x.Reload(ctx, tx) })
}

// isolate handles a slice that messages refuses, because it has the seq or the cid
// of a row already. Only something other than chatd can have written that. isolate
// moves each of the slice's first n conversations by itself. The rows of those that
// are still refused stay in recent, where they can be read, so nothing is lost.
func (f *Folder) isolate(ctx context.Context, n int) error {
	convs := f.convs[:n]
	f.convs = f.convs[n:]
	for _, conv := range convs {
		ids, _ := f.x.oldest(nil, conv, f.rows, 0, sliceBytes)
		err := f.move(ctx, ids)
		switch {
		case err == nil:
			f.removed(conv, len(ids))
		case f.db.Classify(err) == sqldb.Duplicate:
			f.log.Error("messages of a conversation can't be moved to the indexes: it has two messages with the same seq or cid", "conversation", conv, "err", err)
			f.refused[conv] = true
			f.refusals.Add(1)
		default:
			return err
		}
	}
	return nil
}

// adapt returns the size of the next slice, so that its statements take the target
// time.
func adapt(n int, took time.Duration) int {
	want := int(float64(n) * float64(target) / float64(max(took, time.Microsecond)))
	return max(min(max(want, n/2), n+n/4+1, sliceRows), minSlice)
}
