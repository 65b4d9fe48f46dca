package model

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"
)

// limited opens a store with quotas, on each database. The background doesn't save
// them: tests do, with saveQuotas.
func limited(t *testing.T, o Options, test func(t *testing.T, h *harness)) {
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			o.DB, o.noBackground = d.url(t), true
			test(t, newHarness(t, o))
		})
	}
}

// exhaust sends messages until one is refused, each with a body of size bytes and its
// cid. It returns how many were stored, and the error of the refused one.
func (h *harness) exhaust(size int, message func(cid string) *Append) (stored int, err error) {
	h.t.Helper()
	for {
		a := message(fmt.Sprint("sent ", h.now().UnixMilli(), " ", stored))
		a.Body = bytes.Repeat([]byte{'x'}, size-len(a.CID))
		h.store(a)
		if a.Err != nil {
			if a.Stored || a.Seq != 0 {
				h.t.Fatalf("%s; want it refused without a seq", show(a))
			}
			return stored, a.Err
		}
		if stored++; stored > 10_000 {
			h.t.Fatalf("%d messages were stored, want some refused", stored)
		}
	}
}

// overQuota fails the test unless err is a QuotaError, and returns its wait.
func (h *harness) overQuota(err error) time.Duration {
	h.t.Helper()
	var over *QuotaError
	if !errors.As(err, &over) || over.Wait <= 0 || over.Wait > maxQuotaWait {
		h.t.Fatalf("error %v, want a QuotaError with a wait of at most %v", err, maxQuotaWait)
	}
	return over.Wait
}

// What a user may store per day is bounded, in messages and in bytes, over all
// conversations together. The bucket fills over a day. Other users aren't affected,
// and neither are messages of before that are sent again.
func TestQuota(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		size int
		most int // messages of this size in a day
	}{
		{"messages", Options{MessagesPerDay: 48, BytesPerDay: 1 << 20}, 100, 48},
		{"bytes", Options{MessagesPerDay: 1000, BytesPerDay: 48_000}, 2000, 24},
	} {
		t.Run(c.name, func(t *testing.T) {
			limited(t, c.o, func(t *testing.T, h *harness) {
				u := h.users(3)
				g := h.group(u...)
				n := 0
				toAll := func(cid string) *Append { // to a group, a peer, oneself in turn
					n++
					return []*Append{toGroup(u[0], g, cid), toPeer(u[0], u[1], cid), toPeer(u[0], u[0], cid)}[n%3]
				}
				first := toPeer(u[0], u[1], "first")
				first.Body = bytes.Repeat([]byte{'x'}, c.size-len(first.CID))
				h.store(first)
				stored, err := h.exhaust(c.size, toAll)
				h.overQuota(err)
				if stored+1 != c.most {
					t.Errorf("%d messages were stored, want %d", stored+1, c.most)
				}
				for _, retry := range []bool{true, false} {
					again := toPeer(u[0], u[1], "first")
					again.Retry = retry
					h.store(again)
					if again.Err != nil || again.Seq != first.Seq || again.Time != first.Time {
						t.Errorf("a stored message sent again over quota, retry %t: %s; want seq %d", retry, show(again), first.Seq)
					}
				}
				other := toPeer(u[1], u[0], "other")
				h.store(other)
				want(t, other.Err, nil)

				h.pass(6 * time.Hour)
				stored, err = h.exhaust(c.size, toAll)
				h.overQuota(err)
				if stored != c.most/4 {
					t.Errorf("six hours later, %d messages were stored, want a quarter of a day's: %d", stored, c.most/4)
				}
				h.pass(36 * time.Hour)
				if stored, _ = h.exhaust(c.size, toAll); stored != c.most {
					t.Errorf("when the bucket is full again, %d messages were stored, want %d", stored, c.most)
				}
			})
		})
	}
}

// The wait of a refusal is long enough: the message is stored after it.
func TestQuotaWait(t *testing.T) {
	limited(t, Options{MessagesPerDay: 86_400}, func(t *testing.T, h *harness) {
		u := h.users(2)
		h.quotas.mu.Lock()
		h.quotas.take(quotaKey{u[0], quotaSent}, quotaDay, h.now().UnixMicro())
		h.quotas.mu.Unlock()
		a := toPeer(u[0], u[1], "a")
		h.store(a)
		if wait := h.overQuota(a.Err); wait != time.Second {
			t.Errorf("with a message per second: wait %v, want 1s", wait)
		}
		h.pass(time.Second)
		a = toPeer(u[0], u[1], "a")
		h.store(a)
		want(t, a.Err, nil)
	})
}

