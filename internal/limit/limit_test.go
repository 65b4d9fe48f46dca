package limit

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Unix(1_700_000_000, 0)

// A bucket gives all its tokens at once, then as many as its rate adds. After
// the wait that Take returned there is a token, and a nanosecond earlier there
// isn't.
func TestBucket(t *testing.T) {
	r := PerSecond(4, 5*time.Second, start)
	now := start.Add(time.Hour)
	var b Bucket
	for i := range 20 {
		if wait := b.Take(&r, now, 1); wait != 0 {
			t.Fatalf("token %d of 20 from a full bucket: wait %v, want 0", i+1, wait)
		}
	}
	for range 3 {
		wait := b.Take(&r, now, 1)
		if wait != 250*time.Millisecond {
			t.Fatalf("token from an empty bucket: wait %v, want 250ms", wait)
		}
		now = now.Add(wait - 1)
		if wait := b.Take(&r, now, 1); wait != 1 {
			t.Fatalf("1ns before the end of the wait: wait %v, want 1ns", wait)
		}
		now = now.Add(1)
		if wait := b.Take(&r, now, 1); wait != 0 {
			t.Fatalf("after the wait: wait %v, want 0", wait)
		}
	}
	if wait := b.Take(&r, now, 8); wait != 2*time.Second {
		t.Errorf("8 tokens from an empty bucket: wait %v, want 2s", wait)
	}
}

// However many tokens are taken, and when: in no interval does a bucket give
// more than it holds plus what its rate adds. The wait that Take returns is the
// shortest possible.
func TestBucketNeverGivesMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, burst := rapid.IntRange(1, 1<<21).Draw(t, "rate"), time.Duration(rapid.IntRange(1, 20).Draw(t, "burst"))*time.Second
		r := PerSecond(n, burst, start)
		now, b := start.Add(time.Minute), Bucket{}
		type taken struct {
			at time.Time
			n  int
		}
		var all []taken
		holds := float64(n) * burst.Seconds()
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(3*burst)).Draw(t, "pause")))
			k := rapid.IntRange(1, max(1, int(min(holds, 1<<22)))).Draw(t, "take")
			if wait := b.Take(&r, now, k); wait > 0 {
				if c := b; c.Take(&r, now.Add(wait), k) != 0 {
					t.Fatalf("Take(%d) refused after the wait of %v", k, wait)
				}
				if c := b; c.Take(&r, now.Add(wait-1), k) == 0 {
					t.Fatalf("Take(%d) returned a wait of %v, but a shorter one is enough", k, wait)
				}
				continue
			}
			all = append(all, taken{now, k})
			sum := 0.0
			for i := len(all) - 1; i >= 0; i-- {
				sum += float64(all[i].n)
				if may := holds + float64(n)*(now.Sub(all[i].at).Seconds()+1e-9*float64(len(all)-i)); sum > may*1.000001+1 {
					t.Fatalf("%v tokens taken in %v, want at most %v", sum, now.Sub(all[i].at), may)
				}
			}
		}
	})
}

// A full bucket gives more than it holds and owes the rest: otherwise a large
// frame could never be sent.
func TestMoreThanABucket(t *testing.T) {
	r := PerSecond(10, time.Second, start)
	now := start.Add(time.Hour)
	var b Bucket
	if wait := b.Take(&r, now, 40); wait != 0 {
		t.Fatalf("40 tokens from a full bucket of 10: wait %v, want 0", wait)
	}
	if wait := b.Take(&r, now, 1); wait != 3100*time.Millisecond {
		t.Errorf("1 token afterwards: wait %v, want 3.1s", wait)
	}
	if wait := b.Take(&r, now, 40); wait != 4*time.Second {
		t.Errorf("40 tokens again: wait %v, want 4s", wait)
	}
}

// Spend takes more than there is. Until that is filled again, Take refuses.
func TestSpend(t *testing.T) {
	r := PerSecond(10, time.Second, start)
	now := start.Add(time.Hour)
	var b Shared
	b.Spend(&r, now, 0)
	if wait := b.Take(&r, now, 10); wait != 0 {
		t.Fatalf("10 tokens from a full bucket of 10: wait %v, want 0", wait)
	}
	b.Spend(&r, now, 20)
	if wait := b.Take(&r, now, 1); wait != 2100*time.Millisecond {
		t.Errorf("1 token from a bucket that owes 20: wait %v, want 2.1s", wait)
	}
	if wait := b.Take(&r, now.Add(2100*time.Millisecond), 1); wait != 0 {
		t.Errorf("1 token after the wait: wait %v, want 0", wait)
	}
	var none Rate
	b.Spend(&none, now, 1000) // no limit
}

// A rate of 0 means no limit, however much is taken.
func TestNoLimit(t *testing.T) {
	r := PerSecond(0, time.Second, start)
	var b Bucket
	var s Shared
	table := NewTable[int](r, 100, nil)
	for range 1000 {
		if b.Take(&r, start, math.MaxInt32)+s.Take(&r, start, math.MaxInt32)+table.Take(1, start, 1) != 0 {
			t.Fatal("Take refused without a limit")
		}
	}
	if table.Give(1, 1); table.Len() != 0 {
		t.Errorf("table has %d keys without a limit, want 0", table.Len())
	}
}

