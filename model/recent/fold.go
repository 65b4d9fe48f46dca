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
	// row, the Index takes about 200 bytes of memory.
	maxRows  = 256 << 10
	maxBytes = 256 << 20

	quiet      = 5 * time.Millisecond   // without appends; then the store counts as idle
	unread     = 100 * time.Millisecond // without reads of messages, before the Folder works
	target     = 3 * time.Millisecond   // for the statements of a slice
	sliceRows  = 4096                   // most rows in a slice
	sliceBytes = 512 << 10              // most bytes in a slice
	minSlice   = 64                     // rows that a slice has at least, if there are any
	restRatio  = 4                      // pauses between slices, if the store isn't idle, in durations of a slice
	retryWait  = 5 * time.Second        // after an error
)

// Folder moves rows from recent to messages, in slices: short transactions. In a
// round, it goes through the conversations and copies many rows of one at a time,
// because they share pages of the indexes. Then it deletes the rows from recent,
// where they are next to each other.
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
	lastRead atomic.Int64 // since start
	start    time.Time
	refusals atomic.Int64 // len(refused)

	mu      sync.Mutex
	top     int64   // the newest row of this round
	convs   []int64 // those with rows of this round that are still to be copied
	rows    int     // of the next slice that copies
	refused map[int64]bool

	until  int64 // rows up to this one are copied or refused; 0: none
	next   int64 // the next row to delete
	window int64 // IDs of the next slice that deletes

	copied    amount // in this round
	deletable amount // in the rounds before, and not deleted yet

	failed atomic.Int64 // when copying failed, since start; 0: it didn't
}

// amount is a number of rows, and the bytes of their cids and bodies.
type amount struct{ rows, bytes int }

// reaches reports whether a is at least a share of what recent may hold.
func (f *Folder) reaches(a amount, share float64) bool {
	return float64(a.rows) >= share*float64(f.Max) || float64(a.bytes) >= share*maxBytes
}

// NewFolder returns a Folder for the rows that x knows. set gets its metrics.
func NewFolder(db *sqldb.DB, x *Index, log *slog.Logger, set *metrics.Set) *Folder {
	f := &Folder{db: db, x: x, log: log, start: time.Now(), Max: maxRows, Write: db.WritePriority, rows: minSlice, window: minSlice, refused: make(map[int64]bool),
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
	f.lastEnd.Store(f.now())
	f.busy.Store(false)
}

// Read tells the Folder that messages are read. It doesn't block. After each commit,
// SQLite's readers map the database file into memory again, so the Folder waits
// while many messages are read.
func (f *Folder) Read() { f.lastRead.Store(f.now()) }

func (f *Folder) now() int64 { return int64(time.Since(f.start)) }

// idle reports whether neither an append nor a read is in the Folder's way.
func (f *Folder) idle() bool {
	return !f.busy.Load() && f.now()-f.lastEnd.Load() >= int64(quiet) && !f.reading()
}

func (f *Folder) reading() bool { return f.now()-f.lastRead.Load() < int64(unread) }

// Full reports whether recent has as much as it may hold. It doesn't block.
func (f *Folder) Full() bool { return f.full(1) }

// full reports whether a share of what recent may hold is used.
func (f *Folder) full(share float64) bool {
	return f.reaches(f.x.used(), share)
}

// MakeRoom copies rows if recent is full, until it isn't. It also deletes copied rows
// if there are as many. It blocks. It returns an error if copying fails and recent
// has twice as much as it may hold.
func (f *Folder) MakeRoom(ctx context.Context) error {
	for more := true; more; {
		var err error
		if more, err = f.deleteIf(ctx, 1); err != nil {
			break // Run logs it
		}
	}
	for f.full(1) {
		if at := f.failed.Load(); at > 0 && f.now()-at < int64(retryWait) && !f.full(2) {
			return nil
		}
		more, err := f.copySlice(ctx)
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
// also folds between appends, for a fifth of the time, and if it is almost full, even
// between reads.
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
		if more, pause = true, quiet; !f.idle() && !f.urgent() {
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
			pause = time.Since(began) // leave half of a core to others
		default:
			pause = restRatio * time.Since(began)
		}
	}
}

// urgent reports whether Run should work although the store isn't idle.
func (f *Folder) urgent() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	share := 0.5
	if f.reading() {
		share = 0.9
	}
	return f.full(share) || f.reaches(f.deletable, share)
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

// Slice runs one transaction. It returns false if there is nothing to do. It
// blocks, and returns the database's errors.
func (f *Folder) Slice(ctx context.Context) (more bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.until == 0 {
		f.until = f.x.takeLeftover()
	}
	if f.until > 0 {
		return true, f.delete(ctx)
	}
	return f.copy(ctx)
}

// deleteIf runs a slice that deletes, if the rows to delete reach a share of what
// recent may hold.
func (f *Folder) deleteIf(ctx context.Context, share float64) (more bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.until == 0 || !f.reaches(f.deletable, share) {
		return false, nil
	}
	return true, f.delete(ctx)
}

func (f *Folder) copySlice(ctx context.Context) (more bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.copy(ctx)
}

// copy runs a slice that copies rows to messages. It returns false if there are
// none.
func (f *Folder) copy(ctx context.Context) (more bool, err error) {
	if f.x.isDoubtful() {
		if err := f.reload(ctx); err != nil {
			return true, err
		}
	}
	if len(f.convs) == 0 {
		f.top = f.x.Last() // first: rows that are added meanwhile are newer
		f.convs = slices.DeleteFunc(f.x.conversations(), func(conv int64) bool { return f.refused[conv] })
	}
	if len(f.convs) == 0 {
		return false, nil
	}
	ids, counts := f.nextRows()
	err = f.insert(ctx, ids)
	switch {
	case err == nil:
		f.advance(counts)
	case f.db.Classify(err) == sqldb.Duplicate:
		err = f.isolate(ctx, len(counts))
	}
	if f.failed.Store(0); err != nil {
		f.failed.Store(max(f.now(), 1))
	}
	return true, err
}

// nextRows returns the rows of a slice, and how many of them each of the next
// conversations has. The first one has at least one.
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

// advance updates the Index after a slice.
func (f *Folder) advance(counts []int) {
	for i, n := range counts {
		f.removed(f.convs[i], n)
	}
	// The last one may have more rows of this round: it comes first in the next slice.
	if last := len(counts) - 1; f.x.hasUntil(f.convs[last], f.top) {
		f.complete(last)
	} else {
		f.complete(last + 1)
	}
}

// complete records that the first n conversations of the round are copied, or can't
// be.
func (f *Folder) complete(n int) {
	if f.convs = f.convs[n:]; len(f.convs) == 0 {
		f.until = max(f.until, f.top)
		f.deletable.rows += f.copied.rows
		f.deletable.bytes += f.copied.bytes
		f.copied = amount{}
	}
}

// removed updates the Index after the first n rows of a conversation were copied.
func (f *Folder) removed(conv int64, n int) {
	f.copied.rows += n
	f.copied.bytes += f.x.remove(conv, n)
	f.folded.Add(n)
}

var errMissing = errors.New("messages are missing from the table recent")

// insert copies rows to messages, in one transaction. From its commit on, queries
// find them there, and leave them out of recent. If the commit returns an error, they
// may have been copied all the same.
func (f *Folder) insert(ctx context.Context, ids []int64) error {
	err := f.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		began := time.Now()
		// In this order, rows next to each other go to the same page of an index.
		r, err := tx.ExecContext(ctx, `INSERT OR ROLLBACK INTO messages (`+Columns+`) SELECT `+Columns+` FROM recent
			WHERE id IN (SELECT value FROM json_each(?)) ORDER BY conversation_id, seq`, List(ids))
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n != int64(len(ids)) {
			return errors.Join(errMissing, err)
		}
		f.rows = adapt(f.rows, time.Since(began))
		return nil
	})
	var commit *sqldb.CommitError
	if errors.As(err, &commit) || errors.Is(err, errMissing) {
		f.x.doubt()
	}
	return err
}

