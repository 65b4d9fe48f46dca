package groupcommit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Messages that arrive while a transaction runs share the next one.
func TestMessagesShareTransaction(t *testing.T) {
	run(t, 1, false, Config{}, func(t *testing.T, h *harness) {
		release := make(chan struct{})
		var sizes []int
		h.db.beforeCommit = func(batch []*Append) error {
			if sizes = append(sizes, len(batch)); len(sizes) == 1 {
				<-release
			}
			return nil
		}
		h.send(toGroup(1, 7, "0"))
		for i := range 10 {
			h.send(toGroup(1, 7, fmt.Sprint(i+1)))
		}
		close(release)
		synctest.Wait()
		if !slices.Equal(sizes, []int{1, 10}) {
			t.Errorf("messages per transaction = %v, want [1 10]", sizes)
		}
	})
}

// If there is no lock waiter, a lock timeout fails the batch. A message without an
// error would be acknowledged as stored.
func TestLockTimeoutWithoutWaiter(t *testing.T) {
	run(t, 1, false, Config{}, func(t *testing.T, h *harness) {
		h.db.beforeApply = func([]*Append) error { return &fakeError{LockTimeout} }
		a := toGroup(1, 7, "a")
		h.send(a)
		if n := h.done(a); n != 1 || a.Err == nil || a.Stored {
			t.Errorf("the sink got %d messages; %s; want 1 message, with an error", n, show(a))
		}
	})
}

// MaxBatch and MaxBatchBytes limit a transaction. A message above MaxBatchBytes has
// a transaction of its own.
func TestBatchLimits(t *testing.T) {
	big := toGroup(9, 9, "big")
	big.Body = make([]byte, 10_000)
	run(t, 1, false, Config{MaxBatch: 5, MaxBatchBytes: 1000}, func(t *testing.T, h *harness) {
		h.db.beforeCommit = func(batch []*Append) error {
			bytes := 0
			for _, a := range batch {
				bytes += a.size()
			}
			if len(batch) > 5 || bytes > 1000 && len(batch) > 1 {
				t.Errorf("a transaction of %d messages with %d bytes, want at most 5 with 1000", len(batch), bytes)
			}
			return nil
		}
		var batch []*Append
		for i := range 50 {
			batch = append(batch, toGroup(1, 7, fmt.Sprint(i)))
		}
		h.send(append(batch, big)...)
		if n := h.done(append(batch, big)...); n != 51 {
			t.Errorf("the sink got %d messages, want 51", n)
		}
	})
}

// After a commit of unknown outcome, each message is stored once and answered as
// stored, whether the commit had succeeded or not.
func TestAmbiguousCommit(t *testing.T) {
	for _, stored := range []bool{true, false} {
		t.Run(fmt.Sprint("stored=", stored), func(t *testing.T) {
			run(t, 1, false, Config{}, func(t *testing.T, h *harness) {
				failed := false
				once := func([]*Append) error {
					if failed {
						return nil
					}
					failed = true
					return &fakeError{Disconnected}
				}
				if stored {
					h.db.afterCommit = once
				} else {
					h.db.beforeCommit = once
				}
				a, b := toGroup(1, 7, "a"), toGroup(2, 7, "b")
				h.send(a, b)
				if a.Seq != 1 || !a.Stored || a.Err != nil || b.Seq != 2 || !b.Stored || b.Last != 2 {
					t.Errorf("%s\n%s\nwant both stored, with seqs 1 and 2", show(a), show(b))
				}
				if got := h.db.cids(a); !slices.Equal(got, []string{"a", "b"}) {
					t.Errorf("cids in the log = %v, want [a b]", got)
				}
				if n := h.m.ambiguous.Get(); n != 1 {
					t.Errorf("%d ambiguous commits counted, want 1", n)
				}
				later := toGroup(1, 7, "a") // the sender resends it
				h.send(later)
				if later.Stored || later.Seq != 1 || later.Err != nil {
					t.Errorf("resent %s; want a repeat of seq 1", show(later))
				}
			})
		})
	}
}

// After a permanent error, a batch is split by conversation. A bad message fails
// only the messages of its own conversation.
func TestPermanentErrorSplitsTheBatch(t *testing.T) {
	run(t, 1, false, Config{}, func(t *testing.T, h *harness) {
		h.db.beforeApply = func(batch []*Append) error {
			for _, a := range batch {
				if string(a.CID) == "poison" {
					return &fakeError{Permanent}
				}
			}
			return nil
		}
		poison, same := toGroup(1, 7, "poison"), toGroup(2, 7, "same")
		good := []*Append{toGroup(1, 8, "x"), toPeer(1, 2, "x")}
		h.send(good[0], poison, same, good[1])
		for _, a := range good {
			if a.Err != nil || !a.Stored {
				t.Errorf("in another conversation: %s; want it stored", show(a))
			}
		}
		if poison.Err == nil || same.Err == nil || poison.Seq != 0 || poison.Stored {
			t.Errorf("bad message: got %s\nmessage behind it in the same conversation: got %s\nwant an error for both, and the bad one not stored", show(poison), show(same))
		}
		h.send(toGroup(3, 7, "next"))
		if got := h.db.cids(poison); !slices.Equal(got, []string{"next"}) {
			t.Errorf("cids in the log = %v, want [next]", got)
		}
	})
}

