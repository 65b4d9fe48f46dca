package model

import (
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/VictoriaMetrics/metrics"
)

// Where the database goes away while another node holds a conversation, what
// has gathered for that one fails after what waits for it already, not before:
// a sender is answered in the order of sending, and sends again in that order.
func TestFailQueuedLinesUp(t *testing.T) {
	db := &DB{queue: newQueue(1, 100, 1<<20), m: newCounters(metrics.NewSet()),
		o: Options{Logger: slog.New(slog.DiscardHandler), MaxBatch: 100, MaxBatchBytes: 1 << 20}}
	w := &writer{db: db, out: make(chan []*Append, 10), t: &transaction{db: db}}
	first := toGroup(1, 7, "first")
	c := &missedConv{key: convOf(first), batch: []*Append{first}, waiting: true}
	w.missed.convs, w.missed.order = map[convKey]*missedConv{c.key: c}, []*missedConv{c}
	second, other, third := toGroup(1, 7, "second"), toGroup(1, 8, "other"), toGroup(1, 7, "third")
	want(t, db.queue.put([]*Append{second, other, third}), nil)
	w.failQueued(errors.New("away"))
	close(w.out)
	var failed []*Append
	for batch := range w.out {
		failed = append(failed, batch...)
	}
	if len(failed) != 1 || failed[0] != other || other.Err == nil {
		t.Errorf("failed at once: %+v", failed)
	}
	if !slices.Equal(c.batch, []*Append{first, second, third}) || second.Err != nil {
		t.Errorf("lined up: %+v", c.batch)
	}
	if n, bytes := db.queue.waiting(); n != 2 || bytes != second.size()+third.size() {
		t.Errorf("%d messages with %d bytes are counted as waiting", n, bytes)
	}
}
