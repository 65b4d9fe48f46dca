package model

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Append is a message on its way into the log. What the caller sets first
// must not change until the sink has it.
type Append struct {
	Sender      int64
	Group, Peer int64  // exactly one is set; Peer may be Sender: notes
	CID, Body   []byte // owned by the Append; neither is empty
	Retry       bool   // the sender isn't sure whether it was stored before
	Owner       any    // the caller's; untouched

	// The outcome, set before the sink sees it.
	Conv, Seq int64
	Time      int64 // Unix ms
	Version   int64 // of the group's membership
	Last      int64 // the conversation's last seq after this batch
	Stored    bool  // false with Err nil: answered from the log, a repeat of its cid
	Err       error // ErrNotFound, ErrNotAllowed, or the database could not

	given int64 // the seq that a COMMIT of unknown outcome gave
}

// appendOverhead is what a message costs the queue besides its bytes.
const appendOverhead = 128

var errMalformed = errors.New("append: want a cid, a body, and a group or a peer")

func (a *Append) size() int { return len(a.CID) + len(a.Body) + appendOverhead }

func (a *Append) malformed() bool {
	return len(a.CID) == 0 || len(a.Body) == 0 || (a.Group == 0) == (a.Peer == 0)
}

// Append takes messages to be stored, in the order of the calls in each
// conversation; the sink gets the outcome. It never blocks. ErrBusy: too many
// are waiting, none of these was taken. ErrClosed.
func (db *DB) Append(batch ...*Append) error {
	err := db.writer.queue.put(batch)
	if errors.Is(err, ErrBusy) {
		db.m.refused.Add(len(batch))
	}
	return err
}

// queue holds messages until a transaction takes them. While one runs, the
// next one's gather.
type queue struct {
	maxMessages, maxBytes int

	mu      sync.Mutex
	entries []entry
	head    int // entries before it are taken
	bytes   int
	closed  bool

	wake chan struct{}
}

type entry struct {
	a    *Append
	size int
}

func (q *queue) put(batch []*Append) error {
	bytes := 0
	for _, a := range batch {
		bytes += a.size()
	}
	q.mu.Lock()
	switch {
	case q.closed:
		q.mu.Unlock()
		return ErrClosed
	case len(q.entries)-q.head+len(batch) > q.maxMessages || q.bytes+bytes > q.maxBytes:
		q.mu.Unlock()
		return ErrBusy
	}
	if q.head > 0 && len(q.entries)+len(batch) > cap(q.entries) {
		n := copy(q.entries, q.entries[q.head:])
		clear(q.entries[n:])
		q.entries, q.head = q.entries[:n], 0
	}
	for _, a := range batch {
		q.entries = append(q.entries, entry{a, a.size()})
	}
	q.bytes += bytes
	q.mu.Unlock()
	q.poke()
	return nil
}

// take gives what has gathered, up to the bounds of a batch but at least one,
// and waits until there is one. nil: closed, and all is taken.
func (q *queue) take(into []*Append, maxMessages, maxBytes int) []*Append {
	for {
		q.mu.Lock()
		bytes := 0
		for q.head < len(q.entries) && len(into) < maxMessages {
			e := &q.entries[q.head]
			if len(into) > 0 && bytes+e.size > maxBytes {
				break
			}
			into = append(into, e.a)
			bytes += e.size
			*e = entry{}
			q.head++
		}
		if q.head == len(q.entries) {
			q.entries, q.head = q.entries[:0], 0
		}
		q.bytes -= bytes
		closed := q.closed
		q.mu.Unlock()
		if len(into) > 0 {
			return into
		}
		if closed {
			return nil
		}
		<-q.wake
	}
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.poke()
}

func (q *queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) waiting() (messages, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.entries) - q.head, q.bytes
}

// writer stores what its queue holds, one transaction after the other, and
// hands each batch over to the goroutine that calls the sink.
type writer struct {
	db    *DB
	queue *queue
	out   chan []*Append
	free  chan []*Append // batches to be used again
	done  sync.WaitGroup
	t     *transaction
}

