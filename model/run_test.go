package model

import (
	"database/sql"
	"errors"
	"sync/atomic"
	"testing"
)

// After a commit has failed twice, later messages of the run aren't stored, even
// though the database works again. A new run continues at the end of the log.
// (Package groupcommit has more tests of runs, with a step in memory.)
func TestFailedCommitFailsTheRun(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		h.store(toPeer(u[0], u[1], "0"))
		run := new(Run)
		in := func(r *Run, cid string) *Append {
			a := toPeer(u[0], u[1], cid)
			a.Run = r
			return a
		}
		inside, release := make(chan struct{}), make(chan struct{})
		var commits atomic.Int32
		h.commits(func(tx *sql.Tx) error {
			switch commits.Add(1) {
			case 1:
				close(inside)
				<-release
				return errors.New("away")
			case 2: // after the first failure the batch is retried
				return errors.New("away")
			}
			return tx.Commit()
		})
		a, b := in(run, "a"), in(run, "b")
		want(t, h.Append(a), nil)
		<-inside
		want(t, h.Append(b), nil)
		close(release)
		h.await(a, b)
		if a.Err == nil || errors.Is(a.Err, ErrRunFailed) || !run.Failed() {
			t.Errorf("after failed commits: error %v, run failed %t; want the database's error and a failed run", a.Err, run.Failed())
		}
		if b.Err != ErrRunFailed || b.Stored || b.Seq != 0 || b.Conv != 0 {
			t.Errorf("queued behind a failed message: %s; want ErrRunFailed", show(b))
		}
		again, next := in(new(Run), "a"), in(run, "c")
		h.store(again, next)
		if again.Seq != 2 || !again.Stored || next.Err != ErrRunFailed {
			t.Errorf("in a new run: %s; want seq 2\nin the failed run: %s; want ErrRunFailed", show(again), show(next))
		}
	})
}
