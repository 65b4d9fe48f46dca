package groupcommit

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Messages that follow a failed one in its run fail, though the database is
// back: those in the queue, and those that come later. Other runs, and messages
// without a run, are stored.
func TestRunFails(t *testing.T) {
	run(t, 1, false, Config{}, func(t *testing.T, h *harness) {
		release, commits := make(chan struct{}), 0
		h.db.beforeCommit = func([]*Append) error {
			if commits++; commits > 2 { // the second is the attempt after the ambiguous commit
				return nil
			}
			if commits == 1 {
				<-release
			}
			return &fakeError{Permanent}
		}
		first, other, elsewhere := new(Run), new(Run), new(Run)
		a := in(first, toGroup(1, 7, "a"))
		h.send(a)
		behind := []*Append{in(first, toGroup(1, 7, "b")), in(first, toGroup(1, 7, "c"))}
		free := []*Append{in(other, toGroup(2, 7, "x")), in(elsewhere, toGroup(1, 8, "y")), toGroup(1, 7, "z")}
		h.send(append(behind, free...)...)
		close(release)
		synctest.Wait()
		if a.Err == nil || errors.Is(a.Err, ErrRunFailed) || !first.Failed() {
			t.Errorf("the failed message: %v, its run failed: %t; want the database's error", a.Err, first.Failed())
		}
		later := in(first, toGroup(1, 7, "d"))
		h.send(later)
		for _, m := range append(behind, later) {
			if m.Err != ErrRunFailed || m.Stored || m.Seq != 0 || m.Conv != 0 {
				t.Errorf("in the failed run: %+v, want ErrRunFailed", m)
			}
		}
		for _, m := range free {
			if m.Err != nil || !m.Stored {
				t.Errorf("in no failed run: %+v, want it stored", m)
			}
		}
		if n := h.m.runFailed.Get(); n != 3 {
			t.Errorf("%d messages counted as failed with their run, want 3", n)
		}
		again := new(Run)
		h.send(in(again, toGroup(1, 7, "a")), in(again, toGroup(1, 7, "b")))
		if got := h.db.cids(a); !slices.Equal(got, []string{"x", "z", "a", "b"}) {
			t.Errorf("the log has %v, want x z a b", got)
		}
	})
}

// A message that may not be stored has not failed its run: the sender gets its
// error and goes on.
func TestRefusalDoesNotFailTheRun(t *testing.T) {
	refused := errors.New("not allowed")
	run(t, 1, false, Config{}, func(t *testing.T, h *harness) {
		h.db.beforeApply = func(batch []*Append) error {
			for _, a := range batch {
				if string(a.CID) == "refused" {
					a.Err = refused
				}
			}
			return nil
		}
		r := new(Run)
		a, b := in(r, toGroup(1, 7, "refused")), in(r, toGroup(1, 7, "next"))
		h.send(a, b)
		if a.Err != refused || !b.Stored || r.Failed() {
			t.Errorf("%v, then %+v, the run failed: %t; want the refusal, and the next one stored", a.Err, b, r.Failed())
		}
	})
}

// The sender's side may fail a run itself.
func TestFailByCaller(t *testing.T) {
	run(t, 1, false, Config{}, func(t *testing.T, h *harness) {
		r := new(Run)
		r.Fail()
		a := in(r, toGroup(1, 7, "a"))
		h.send(a)
		if a.Err != ErrRunFailed {
			t.Errorf("%+v, want ErrRunFailed", a)
		}
	})
}

// Deferred messages of a failed run fail as well, after the one that failed.
func TestRunFailsWhileDeferred(t *testing.T) {
	run(t, 1, true, Config{MaxBatch: 2}, func(t *testing.T, h *harness) {
		r := new(Run)
		var batch []*Append
		for _, cid := range []string{"a", "b", "c", "d", "e"} {
			batch = append(batch, in(r, toGroup(1, 7, cid)))
		}
		h.db.lock(batch[0], true)
		h.send(batch...)
		time.Sleep(500 * time.Millisecond) // the lock waiter has the first two
		h.db.beforeApply = func(batch []*Append) error {
			h.db.beforeApply = nil
			return nil
		}
		h.db.beforeCommit = func([]*Append) error {
			h.db.beforeCommit = func([]*Append) error {
				h.db.beforeCommit = nil
				return &fakeError{Permanent}
			}
			return &fakeError{Permanent}
		}
		h.db.lock(batch[0], false)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := h.done(batch...); n != len(batch) {
			t.Fatalf("%d of %d messages have an outcome", n, len(batch))
		}
		for i, a := range batch {
			if a.Err == nil || (i > 1) != (a.Err == ErrRunFailed) {
				t.Errorf("message %d: %v, want the database's error for 0 and 1, ErrRunFailed for the others", i, a.Err)
			}
		}
		if !slices.Equal(h.sunk, batch) {
			t.Error("the outcomes were not sunk in the order of sending")
		}
	})
}
