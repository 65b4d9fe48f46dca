package groupcommit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// fakeError is an error that Classify gives this class.
type fakeError struct{ class Class }

func (e *fakeError) Error() string { return fmt.Sprint("error of class ", e.class) }

// fakeDB is a log in memory. With hooks, tests make transactions fail. With lock,
// they lock conversations as another process would.
type fakeDB struct {
	mu      sync.Mutex
	log     map[convKey][]*Append
	locked  map[convKey]bool
	missing map[convKey]bool // conversations that must be created
	changed chan struct{}    // closed and replaced when locked changes

	beforeApply  func(batch []*Append) error
	beforeCommit func(batch []*Append) error // if it returns an error, Commit fails and nothing is stored
	afterCommit  func(batch []*Append) error // if it returns an error, Commit fails although all is stored
}

func newFakeDB() *fakeDB {
	return &fakeDB{log: make(map[convKey][]*Append), locked: make(map[convKey]bool), missing: make(map[convKey]bool), changed: make(chan struct{})}
}

const fakeLockTimeout = time.Second

// lock locks or unlocks the conversation of a.
func (db *fakeDB) lock(a *Append, on bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.locked[convOf(a)] = on
	close(db.changed)
	db.changed = make(chan struct{})
}

func (db *fakeDB) isLocked(k convKey) (bool, chan struct{}) {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.locked[k], db.changed
}

// cids returns the cids in the log of a's conversation.
func (db *fakeDB) cids(a *Append) (all []string) {
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, m := range db.log[convOf(a)] {
		all = append(all, string(m.CID))
	}
	return all
}

func (db *fakeDB) find(k convKey, a *Append) int {
	for i, m := range db.log[k] {
		if m.Sender == a.Sender && string(m.CID) == string(a.CID) {
			return i + 1
		}
	}
	return 0
}

// fakeStep is a Step on a fakeDB. It panics if its methods are called in a wrong
// order or at the same time.
type fakeStep struct {
	db     *fakeDB
	inUse  atomic.Bool
	open   bool
	closed bool
	batch  []*Append
	last   map[convKey]int // last seqs in this transaction
	insert []*Append
}

func (s *fakeStep) enter(method string, open bool) (leave func()) {
	if s.inUse.Swap(true) || s.closed || s.open != open {
		panic(fmt.Sprintf("%s called with transaction open: %t (want %t), closed: %t, or while another method runs", method, s.open, open, s.closed))
	}
	return func() { s.inUse.Store(false) }
}

func (s *fakeStep) Begin(ctx context.Context) error {
	defer s.enter("Begin", false)()
	if ctx.Err() != nil {
		return &fakeError{Disconnected}
	}
	s.open, s.last, s.insert = true, make(map[convKey]int), nil
	return nil
}

func (s *fakeStep) Apply(_ context.Context, batch []*Append, wait bool) error {
	defer s.enter("Apply", true)()
	s.batch = batch
	if s.db.beforeApply != nil {
		if err := s.db.beforeApply(batch); err != nil {
			return err
		}
	}
	// Lock a conversation once for all of its messages, as a database locks its
	// row.
	for _, messages := range byConversation(batch) {
		if err := s.waitOrDefer(messages, wait); err != nil {
			return err
		}
	}
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	for _, a := range batch {
		if !a.Pending() {
			continue
		}
		k := convOf(a)
		if _, ok := s.last[k]; !ok {
			s.last[k] = len(s.db.log[k])
		}
		a.Conv = k.group + k.lo<<20 + k.hi
		seq := s.db.find(k, a)
		switch {
		case seq == 0:
			s.last[k]++
			a.Seq, a.Stored = int64(s.last[k]), true
			s.insert = append(s.insert, a)
		case a.MayRepeat():
			a.AnswerRepeat(int64(seq), 0)
		default:
			return &fakeError{Duplicate}
		}
	}
	return nil
}

// waitOrDefer waits for the lock of a conversation, or defers its messages.
func (s *fakeStep) waitOrDefer(messages []*Append, wait bool) error {
	k := convOf(messages[0])
	s.db.mu.Lock()
	missing := s.db.missing[k]
	s.db.mu.Unlock()
	if missing && !wait {
		for _, a := range messages {
			if a.Pending() {
				a.DeferUntilCreated()
			}
		}
		return nil
	}
	timeout := time.After(fakeLockTimeout)
	for {
		locked, changed := s.db.isLocked(k)
		if !locked {
			break
		}
		if !wait {
			for _, a := range messages {
				if a.Pending() {
					a.Defer()
				}
			}
			return nil
		}
		select {
		case <-changed:
		case <-timeout:
			return &fakeError{LockTimeout}
		}
	}
	s.db.mu.Lock()
	delete(s.db.missing, k)
	s.db.mu.Unlock()
	return nil
}

