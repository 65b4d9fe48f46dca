package model

import (
	"context"
	"sync"
	"time"
)

// writer stores what its lane of the queue holds, one transaction after the
// other, and hands each batch over to the goroutine that calls the sink. What
// another node has locked it leaves to a third, which waits.
type writer struct {
	db     *DB
	lane   int
	out    chan []*Append
	free   chan []*Append // batches to be used again
	t      *transaction
	missed missed
	waiter *waiter // nil where there is one writer alone
	done   sync.WaitGroup
}

// newWriters makes the writers that the options ask for.
func newWriters(ctx context.Context, db *DB) ([]*writer, error) {
	var all []*writer
	for i := range db.sql.Dedicated {
		w, err := newWriter(ctx, db, i)
		if err != nil {
			closeWriters(db, all)
			return nil, err
		}
		all = append(all, w)
	}
	sum := func(name string, of func(w *writer) int64) {
		db.m.gauge(name, func() (n float64) {
			for _, w := range all {
				n += float64(of(w))
			}
			return n
		})
	}
	db.m.gauge("chatd_model_queue_messages", func() float64 { n, _ := db.queue.waiting(); return float64(n) })
	db.m.gauge("chatd_model_queue_bytes", func() float64 { _, n := db.queue.waiting(); return float64(n) })
	sum("chatd_model_handover_batches", func(w *writer) int64 { return int64(len(w.out)) })
	sum("chatd_model_conversations_waiting", func(w *writer) int64 { return w.missed.size.Load() })
	sum("chatd_model_pairs_known", func(w *writer) int64 { return w.t.pairs.size.Load() })
	sum("chatd_model_members_known", func(w *writer) int64 { return w.t.members.size.Load() })
	return all, nil
}

func newWriter(ctx context.Context, db *DB, i int) (*writer, error) {
	w := &writer{db: db, lane: i, out: make(chan []*Append, handover), free: make(chan []*Append, handover)}
	var err error
	conns := db.sql.Dedicated[i]
	w.t, err = newTransaction(ctx, db, conns.Conn)
	if err == nil && conns.LockConn != nil {
		if w.waiter, err = newWaiter(ctx, db, conns.LockConn); err != nil {
			w.t.forms.close()
		}
	}
	if err != nil {
		return nil, err
	}
	w.missed.convs = make(map[convKey]*missedConv)
	w.done.Go(w.store)
	w.done.Go(w.sink)
	if w.waiter != nil {
		w.done.Go(w.wait)
	}
	return w, nil
}

// closeWriters has all stored and sunk that was taken, and ends the writers'
// goroutines.
func closeWriters(db *DB, all []*writer) {
	db.queue.close()
	for _, w := range all {
		w.done.Wait()
		w.t.forms.close()
		if w.waiter != nil {
			w.waiter.t.forms.close()
		}
	}
}

func (w *writer) store() {
	for batch := w.next(); batch != nil; batch = w.next() {
		w.db.m.batch.Update(float64(len(batch)))
		err := w.t.settle(batch, !w.shared())
		if batch = w.sortOut(batch); len(batch) > 0 {
			w.out <- batch
		} else {
			w.spare(batch)
		}
		if err != nil && w.db.d.IsDisconnected(err) {
			w.failQueued(err)
		}
	}
	if w.waiter != nil {
		close(w.waiter.jobs) // it is idle: nothing is missed
	}
	close(w.out)
}

// shared says whether other nodes may have a conversation locked.
func (w *writer) shared() bool { return w.waiter != nil }

// next gives the next batch: what was missed and may be tried again, then what
// is new. It waits until there is some. nil: closed, and all is stored.
func (w *writer) next() []*Append {
	for {
		w.takeBack()
		var batch []*Append
		select {
		case batch = <-w.free:
		default:
		}
		batch = w.tryAgain(batch)
		old := len(batch)
		batch, closed := w.db.queue.take(w.lane, batch, w.db.o.MaxBatch, w.db.o.MaxBatchBytes)
		for _, a := range batch[old:] {
			a.given, a.look = 0, false
		}
		if batch = w.lineUp(batch, old); len(batch) > 0 {
			return batch
		}
		w.spare(batch)
		if closed && len(w.missed.convs) == 0 {
			return nil
		}
		if w.db.queue.length(w.lane) == 0 {
			w.idle()
		}
	}
}

// idle waits until something is new, or what was missed is to be tried again.
func (w *writer) idle() {
	wake := w.db.queue.lanes[w.lane].wake
	next, ok := w.missed.next()
	if !ok {
		<-wake
		return
	}
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	select {
	case <-wake:
	case <-timer.C:
	}
}

// failQueued answers what has gathered while the database was away: each of
// these batches would wait as long again. What lines up behind others of its
// conversation keeps its place, and has its outcome after them.
func (w *writer) failQueued(err error) {
	for n := w.db.queue.length(w.lane); n > 0; {
		batch, _ := w.db.queue.take(w.lane, nil, min(n, w.db.o.MaxBatch), w.db.o.MaxBatchBytes)
		if len(batch) == 0 {
			return
		}
		n -= len(batch)
		if batch = w.lineUp(batch, 0); len(batch) > 0 {
			w.t.fail(batch, err)
			w.out <- batch
		}
	}
}

func (w *writer) sink() {
	ctx := context.Background()
	for batch := range w.out {
		if w.db.o.Sink != nil {
			w.db.o.Sink(ctx, batch)
		}
		clear(batch)
		w.spare(batch)
	}
}

// spare keeps a batch's memory.
func (w *writer) spare(batch []*Append) {
	if cap(batch) == 0 {
		return
	}
	select {
	case w.free <- batch[:0]:
	default:
	}
}
