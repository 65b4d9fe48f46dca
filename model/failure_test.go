package model

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
)

// A message that the database refuses with a permanent error fails only messages
// of its own conversation and batch.
func TestRefusedByDatabase(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(3)
		h.poison("messages", "NEW.body = x'706f69736f6e'")
		poison := toPeer(u[0], u[1], "p")
		poison.Body = []byte("poison")
		good := []*Append{toPeer(u[0], u[2], "1"), toPeer(u[1], u[2], "2"), toPeer(u[2], u[0], "3")}
		h.store(good[0], poison, good[1], good[2])
		if poison.Err == nil || poison.Stored || poison.Seq != 0 || errors.Is(poison.Err, ErrNotFound) {
			t.Errorf("refused message: %s; want the database's error", show(poison))
		}
		for _, a := range good {
			if !a.Stored || a.Err != nil {
				t.Errorf("in another conversation: %s; want it stored", show(a))
			}
		}
		// The refused message has used no seq.
		next := toPeer(u[1], u[0], "next")
		h.store(next)
		if next.Seq != 1 {
			t.Errorf("seq of the next message = %d, want 1", next.Seq)
		}
	})
}

// Messages fail while the disk is full. Once there is room they are stored, and
// the log has no gap.
func TestFullDisk(t *testing.T) {
	onSQLite(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		h.store(toPeer(u[0], u[1], "first"))
		var pages int
		if err := h.sql.Writer.Get(&pages, `PRAGMA page_count`); err != nil {
			t.Fatal(err)
		}
		if _, err := h.sql.Writer.Exec(fmt.Sprintf(`PRAGMA max_page_count = %d`, pages)); err != nil {
			t.Fatal(err)
		}
		big := toPeer(u[0], u[1], "big")
		big.Body = make([]byte, 32<<10)
		h.store(big)
		if big.Err == nil || !h.transient(big.Err) || big.Stored {
			t.Fatalf("with a full disk: %s; want a transient error", show(big))
		}
		if _, err := h.sql.Writer.Exec(`PRAGMA max_page_count = 1000000`); err != nil {
			t.Fatal(err)
		}
		again := toPeer(u[0], u[1], "big")
		again.Retry = true
		h.store(again)
		if again.Err != nil || again.Seq != 2 || !again.Stored {
			t.Fatalf("once there is room: %s; want it stored with seq 2", show(again))
		}
	})
}

// After a COMMIT of unknown outcome, each message is in the log once and is
// answered as stored, whether the COMMIT had succeeded or not.
func TestCommitUnknown(t *testing.T) {
	for _, stored := range []bool{true, false} {
		t.Run(fmt.Sprint("stored=", stored), func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				u := h.users(2)
				failed := false
				h.commits(func(tx *sql.Tx) error {
					switch {
					case failed:
						return tx.Commit()
					case stored:
						if err := tx.Commit(); err != nil {
							t.Error(err)
						}
					}
					failed = true
					return errors.New("connection lost")
				})
				a, b, repeat := toPeer(u[0], u[1], "a"), toPeer(u[1], u[0], "b"), toPeer(u[0], u[1], "a")
				h.store(a, b, repeat)
				if a.Seq != 1 || !a.Stored || b.Seq != 2 || !b.Stored || repeat.Seq != 1 || repeat.Stored || repeat.Err != nil || a.Last != 2 {
					t.Errorf("%s\n%s\n%s\nwant seqs 1 and 2 stored, and a repeat of seq 1", show(a), show(b), show(repeat))
				}
				if n := len(h.log(a.Conv)); n != 2 {
					t.Errorf("%d messages in the log, want 2", n)
				}
			})
		})
	}
}

// A COMMIT that fails twice fails its messages. Later messages are stored.
func TestCommitFails(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		h.commits(func(*sql.Tx) error { return errors.New("away") })
		a := toPeer(u[0], u[1], "a")
		h.store(a)
		if a.Err == nil || a.Stored || a.Seq != 0 {
			t.Fatalf("after two failed commits: %s; want an error", show(a))
		}
		h.commits((*sql.Tx).Commit)
		b := toPeer(u[0], u[1], "a")
		h.store(b)
		if b.Seq != 1 || !b.Stored {
			t.Fatalf("once commits work again: %s; want it stored with seq 1", show(b))
		}
	})
}

// While another process locks the database for longer than busy_timeout,
// messages fail with a transient error. Afterwards they are stored.
func TestDatabaseLocked(t *testing.T) {
	onSQLite(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		if _, err := h.sql.Writer.Exec(`PRAGMA busy_timeout(0)`); err != nil {
			t.Fatal(err)
		}
		other, err := Open(ctx, Options{DB: h.o.DB, Shared: true})
		want(t, err, nil)
		defer other.Close()
		tx, err := other.sql.Writer.Beginx()
		want(t, err, nil)
		a := toPeer(u[0], u[1], "a")
		h.store(a)
		if a.Err == nil || !h.transient(a.Err) {
			t.Errorf("while the database is locked: %s; want a transient error", show(a))
		}
		if _, err := h.CreateUser(ctx, "x", "x", ""); err == nil || errors.Is(err, ErrTaken) {
			t.Errorf("CreateUser while the database is locked: error %v, want the database's", err)
		}
		want(t, tx.Rollback(), nil)
		b := toPeer(u[0], u[1], "a")
		b.Retry = true
		h.store(b)
		if b.Err != nil || b.Seq != 1 || !b.Stored {
			t.Errorf("once it is unlocked: %s; want it stored with seq 1", show(b))
		}
	})
}

// A write whose context is canceled while it waits for the connection changes
// nothing, and doesn't block later writes.
func TestCanceledWrite(t *testing.T) {
	onSQLite(t, func(t *testing.T, h *harness) {
		gone, cancel := context.WithCancel(ctx)
		release, err := h.sql.AcquirePriority(ctx)
		want(t, err, nil)
		done := make(chan error)
		go func() {
			_, err := h.CreateUser(gone, "x", "x", "")
			done <- err
		}()
		cancel()
		want(t, <-done, context.Canceled)
		release()
		h.user("x")
	})
}