// Retryable errors are retried until Timeout, and only then fail the messages.
// Transient errors fail them at once.
func TestRetryUntilTimeout(t *testing.T) {
	for _, c := range []struct {
		what   string
		class  Class
		failed int // attempts that fail
		stored bool
		took   time.Duration // at least
	}{
		{"deadlocks", Retryable, 5, true, 0},
		{"deadlocks forever", Retryable, 1 << 30, false, 4 * time.Second},
		{"away", Disconnected, 5, true, 0},
		{"away for long", Disconnected, 1 << 30, false, 4 * time.Second},
		{"disk full", Transient, 1, false, 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			run(t, 1, false, Config{Timeout: 4 * time.Second}, func(t *testing.T, h *harness) {
				attempts, started := 0, time.Now()
				h.db.beforeApply = func([]*Append) error {
					if attempts++; attempts <= c.failed {
						return &fakeError{c.class}
					}
					return nil
				}
				a := toGroup(1, 7, "a")
				h.send(a)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if a.Stored != c.stored || (a.Err == nil) != c.stored {
					t.Errorf("after %d attempts: %s; want stored %t", attempts, show(a), c.stored)
				}
				if took := time.Since(started); took < c.took {
					t.Errorf("failed after %s, want retries for %s", took, c.took)
				}
				// The timeout may end the delay before the last retry.
				if n := int(h.m.retries.Get()); n != attempts-1 && (c.stored || n != attempts) {
					t.Errorf("%d retries counted, want %d", n, attempts-1)
				}
			})
		})
	}
}

// The error of a message that took too long says what may be wrong with the database.
func TestTimeoutIsExplained(t *testing.T) {
	run(t, 1, false, Config{Timeout: 4 * time.Second}, func(t *testing.T, h *harness) {
		h.db.beforeApply = func([]*Append) error { return context.DeadlineExceeded }
		a := toGroup(1, 7, "a")
		h.send(a)
		synctest.Wait()
		if a.Err == nil || !errors.Is(a.Err, context.DeadlineExceeded) || !strings.Contains(a.Err.Error(), "the database took longer than 4s") {
			t.Errorf("error %v, want one that says that the database took longer than 4s", a.Err)
		}
	})
}

// If the database is away, the batch and all queued messages fail; otherwise each
// of their batches would wait for Timeout. Messages that are queued later are
// tried.
func TestDisconnectFailsTheQueue(t *testing.T) {
	run(t, 1, false, Config{Timeout: 4 * time.Second, MaxBatch: 10}, func(t *testing.T, h *harness) {
		away := true
		h.db.beforeApply = func([]*Append) error {
			if away {
				return &fakeError{Disconnected}
			}
			return nil
		}
		started := time.Now()
		var batch []*Append
		for i := range 100 {
			batch = append(batch, toGroup(1, 7, fmt.Sprint(i)))
		}
		h.send(batch...)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := h.done(batch...); n != 100 {
			t.Errorf("the sink got %d messages within %s, want 100", n, time.Since(started))
		}
		for _, a := range batch {
			if a.Err == nil {
				t.Fatalf("while the database is away: %s; want an error", show(a))
			}
		}
		away = false
		later := toGroup(1, 7, "later")
		h.send(later)
		if !later.Stored {
			t.Errorf("once the database is back: %s; want it stored", show(later))
		}
	})
}

// Append returns ErrBusy if the queue is full, and takes all messages of a call or
// none. Deferred messages count as queued.
func TestQueueIsFull(t *testing.T) {
	run(t, 1, true, Config{QueueMessages: 10}, func(t *testing.T, h *harness) {
		a := toGroup(1, 7, "0")
		h.db.lock(a, true)
		h.send(a)
		for i := range 9 {
			h.send(toGroup(1, 7, fmt.Sprint(i+1)))
		}
		// The lock waiter has taken a few messages out of the queue.
		two := []*Append{toGroup(1, 8, "x"), toGroup(1, 8, "y")}
		for h.Append(toGroup(1, 7, "more")) == nil {
			synctest.Wait()
		}
		if err := h.Append(two...); !errors.Is(err, ErrBusy) {
			t.Errorf("Append to a full queue: error %v, want ErrBusy", err)
		}
		if n := h.m.refused.Get(); n != 3 {
			t.Errorf("%d messages counted as refused, want 3", n)
		}
		h.db.lock(a, false)
		time.Sleep(time.Second)
		h.send(two...)
		time.Sleep(time.Second)
		if n := h.done(two...); n != 2 {
			t.Errorf("once there is room: the sink got %d messages, want 2", n)
		}
	})
}

