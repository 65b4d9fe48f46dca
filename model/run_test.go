package model

import (
	"database/sql"
	"errors"
	"testing"
)

// Once a message could not be stored, later messages of its run fail as well,
// though the database is back by then. Other runs go on, in the same
// conversation too, and a new run of the same sender does.
func TestRunFails(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(3)
		h.store(toPeer(u[0], u[1], "0"), toPeer(u[0], u[2], "0"))
		run, elsewhere, other := new(Run), new(Run), new(Run)
		on := func(r *Run, a *Append) *Append {
			a.Run = r
			return a
		}
		a := on(run, toPeer(u[0], u[1], "a"))
		inside, release, commits := make(chan struct{}), make(chan struct{}), 0
		h.writers[h.queue.laneOf(a)].t.commit = func(tx *sql.Tx) error {
			if commits++; commits > 2 { // it was tried again after the first
				return tx.Commit()
			}
			if commits == 1 {
				close(inside)
				<-release
			}
			return errors.New("away")
		}
		if err := h.Append(a); err != nil {
			t.Fatal(err)
		}
		<-inside
		b, c := on(run, toPeer(u[0], u[1], "b")), on(elsewhere, toPeer(u[0], u[2], "c"))
		d, e := on(other, toPeer(u[0], u[1], "d")), toPeer(u[1], u[0], "e")
		batch := []*Append{b, c, d, e}
		if err := h.Append(batch...); err != nil {
			t.Fatal(err)
		}
		close(release)
		h.await(append(batch, a)...)
		if a.Err == nil || b.Err != ErrRunFailed || b.Stored || b.Seq != 0 || b.Conv != 0 {
			t.Errorf("want both messages of the run refused, got\n%+v\n%+v", a, b)
		}
		for i, m := range batch[1:] {
			if m.Err != nil || !m.Stored {
				t.Errorf("message %d of other runs: want it stored, got %+v", i, m)
			}
		}
		later := on(run, toPeer(u[0], u[1], "f"))
		h.store(later)
		if later.Err != ErrRunFailed {
			t.Errorf("a later message of the failed run: want ErrRunFailed, got %+v", later)
		}
		fresh := new(Run)
		again, next := on(fresh, toPeer(u[0], u[1], "a")), on(fresh, toPeer(u[0], u[1], "b"))
		h.store(again, next)
		if !again.Stored || next.Seq != again.Seq+1 {
			t.Errorf("a new run: want its messages stored one after the other, got\n%+v\n%+v", again, next)
		}
		if n := h.m.behind.Get(); n != 2 {
			t.Errorf("messages counted as failed with their run: want 2, got %d", n)
		}
	})
}