// delete runs a slice that deletes rows that are in messages, too.
func (f *Folder) delete(ctx context.Context) error {
	next, done := f.next, false
	err := f.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		began := time.Now()
		var first int64
		if err := tx.GetContext(ctx, &first, `SELECT COALESCE(MIN(id), 0) FROM recent WHERE id >= ?`, f.next); err != nil {
			return err
		}
		next, done = first+f.window, first == 0 || first+f.window > f.until
		_, err := tx.ExecContext(ctx, `DELETE FROM recent WHERE id >= ? AND id < ? AND id <= ? AND EXISTS (SELECT 1 FROM messages m
			WHERE m.conversation_id = recent.conversation_id AND m.seq = recent.seq AND m.sender_id = recent.sender_id AND m.cid = recent.cid)`,
			first, next, f.until)
		if err != nil {
			return err
		}
		f.window = int64(adapt(int(f.window), time.Since(began)))
		if !done {
			return nil
		}
		// So that no ID is given twice once recent is empty.
		_, err = tx.ExecContext(ctx, `UPDATE meta SET value = ? WHERE name = 'recent_last' AND value < ?`, f.until, f.until)
		return err
	})
	switch {
	case err != nil:
	case done:
		f.next, f.until, f.deletable = 0, 0, amount{} // the next time, start with the oldest row: it may be copied by then
	default:
		f.next = next
	}
	return err
}

// write runs a transaction and measures it.
func (f *Folder) write(ctx context.Context, do func(ctx context.Context, tx *sqlx.Tx) error) error {
	var began time.Time
	err := f.Write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		began = time.Now()
		return do(ctx, tx)
	})
	if err == nil {
		f.took.UpdateDuration(began)
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
// copies a slice of each of the first n conversations by itself. The rows of those
// that are still refused stay in recent, where they can be read, so nothing is lost.
func (f *Folder) isolate(ctx context.Context, n int) error {
	for ; n > 0; n-- {
		conv := f.convs[0]
		ids, _ := f.x.oldest(nil, conv, f.rows, 0, sliceBytes)
		err := f.insert(ctx, ids)
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
		if f.refused[conv] || !f.x.hasUntil(conv, f.top) {
			f.complete(1)
		} else {
			f.convs = append(f.convs[1:], conv) // the rest of it comes last
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