// A refused message is one that its sender resends. So the messages of the run that
// follow it aren't stored, in the same batch or later, even if there is room again.
// Other runs aren't affected, and a new run continues.
func TestQuotaFailsTheRun(t *testing.T) {
	limited(t, Options{MessagesPerDay: 4}, func(t *testing.T, h *harness) {
		u := h.users(2)
		run := new(Run)
		in := func(r *Run, cid string) *Append {
			a := toPeer(u[0], u[1], cid)
			a.Run = r
			return a
		}
		batch := []*Append{in(run, "0"), in(run, "1"), in(run, "2"), in(run, "3"), in(run, "4"), in(run, "5")}
		h.store(batch...)
		for i, a := range batch {
			if i < 4 && (a.Err != nil || a.Seq != int64(i+1)) {
				t.Errorf("%s; want seq %d", show(a), i+1)
			}
			if i == 4 {
				h.overQuota(a.Err)
			}
		}
		if err := batch[5].Err; err == nil {
			t.Errorf("behind a refused message: %s; want it refused", show(batch[5]))
		}
		h.pass(24 * time.Hour)
		behind := in(run, "6")
		h.store(behind)
		if behind.Err != ErrRunFailed || behind.Seq != 0 {
			t.Errorf("behind a refused message, with room: %s; want ErrRunFailed", show(behind))
		}
		again := new(Run)
		resent := []*Append{in(again, "4"), in(again, "5"), in(again, "6")}
		h.store(resent...)
		for i, a := range resent {
			if a.Err != nil || a.Seq != int64(i+5) {
				t.Errorf("resent: %s; want seq %d", show(a), i+5)
			}
		}
	})
}

// Only what is stored counts: not refused messages, not repeats, and not what a
// failed transaction would have stored.
func TestQuotaCountsWhatIsStored(t *testing.T) {
	limited(t, Options{MessagesPerDay: 10, MessagesFromStrangers: 10}, func(t *testing.T, h *harness) {
		u := h.users(3)
		_, err := h.Block(ctx, u[2], u[0], true)
		want(t, err, nil)
		h.store(toPeer(u[0], u[1], "same"))
		fails := 4
		h.commits(func(tx *sql.Tx) error {
			if fails--; fails >= 0 {
				_ = tx.Rollback()
				return errors.New("away")
			}
			return tx.Commit()
		})
		for range 2 { // each is tried twice
			a := toPeer(u[0], u[1], "lost")
			if h.store(a); a.Err == nil {
				t.Fatalf("%s; want the error of the commit", show(a))
			}
		}
		for i := range 20 {
			blocked, same := toPeer(u[0], u[2], fmt.Sprint("blocked ", i)), toPeer(u[0], u[1], "same")
			h.store(blocked, same)
			if blocked.Err != ErrNotAllowed || same.Err != nil {
				t.Fatalf("a message to a user who has blocked the sender: error %v, want ErrNotAllowed\na repeat: error %v, want none", blocked.Err, same.Err)
			}
		}
		if stored, err := h.exhaust(50, func(cid string) *Append { return toPeer(u[0], u[0], cid) }); stored != 9 {
			t.Errorf("after one stored message, %d were stored, and then: %v; want 9", stored, err)
		}
	})
}

// The quota holds for all nodes together, and after a restart. Each node may be
// wrong by a sixteenth, which is what it doesn't save.
func TestQuotaOfNodes(t *testing.T) {
	const quota, slack = 160, 160 / 16
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			o := Options{DB: d.url(t), MessagesPerDay: quota, noBackground: true, Shared: true}
			one := newHarness(t, o)
			two := newHarness(t, o)
			u := one.users(1)
			note := func(node string) func(cid string) *Append {
				return func(cid string) *Append { return toPeer(u[0], u[0], node+cid) }
			}
			batch := make([]*Append, quota/2)
			for i := range batch {
				batch[i] = note("half ")(fmt.Sprint(i))
			}
			one.store(batch...)
			want(t, one.saveQuotas(ctx, false), nil)
			batch = nil
			for i := range slack {
				batch = append(batch, note("first ")(fmt.Sprint(i)))
			}
			two.store(batch...) // so that it saves, and learns of the others
			want(t, two.saveQuotas(ctx, false), nil)
			stored, err := two.exhaust(50, note("two "))
			two.overQuota(err)
			if stored != quota/2-slack {
				t.Errorf("the second node stored %d messages, want the %d that the first has left", stored+slack, quota/2)
			}
			want(t, two.saveQuotas(ctx, false), nil)
			total := quota
			stored, _ = one.exhaust(50, func(cid string) *Append {
				want(t, one.saveQuotas(ctx, false), nil)
				return note("one ")(cid)
			})
			if total += stored; total > quota+2*slack {
				t.Errorf("both nodes stored %d messages, want at most %d", total, quota+2*slack)
			}
			two.reopen()
			stored, _ = two.exhaust(50, func(cid string) *Append {
				want(t, two.saveQuotas(ctx, false), nil)
				return note("again ")(cid)
			})
			if total += stored; total > quota+3*slack {
				t.Errorf("with a restart, both nodes stored %d messages, want at most %d", total, quota+3*slack)
			}
		})
	}
}

