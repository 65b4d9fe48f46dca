package groupcommit

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A conversation that another process has locked for a moment is stored
// afterwards, in its order, before what came meanwhile. Others don't wait.
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
						t.Fatalf("of another conversation: %+v, want it stored at once", other)
					}
					time.Sleep(held / 19)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if got := h.db.cids(first); !slices.Equal(got, wanted) {
					t.Errorf("the log has %v, want %v", got, wanted)
				}
				if n := h.done(batch...); n != len(batch) {
					t.Errorf("%d of %d messages were sunk", n, len(batch))
				}
			})
		})
	}
}

// After maxDeferred the messages of a locked conversation fail; others don't.
// Later ones get their own time.
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
				t.Fatalf("of another conversation: %+v", other)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(started); took < maxDeferred || took > maxDeferred+2*fakeLockTimeout {
			t.Errorf("failed after %s, want about %s", took, maxDeferred)
		}
		for _, a := range stuck {
			if !errors.Is(a.Err, ErrLocked) || a.Stored || a.Seq != 0 {
				t.Errorf("%+v, want ErrLocked", a)
			}
		}
		later := toGroup(1, 7, "later")
		h.send(later)
		h.db.lock(later, false)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if later.Err != nil || later.Seq != 1 {
			t.Errorf("once unlocked: %+v, want seq 1", later)
		}
	})
}

// One locked conversation among those that the lock waiter has doesn't fail the
// others, whether they must be created or are only locked.
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
					t.Errorf("the locked one: %+v, want an error for the lock", batch[0])
				}
				for _, a := range batch[1:] {
					if a.Err != nil || a.Seq != 1 {
						t.Errorf("not locked: %+v, want seq 1", a)
					}
				}
			})
		})
	}
}

// A conversation that must be created waits for the lock waiter, however long
// that is busy; its messages don't fail for it.
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
			t.Errorf("%+v, want it stored after the lock waiter's other job", first)
		}
		for _, a := range stuck {
			if a.Err == nil {
				t.Errorf("of a locked pair: %+v, want an error", a)
			}
		}
	})
}

// Without other processes the main step itself creates conversations.
func TestCreationWithoutLockWaiter(t *testing.T) {
	run(t, 1, false, Config{}, func(t *testing.T, h *harness) {
		a := toPeer(1, 2, "a")
		h.db.missing[convOf(a)] = true
		h.send(a)
		if !a.Stored {
			t.Errorf("%+v, want it stored", a)
		}
	})
}

// If the database goes away while a conversation is deferred, messages that
// have queued up for it fail after the deferred ones, not before: a sender
// gets its answers in the order of sending, and sends again in that order.
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
		t.Errorf("failed at once: %+v, want only the one of another conversation", failed)
	}
	if !slices.Equal(d.batch, []*Append{first, second, third}) || second.Err != nil {
		t.Errorf("deferred: %+v, want first, second, third", d.batch)
	}
	if n, bytes := c.queue.waiting(); n != 2 || bytes != second.size()+third.size() {
		t.Errorf("%d messages with %d bytes are counted as waiting, want second and third", n, bytes)
	}
}
