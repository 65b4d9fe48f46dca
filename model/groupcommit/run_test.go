package groupcommit

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// After a message has failed, the later ones of its run fail even though the
// database works again: those in the queue, and those that arrive later. Messages
// of other runs, or without a run, are stored.
func TestRunFails(t *testing.T) {
	run(t, 1, false, Config{}, func(t *testing.T, h *harness) {
		release, commits := make(chan struct{}), 0
		h.db.beforeCommit = func([]*Append) error {
			if commits++; commits > 2 { // the second one follows the ambiguous commit
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
			t.Errorf("failed %s; run failed %t; want the database's error, and a failed run", show(a), first.Failed())
		}
		later := in(first, toGroup(1, 7, "d"))
		h.send(later)
		for _, m := range append(behind, later) {
			if m.Err != ErrRunFailed || m.Stored || m.Seq != 0 || m.Conv != 0 {
				t.Errorf("in the failed run: %s; want ErrRunFailed", show(m))
			}
		}
		for _, m := range free {
			if m.Err != nil || !m.Stored {
				t.Errorf("not in the failed run: %s; want it stored", show(m))
			}
		}
		if n := h.m.runFailed.Get(); n != 3 {
			t.Errorf("%d messages counted as failed with their run, want 3", n)
		}
		again := new(Run)
		h.send(in(again, toGroup(1, 7, "a")), in(again, toGroup(1, 7, "b")))
		if got := h.db.cids(a); !slices.Equal(got, []string{"x", "z", "a", "b"}) {
			t.Errorf("cids in the log = %v, want [x z a b]", got)
		}
	})
}

// A message that may not be stored gets its error, but doesn't fail its run.
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
			t.Errorf("refused %s\nnext %s\nrun failed %t; want the refusal, then a stored message, in a run that has not failed", show(a), show(b), r.Failed())
		}
	})
}

// After Run.Fail, the messages of the run get ErrRunFailed.
func TestFailByCaller(t *testing.T) {
	run(t, 1, false, Config{}, func(t *testing.T, h *harness) {
		r := new(Run)
		r.Fail()
		a := in(r, toGroup(1, 7, "a"))
		h.send(a)
		if a.Err != ErrRunFailed {
			t.Errorf("%s; want ErrRunFailed", show(a))
		}
	})
}

// Deferred messages of a failed run fail as well, and reach the sink after the one
// that failed first.
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
			t.Fatalf("the sink got %d messages, want %d", n, len(batch))
		}
		for i, a := range batch {
			if a.Err == nil || (i > 1) != (a.Err == ErrRunFailed) {
				t.Errorf("message %d: error %v, want the database's error for 0 and 1, ErrRunFailed for the others", i, a.Err)
			}
		}
		if !slices.Equal(h.sunk, batch) {
			t.Errorf("the sink got:%s\nwant the order of sending", showAll(h.sunk))
		}
	})
}