// A node that stops saves what it has counted.
func TestQuotaSurvivesClose(t *testing.T) {
	limited(t, Options{MessagesPerDay: 100}, func(t *testing.T, h *harness) {
		u := h.users(1)
		for i := range 5 { // less than what is saved at once
			h.store(toPeer(u[0], u[0], fmt.Sprint(i)))
		}
		h.reopen()
		var full int64
		want(t, h.sql.Reader.Get(&full, `SELECT full_at FROM quotas WHERE user_id = ? AND kind = 1`, u[0]), nil)
		if used := full - h.now().UnixMicro(); used != 5*quotaDay/100 {
			t.Errorf("after a restart, %v of a day are used, want %v", time.Duration(used)*time.Microsecond, time.Duration(5*quotaDay/100)*time.Microsecond)
		}
	})
}

// The hourly sweep saves who has stored much, forgets who has stored little, and
// deletes rows that are full again.
func TestQuotaSweep(t *testing.T) {
	limited(t, Options{MessagesPerDay: 1000}, func(t *testing.T, h *harness) {
		u := h.users(2)
		for i := range 10 {
			h.store(toPeer(u[0], u[0], fmt.Sprint(i)))
		}
		h.store(toPeer(u[1], u[1], "x"))
		h.pass(time.Hour)
		want(t, h.sweepQuotas(ctx), nil)
		var rows []int64
		want(t, h.sql.Reader.Select(&rows, `SELECT user_id FROM quotas`), nil)
		if len(rows) != 1 || rows[0] != u[0] || len(h.quotas.all) != 1 {
			t.Errorf("after a sweep, the table has rows of users %v, and %d buckets are known; want one of user %d, and 1", rows, len(h.quotas.all), u[0])
		}
		h.pass(25 * time.Hour)
		want(t, h.sweepQuotas(ctx), nil)
		want(t, h.sql.Reader.Get(&rows[0], `SELECT COUNT(*) FROM quotas`), nil)
		if rows[0] != 0 || len(h.quotas.all) != 0 {
			t.Errorf("a day later, the table has %d rows, and %d buckets are known; want none", rows[0], len(h.quotas.all))
		}
	})
}

// A clock that was years ahead doesn't lock a user out once it is right again.
func TestQuotaAfterWrongClock(t *testing.T) {
	limited(t, Options{MessagesPerDay: 16}, func(t *testing.T, h *harness) {
		u := h.users(1)
		note := func(cid string) *Append { return toPeer(u[0], u[0], cid) }
		h.pass(100_000 * time.Hour)
		h.exhaust(50, note)
		want(t, h.saveQuotas(ctx, false), nil)
		h.pass(-100_000 * time.Hour)
		h.exhaust(50, note)
		h.reopen()
		h.store(note("after a restart")) // it is saved at once, as it is a sixteenth
		want(t, h.saveQuotas(ctx, false), nil)
		h.pass(25 * time.Hour)
		if stored, _ := h.exhaust(50, note); stored < 15 {
			t.Errorf("a day after a clock was corrected, %d messages were stored, want 15 or 16", stored)
		}
	})
}

// If saving fails, nothing that was counted is forgotten.
func TestQuotaSaveFails(t *testing.T) {
	limited(t, Options{MessagesPerDay: 16}, func(t *testing.T, h *harness) {
		u := h.users(1)
		h.store(toPeer(u[0], u[0], "a"), toPeer(u[0], u[0], "b"))
		_, err := h.sql.Writer.Exec(`ALTER TABLE quotas RENAME TO elsewhere`)
		want(t, err, nil)
		if err := h.saveQuotas(ctx, false); err == nil {
			t.Fatal("saving without the table: no error, want one")
		}
		_, err = h.sql.Writer.Exec(`ALTER TABLE elsewhere RENAME TO quotas`)
		want(t, err, nil)
		h.store(toPeer(u[0], u[0], "c"))
		want(t, h.saveQuotas(ctx, false), nil)
		var full int64
		want(t, h.sql.Reader.Get(&full, `SELECT full_at FROM quotas WHERE user_id = ?`, u[0]), nil)
		if used := full - h.now().UnixMicro(); used != 3*quotaDay/16 {
			t.Errorf("%d of %d are used, want 3 sixteenths", used, quotaDay)
		}
	})
}

// A node saves what it has counted by itself.
func TestQuotaIsSaved(t *testing.T) {
	h := newHarness(t, Options{DB: dialects[0].url(t), MessagesPerDay: 16})
	u := h.users(1)
	h.store(toPeer(u[0], u[0], "a"))
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		var rows int
		want(t, h.sql.Reader.Get(&rows, `SELECT COUNT(*) FROM quotas WHERE user_id = ?`, u[0]), nil)
		if rows == 1 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("nothing was saved in a minute, want a row in quotas")
		}
	}
}