// Goroutines that share a bucket together get exactly what it holds.
func TestSharedBucket(t *testing.T) {
	r := Per(1000, time.Minute, start)
	now := start.Add(time.Hour)
	var b Shared
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				if b.Take(&r, now, 1) == 0 {
					taken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := taken.Load(); n != 1000 {
		t.Errorf("%d tokens taken, want 1000", n)
	}
}

// Each key of a table has its own bucket.
func TestTable(t *testing.T) {
	now := start.Add(time.Hour)
	table := NewTable[string](Per(3, time.Minute, start), 1000, nil)
	for range 3 {
		if table.Take("a", now, 1) != 0 {
			t.Fatal("one of the first 3 tokens of a was refused")
		}
	}
	if wait := table.Take("a", now, 1); wait != 20*time.Second {
		t.Errorf("4th token of a: wait %v, want 20s", wait)
	}
	if table.Take("b", now, 1) != 0 {
		t.Error("first token of b was refused")
	}
	if table.Give("a", 1); table.Take("a", now, 1) != 0 || table.Take("a", now, 1) == 0 {
		t.Error("after Give(1), want exactly one more token")
	}
	if table.Take("a", now.Add(20*time.Second), 1) != 0 {
		t.Error("a was refused after its wait")
	}
}

// Keep stores a bucket's state and Restore brings it back. A bucket that is
// full again isn't stored at all.
func TestKeepAndRestore(t *testing.T) {
	now, r := start.Add(time.Hour), Per(10, time.Minute, start)
	table := NewTable[int](r, 1000, nil)
	var b, again, fresh Shared
	b.Take(&r, now, 10)
	table.Keep(1, now, &b)
	table.Keep(2, now.Add(2*time.Minute), &b)
	if n := table.Len(); n != 1 {
		t.Errorf("%d buckets stored, want 1", n)
	}
	table.Restore(2, &fresh)
	if fresh.Take(&r, now, 1) != 0 {
		t.Error("a full bucket was restored as an empty one")
	}
	table.Restore(1, &again)
	if wait := again.Take(&r, now, 1); wait != 6*time.Second {
		t.Errorf("token from a restored empty bucket: wait %v, want 6s", wait)
	}
	if table.Len() != 0 {
		t.Errorf("%d buckets stored after Restore, want 0", table.Len())
	}
}

// A table forgets keys whose buckets are full again, even if they aren't used
// any more, and never grows beyond its bound.
func TestTableForgets(t *testing.T) {
	now, forgotten := start.Add(time.Hour), 0
	table := NewTable[int](PerSecond(1, time.Second, start), 1<<16, func(n int) { forgotten += n })
	for i := range 20_000 {
		now = now.Add(10 * time.Millisecond) // 100 of them aren't full at any time
		table.Take(i, now, 1)
	}
	if n := table.Len(); n > 2*tableShards*sweepFrom {
		t.Errorf("%d buckets stored, want at most %d", n, 2*tableShards*sweepFrom)
	}
	if forgotten != 0 {
		t.Errorf("%d buckets forgotten before they were full, want 0", forgotten)
	}

	const size = 1600
	table = NewTable[int](PerSecond(1, time.Hour, start), size, func(n int) { forgotten += n })
	for i := range 100_000 {
		table.Take(i, now, 1)
		if i%1000 == 0 && table.Len() > size {
			t.Fatalf("%d buckets stored, want at most %d", table.Len(), size)
		}
	}
	if n := table.Len(); n+forgotten != 100_000 {
		t.Errorf("%d buckets stored and %d forgotten, want 100000 in all", n, forgotten)
	}
}

// The key that is furthest over the limit is never forgotten: a flood of new
// keys can't reset its limit.
func TestFloodDoesNotEvictOffender(t *testing.T) {
	now := start.Add(time.Hour)
	table := NewTable[string](Per(10, time.Minute, start), 320, nil)
	for range 10 {
		table.Take("offender", now, 1)
	}
	for i := range 50_000 {
		table.Take(fmt.Sprint("other ", i), now, 1)
	}
	if table.Take("offender", now, 1) == 0 {
		t.Error("the key with an empty bucket was forgotten")
	}
}

// Take doesn't allocate, because it is called for each frame.
func TestTakeDoesNotAllocate(t *testing.T) {
	r := PerSecond(1000, time.Second, start)
	now := start
	var b Bucket
	var s Shared
	table := NewTable[int64](r, 1000, nil)
	table.Take(7, now, 1)
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(time.Millisecond)
		b.Take(&r, now, 1)
		s.Take(&r, now, 1)
		table.Take(7, now, 1)
	}); n != 0 {
		t.Errorf("%v allocations per call, want 0", n)
	}
}

// BenchmarkTake measures the cost of one limit for one frame.
func BenchmarkTake(b *testing.B) {
	r := PerSecond(1<<30, 10*time.Second, time.Now())
	now := time.Now()
	b.Run("bucket", func(b *testing.B) {
		var k Bucket
		for b.Loop() {
			k.Take(&r, now, 150)
		}
	})
	b.Run("shared", func(b *testing.B) {
		var k Shared
		for b.Loop() {
			k.Take(&r, now, 150)
		}
	})
	b.Run("table", func(b *testing.B) {
		k := NewTable[int64](r, 1<<16, nil)
		for b.Loop() {
			k.Take(7, now, 150)
		}
	})
}