// Close stores all messages that Append has taken, including deferred ones. Later
// calls of Append get ErrClosed.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, 3, true, Config{})
		var batch []*Append
		for i := range 300 {
			batch = append(batch, toGroup(int64(i), int64(i%20+1), fmt.Sprint(i)))
		}
		h.db.lock(batch[3], true)
		h.send(batch...)
		time.AfterFunc(2*time.Second, func() { h.db.lock(batch[3], false) })
		h.Close()
		if n := h.done(batch...); n != len(batch) {
			t.Errorf("the sink had got %d messages when Close returned, want %d", n, len(batch))
		}
		for _, a := range batch {
			if !a.Stored {
				t.Fatalf("after Close: %s; want it stored", show(a))
			}
		}
		if err := h.Append(toGroup(1, 1, "x")); !errors.Is(err, ErrClosed) {
			t.Errorf("Append after Close: error %v, want ErrClosed", err)
		}
	})
}

// A message without a conversation, a cid or a body gets ErrMalformed. Others of
// its batch are stored.
func TestMalformed(t *testing.T) {
	run(t, 2, true, Config{}, func(t *testing.T, h *harness) {
		bad := []*Append{
			{Sender: 1, CID: []byte("x"), Body: []byte("x")},
			{Sender: 1, Group: 1, Peer: 2, CID: []byte("x"), Body: []byte("x")},
			{Sender: 1, Group: 1, Body: []byte("x")},
			{Sender: 1, Group: 1, CID: []byte("x")},
		}
		good := toGroup(1, 1, "good")
		h.send(append(bad, good)...)
		for i, a := range bad {
			if !errors.Is(a.Err, ErrMalformed) {
				t.Errorf("malformed message %d: error %v, want ErrMalformed", i, a.Err)
			}
		}
		if !good.Stored {
			t.Errorf("in the same batch: %s; want it stored", show(good))
		}
	})
}

// If each sender, after an error, starts a new run and resends everything from the
// failed message on, then the log contains each of its messages once, in the order
// sent. This is true for any mix of errors, locked conversations and ambiguous
// commits.
func TestRunsKeepOrder(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) { testRunsKeepOrder(t, seed) })
	}
}

func testRunsKeepOrder(t *testing.T, seed uint64) {
	const senders, groups, messages = 6, 4, 60
	h := start(t, 2, true, Config{Timeout: time.Second, MaxBatch: 20})
	var mu sync.Mutex // of rng
	rng := rand.New(rand.NewPCG(seed, 1))
	intn := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(n)
	}
	classes := []Class{Permanent, Transient, Retryable, Disconnected}
	fail := func(oneIn int) func([]*Append) error {
		return func([]*Append) error {
			if intn(oneIn) > 0 {
				return nil
			}
			return &fakeError{classes[intn(len(classes))]}
		}
	}
	h.db.beforeApply, h.db.beforeCommit, h.db.afterCommit = fail(10), fail(10), fail(10)
	stop := make(chan struct{})
	var lockers, all sync.WaitGroup
	lockers.Go(func() { // another process
		for {
			a := toGroup(0, int64(intn(groups)+1), "")
			h.db.lock(a, true)
			time.Sleep(time.Duration(intn(3000)) * time.Millisecond)
			h.db.lock(a, false)
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(intn(100)) * time.Millisecond):
			}
		}
	})
	for s := range senders {
		for g := range groups {
			all.Go(func() { h.sendUntilStored(int64(s+1), int64(g+1), messages, intn) })
		}
	}
	all.Wait()
	close(stop)
	lockers.Wait()
	h.Close()
	for g := range groups {
		next := make(map[int64]int)
		for _, m := range h.db.log[convKey{group: int64(g + 1)}] {
			if string(m.CID) != fmt.Sprint(next[m.Sender]) {
				t.Fatalf("seed %d, group %d: next message of sender %d in the log is %s, want %d", seed, g+1, m.Sender, m.CID, next[m.Sender])
			}
			next[m.Sender]++
		}
		for s := range senders {
			if n := next[int64(s+1)]; n != messages {
				t.Errorf("seed %d, group %d: %d messages of sender %d in the log, want %d", seed, g+1, n, s+1, messages)
			}
		}
	}
	if h.m.runFailed.Get() == 0 || h.m.ambiguous.Get() == 0 || h.m.deferred.Get() == 0 {
		t.Errorf("seed %d: %d messages failed with their run, %d ambiguous commits, %d deferrals; want some of each, or the test proves nothing",
			seed, h.m.runFailed.Get(), h.m.ambiguous.Get(), h.m.deferred.Get())
	}
}

// sendUntilStored sends numbered messages, several at a time. After an error it
// starts a new run and resends, from the first message that failed.
func (h *harness) sendUntilStored(sender, group int64, messages int, intn func(int) int) {
	current := new(Run)
	for next, retry := 0, false; next < messages; {
		var window []*Append
		for i := next; i < min(messages, next+1+intn(8)); i++ {
			a := in(current, toGroup(sender, group, fmt.Sprint(i)))
			a.Retry = retry
			window = append(window, a)
			if err := h.Append(a); err != nil {
				h.t.Error(err)
				return
			}
			time.Sleep(time.Duration(intn(2)) * time.Millisecond)
		}
		for h.done(window...) < len(window) {
			time.Sleep(time.Millisecond)
		}
		for _, a := range window {
			if a.Err != nil {
				current, retry = new(Run), true
				break
			}
			next++
		}
	}
}
