package model

import (
	"database/sql"
	"errors"
	"testing"
)

// What follows a message that failed, on its line and in its conversation,
// isn't stored before it, though the database is back by then; others aren't
// concerned. Once the sender knows, the line goes on.
func TestLine(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(3)
		h.store(toPeer(u[0], u[1], "0"), toPeer(u[0], u[2], "0"))
		line, other := new(Line), new(Line)
		on := func(l *Line, round int64, a *Append) *Append {
			a.Line, a.Round = l, round
			return a
		}
		a := on(line, 0, toPeer(u[0], u[1], "a"))
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
		b, elsewhere := on(line, 0, toPeer(u[0], u[1], "b")), on(line, 0, toPeer(u[0], u[2], "c"))
		another, answer := on(other, 0, toPeer(u[0], u[1], "d")), toPeer(u[1], u[0], "e")
		batch := []*Append{b, elsewhere, another, answer}
		if err := h.Append(batch...); err != nil {
			t.Fatal(err)
		}
		close(release)
		h.await(append(batch, a)...)
		if a.Err == nil || b.Err != ErrBehind || b.Stored || b.Seq != 0 || b.Conv != 0 {
			t.Errorf("the failed one, and the one behind it:\n%+v\n%+v", a, b)
		}
		for i, m := range batch[1:] {
			if m.Err != nil || !m.Stored {
				t.Errorf("number %d, which isn't concerned: %+v", i, m)
			}
		}
		unknowing := on(line, 0, toPeer(u[0], u[1], "f"))
		h.store(unknowing)
		if unknowing.Err != ErrBehind {
			t.Errorf("sent without knowing: %+v", unknowing)
		}
		again, next := on(line, 1, toPeer(u[0], u[1], "a")), on(line, 1, toPeer(u[0], u[1], "b"))
		h.store(again, next)
		if !again.Stored || next.Seq != again.Seq+1 {
			t.Errorf("sent again:\n%+v\n%+v", again, next)
		}
		line.Mended(again)
		last := on(line, 0, toPeer(u[0], u[1], "g"))
		h.store(last)
		if last.Seq != next.Seq+1 || line.broken.Load() != 0 {
			t.Errorf("mended: %+v", last)
		}
		if n := h.m.behind.Get(); n != 2 {
			t.Errorf("%d counted as behind", n)
		}
	})
}

// A line that fails again in a later round isn't mended by what was stored of
// an earlier one.
func TestLineFailsAgain(t *testing.T) {
	l := new(Line)
	at := func(round int64) *Append {
		a := toPeer(1, 2, "x")
		a.Line, a.Round = l, round
		return a
	}
	l.fail(at(0))
	l.fail(at(1))
	l.fail(at(0)) // another of the first round, told late
	l.Mended(at(1))
	if !l.stops(at(1)) || l.stops(at(2)) {
		t.Error("the later failure is forgotten, or never")
	}
	l.Mended(at(2))
	if l.stops(at(0)) {
		t.Error("never mended")
	}
}