func (s *fakeStep) Commit() error {
	defer s.enter("Commit", true)()
	s.open = false
	if s.db.beforeCommit != nil {
		if err := s.db.beforeCommit(s.batch); err != nil {
			return err
		}
	}
	s.db.mu.Lock()
	for _, a := range s.insert {
		k := convOf(a)
		s.db.log[k] = append(s.db.log[k], a)
		if len(s.db.log[k]) != int(a.Seq) {
			panic(fmt.Sprintf("message %d of the log has seq %d", len(s.db.log[k]), a.Seq))
		}
	}
	for _, a := range s.batch {
		if a.Pending() {
			a.Last = int64(s.last[convOf(a)])
		}
	}
	s.db.mu.Unlock()
	if s.db.afterCommit != nil {
		return s.db.afterCommit(s.batch)
	}
	return nil
}

func (s *fakeStep) Rollback() {
	defer s.enter("Rollback", true)()
	s.open = false
}

func (s *fakeStep) Classify(err error) Class {
	var e *fakeError
	if errors.As(err, &e) {
		return e.class
	}
	return Permanent
}

func (s *fakeStep) Close() {
	defer s.enter("Close", false)()
	s.closed = true
}

// harness is a Committer on a fakeDB. Its sink records the messages it gets.
type harness struct {
	*Committer
	t     *testing.T
	db    *fakeDB
	steps []*fakeStep
	mu    sync.Mutex
	sunk  []*Append
}

// run runs a test in a synctest bubble with a number of writers. With wait, each
// writer has a lock waiter; without it, no other process writes.
func run(t *testing.T, writers int, wait bool, c Config, test func(t *testing.T, h *harness)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := start(t, writers, wait, c)
		test(t, h)
		h.Close()
		for i, s := range h.steps {
			if !s.closed {
				t.Errorf("step %d was not closed", i)
			}
		}
		if n, bytes := h.queue.waiting(); n != 0 || bytes != 0 {
			t.Errorf("%d messages with %d bytes are counted as waiting after Close, want 0", n, bytes)
		}
	})
}

func start(t *testing.T, writers int, wait bool, c Config) *harness {
	h := &harness{t: t, db: newFakeDB()}
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.MaxBatch, 1024)
	def(&c.MaxBatchBytes, 4<<20)
	def(&c.QueueMessages, 64<<10)
	def(&c.QueueBytes, 64<<20)
	c.Logger, c.Set = slog.New(slog.DiscardHandler), metrics.NewSet()
	c.Sink = func(_ context.Context, batch []*Append) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.sunk = append(h.sunk, batch...)
	}
	var steps []Steps
	step := func() *fakeStep {
		s := &fakeStep{db: h.db}
		h.steps = append(h.steps, s)
		return s
	}
	for range writers {
		s := Steps{Main: step()}
		if wait {
			s.Wait = step()
		}
		steps = append(steps, s)
	}
	h.Committer = New(c, steps)
	return h
}

// show describes a message and its outcome.
func show(a *Append) string {
	return fmt.Sprintf("message %q of user %d: stored %t, conversation %d, seq %d, last %d, error %v",
		a.CID, a.Sender, a.Stored, a.Conv, a.Seq, a.Last, a.Err)
}

// showAll describes messages, one a line.
func showAll(batch []*Append) (s string) {
	for _, a := range batch {
		s += "\n" + show(a)
	}
	return s
}

// send appends messages and lets all goroutines run until they block.
func (h *harness) send(batch ...*Append) {
	h.t.Helper()
	if err := h.Append(batch...); err != nil {
		h.t.Fatal(err)
	}
	synctest.Wait()
}

// done returns how many of the messages the sink has got.
func (h *harness) done(batch ...*Append) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range batch {
		for _, b := range h.sunk {
			if a == b {
				n++
			}
		}
	}
	return n
}

func toGroup(sender, group int64, cid string) *Append {
	return &Append{Sender: sender, Group: group, CID: []byte(cid), Body: []byte("body of " + cid)}
}

func toPeer(sender, peer int64, cid string) *Append {
	return &Append{Sender: sender, Peer: peer, CID: []byte(cid), Body: []byte("body of " + cid)}
}

// in makes a message part of a run, and returns the message.
func in(r *Run, a *Append) *Append {
	a.Run = r
	return a
}
