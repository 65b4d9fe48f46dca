package groupcommit

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Messages of a conversation that another process locks for a moment are stored
// afterwards, in order. Messages of other conversations don't wait.
func TestLockedBriefly(t *testing.T) {
	for _, held := range []time.Duration{0, 10 * time.Millisecond, 500 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second} {
		t.Run(fmt.Sprint(held), func(t *testing.T) {
			run(t, 1, true, Config{}, func(t *testing.T, h *harness) {
				var batch []*Append
				var wanted []string
				first := toGroup(1, 7, "0")
				h.db.lock(first, true)
				unlocked := time.AfterFunc(held, func() { h.db.lock(first, false) })
				defer unlocked.Stop()
				for i := range 20 {
					a := toGroup(1, 7, fmt.Sprint(i))
					batch, wanted = append(batch, a), append(wanted, string(a.CID))
					other := toGroup(1, 8, fmt.Sprint(i))
					h.send(a, other)
					if !other.Stored {
						t.Fatalf("in another conversation: %s; want it stored at once", show(other))
					}
					time.Sleep(held / 19)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if got := h.db.cids(first); !slices.Equal(got, wanted) {
					t.Errorf("cids in the log = %v, want %v", got, wanted)
				}
				if n := h.done(batch...); n != len(batch) {
					t.Errorf("the sink got %d messages, want %d", n, len(batch))
				}
			})
		})
	}
}

// After maxDeferred, the messages of a locked conversation fail, but not those of
// others. Messages that come later may wait for maxDeferred again.
func TestLockedForTooLong(t *testing.T) {
	run(t, 1, true, Config{}, func(t *testing.T, h *harness) {
		stuck := []*Append{toGroup(1, 7, "0"), toGroup(2, 7, "1")}
		h.db.lock(stuck[0], true)
		started := time.Now()
		h.send(stuck...)
		for h.done(stuck...) == 0 {
			other := toGroup(1, 8, fmt.Sprint(time.Since(started)))
			h.send(other)
			if !other.Stored {
				t.Fatalf("in another conversation: %s; want it stored", show(other))
			}
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(started); took < maxDeferred || took > maxDeferred+2*fakeLockTimeout {
			t.Errorf("failed after %s, want about %s", took, maxDeferred)
		}
		for _, a := range stuck {
			if !errors.Is(a.Err, ErrLocked) || a.Stored || a.Seq != 0 {
				t.Errorf("in the locked conversation: %s; want ErrLocked", show(a))
			}
		}
		later := toGroup(1, 7, "later")
		h.send(later)
		h.db.lock(later, false)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if later.Err != nil || later.Seq != 1 {
			t.Errorf("once unlocked: %s; want seq 1", show(later))
		}
	})
}

// If one conversation of the lock waiter's batch stays locked, messages of the
// others are stored, whether these must be created or were locked too.
func TestLockWaiterStoresTheRest(t *testing.T) {
	for _, missing := range []bool{true, false} {
		t.Run(fmt.Sprint("missing=", missing), func(t *testing.T) {
			run(t, 1, true, Config{}, func(t *testing.T, h *harness) {
				var batch []*Append
				for peer := range int64(5) {
					a := toPeer(1, peer+10, "hello")
					batch = append(batch, a)
					h.db.missing[convOf(a)] = missing
					h.db.lock(a, true)
				}
				h.send(batch...)
				for _, a := range batch[1:] {
					h.db.lock(a, false)
				}
				time.Sleep(20 * time.Second)
				synctest.Wait()
				if !errors.Is(batch[0].Err, ErrLocked) && h.steps[0].Classify(batch[0].Err) != LockTimeout {
					t.Errorf("in the locked conversation: %s; want ErrLocked or a lock timeout", show(batch[0]))
				}
				for _, a := range batch[1:] {
					if a.Err != nil || a.Seq != 1 {
						t.Errorf("in an unlocked conversation: %s; want seq 1", show(a))
					}
				}
			})
		})
	}
}

// A conversation that must be created waits for the lock waiter. Its messages
// don't fail, however long the lock waiter is busy.
func TestCreationWaitsForTheLockWaiter(t *testing.T) {
	run(t, 1, true, Config{}, func(t *testing.T, h *harness) {
		var stuck []*Append
		for peer := range int64(5) {
			a := toPeer(1, peer+10, "stuck")
			stuck = append(stuck, a)
			h.db.missing[convOf(a)] = true
			h.db.lock(a, true)
		}
		h.send(stuck...)
		first := toPeer(2, 3, "first")
		h.db.missing[convOf(first)] = true
		h.send(first)
		time.Sleep(2 * maxDeferred)
		synctest.Wait()
		if first.Err != nil || first.Seq != 1 {
			t.Errorf("%s; want it stored after the lock waiter's other job", show(first))
		}
		for _, a := range stuck {
			if a.Err == nil {
				t.Errorf("in a locked pair: %s; want an error", show(a))
			}
		}
	})
}

// If there are no other processes, the main step creates conversations itself.
func TestCreationWithoutLockWaiter(t *testing.T) {
	run(t, 1, false, Config{}, func(t *testing.T, h *harness) {
		a := toPeer(1, 2, "a")
		h.db.missing[convOf(a)] = true
		h.send(a)
		if !a.Stored {
			t.Errorf("%s; want it stored", show(a))
		}
	})
}

// If the database goes away while a conversation is deferred, messages queued for
// it fail after the deferred ones, not before. A sender gets answers in the order
// of sending, and resends in that order.
func TestFailQueuedKeepsOrder(t *testing.T) {
	h := start(t, 1, false, Config{})
	defer h.Close()
	c := newCommitter(h.config, 1)
	w := newWriter(c, 0, Steps{Main: &fakeStep{db: newFakeDB()}})
	first := toGroup(1, 7, "first")
	d := w.deferred.get(convOf(first), time.Now())
	d.batch, d.withWaiter = []*Append{first}, true
	second, other, third := toGroup(1, 7, "second"), toGroup(1, 8, "other"), toGroup(1, 7, "third")
	if err := c.queue.put([]*Append{second, other, third}); err != nil {
		t.Fatal(err)
	}
	w.failQueued(errors.New("away"))
	close(w.out)
	var failed []*Append
	for batch := range w.out {
		failed = append(failed, batch...)
	}
	if !slices.Equal(failed, []*Append{other}) || other.Err == nil {
		t.Errorf("failed at once:%s\nwant only \"other\"", showAll(failed))
	}
	if !slices.Equal(d.batch, []*Append{first, second, third}) || second.Err != nil {
		t.Errorf("deferred:%s\nwant \"first\", \"second\" and \"third\", without errors", showAll(d.batch))
	}
	if n, bytes := c.queue.waiting(); n != 2 || bytes != second.size()+third.size() {
		t.Errorf("%d messages with %d bytes are counted as waiting, want 2 with %d", n, bytes, second.size()+third.size())
	}
}