func newWriter(ctx context.Context, db *DB) (*writer, error) {
	t, err := newTransaction(ctx, db)
	if err != nil {
		return nil, err
	}
	w := &writer{
		db:    db,
		queue: &queue{maxMessages: db.o.QueueMessages, maxBytes: db.o.QueueBytes, wake: make(chan struct{}, 1)},
		out:   make(chan []*Append, handover),
		free:  make(chan []*Append, handover),
		t:     t,
	}
	db.m.gauge("chatd_model_queue_messages", func() float64 { n, _ := w.queue.waiting(); return float64(n) })
	db.m.gauge("chatd_model_queue_bytes", func() float64 { _, n := w.queue.waiting(); return float64(n) })
	db.m.gauge("chatd_model_handover_batches", func() float64 { return float64(len(w.out)) })
	db.m.gauge("chatd_model_pairs_known", func() float64 { return float64(w.t.pairs.size.Load()) })
	db.m.gauge("chatd_model_members_known", func() float64 { return float64(w.t.members.size.Load()) })
	w.done.Go(w.store)
	w.done.Go(w.sink)
	return w, nil
}

// close stores and sinks what was taken, and ends both goroutines.
func (w *writer) close() error {
	w.queue.close()
	w.done.Wait()
	return w.t.forms.close()
}

func (w *writer) store() {
	defer close(w.out)
	for {
		var into []*Append
		select {
		case into = <-w.free:
		default:
		}
		batch := w.queue.take(into, w.db.o.MaxBatch, w.db.o.MaxBatchBytes)
		if batch == nil {
			return
		}
		w.db.m.batch.Update(float64(len(batch)))
		w.settle(batch)
		w.out <- batch
	}
}

func (w *writer) sink() {
	ctx := context.Background()
	for batch := range w.out {
		if w.db.o.Sink != nil {
			w.db.o.Sink(ctx, batch)
		}
		clear(batch)
		select {
		case w.free <- batch[:0]:
		default:
		}
	}
}

// settle stores a batch and sets the outcome of each of its messages. One
// that can't be stored takes no other with it: where the database refuses a
// batch for good, each conversation gets a transaction of its own.
func (w *writer) settle(batch []*Append) {
	ctx := context.Background()
	err := w.try(ctx, batch)
	if err == nil {
		w.count(batch)
		return
	}
	parts := byConversation(batch)
	if len(parts) == 1 || w.db.d.transient(err) {
		w.fail(batch, err)
		return
	}
	for _, part := range parts {
		if err := w.try(ctx, part); err != nil {
			w.fail(part, err)
			continue
		}
		w.count(part)
	}
}

// try runs the transaction, and again where its outcome may be in the log: a
// cid that is stored already, or a COMMIT that failed and may have stored all.
// The second time every cid is looked up, under the lock.
func (w *writer) try(ctx context.Context, batch []*Append) error {
	for _, a := range batch {
		a.given = 0
	}
	err := w.t.run(ctx, batch, false)
	if err == nil {
		return nil
	}
	w.db.m.rollbacks.Inc()
	var unsure *commitError
	switch {
	case w.db.d.unique(err):
		w.db.m.duplicates.Inc()
	case errors.As(err, &unsure):
		for _, a := range batch {
			if a.Stored {
				a.given = a.Seq
			}
		}
	default:
		return err
	}
	if err = w.t.run(ctx, batch, true); err != nil {
		w.db.m.rollbacks.Inc()
	}
	return err
}

func (w *writer) fail(batch []*Append, err error) {
	w.db.o.Logger.Error("messages not stored", "messages", len(batch), "err", err)
	w.db.m.failed.Add(len(batch))
	err = fmt.Errorf("append: %w", err)
	for _, a := range batch {
		a.Conv, a.Seq, a.Time, a.Version, a.Last, a.Stored = 0, 0, 0, 0, 0, false
		a.Err = err
	}
}

func (w *writer) count(batch []*Append) {
	stored, repeated := 0, 0
	for _, a := range batch {
		switch {
		case a.Stored:
			stored++
		case a.Err == nil:
			repeated++
		}
	}
	w.db.m.stored.Add(stored)
	w.db.m.repeated.Add(repeated)
}

// byConversation splits a batch, the order within each conversation kept.
func byConversation(batch []*Append) [][]*Append {
	type key struct {
		group int64
		pair  pair
	}
	at := make(map[key]int)
	var parts [][]*Append
	for _, a := range batch {
		k := key{group: a.Group}
		if a.Group == 0 {
			k.pair = pairOf(a.Sender, a.Peer)
		}
		i, ok := at[k]
		if !ok {
			i = len(parts)
			at[k] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], a)
	}
	return parts
}
