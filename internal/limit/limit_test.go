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

// A bucket gives what it holds at once, then as much as its rate says; who
// waits for as long as they are told gets it, and who comes a nanosecond
// earlier doesn't.
func TestBucket(t *testing.T) {
	r := PerSecond(4, 5*time.Second, start)
	now := start.Add(time.Hour)
	var b Bucket
	for i := range 20 {
		if wait := b.Take(&r, now, 1); wait != 0 {
			t.Fatalf("number %d of 20 at once: wait %v", i, wait)
		}
	}
	for range 3 {
		wait := b.Take(&r, now, 1)
		if wait != 250*time.Millisecond {
			t.Fatalf("from an empty bucket: wait %v", wait)
		}
		now = now.Add(wait - 1)
		if wait := b.Take(&r, now, 1); wait != 1 {
			t.Fatalf("too early: wait %v", wait)
		}
		now = now.Add(1)
		if wait := b.Take(&r, now, 1); wait != 0 {
			t.Fatalf("in time: wait %v", wait)
		}
	}
	if wait := b.Take(&r, now, 8); wait != 2*time.Second {
		t.Errorf("for eight: wait %v", wait)
	}
}

// However much is asked for, and when: a bucket never gives more in any time
// than it holds and its rate adds, and who is refused is told the shortest
// wait.
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
					t.Fatalf("refused after the wait of %v", wait)
				}
				if c := b; c.Take(&r, now.Add(wait-1), k) == 0 {
					t.Fatalf("told to wait %v, which is too long", wait)
				}
				continue
			}
			all = append(all, taken{now, k})
			sum := 0.0
			for i := len(all) - 1; i >= 0; i-- {
				sum += float64(all[i].n)
				if may := holds + float64(n)*(now.Sub(all[i].at).Seconds()+1e-9*float64(len(all)-i)); sum > may*1.000001+1 {
					t.Fatalf("%v taken in %v, of %v", sum, now.Sub(all[i].at), may)
				}
			}
		}
	})
}

// More than a bucket holds is let through where the bucket is full, and has to
// be made up for: else a large frame could never be sent.
func TestMoreThanABucket(t *testing.T) {
	r := PerSecond(10, time.Second, start)
	now := start.Add(time.Hour)
	var b Bucket
	if wait := b.Take(&r, now, 40); wait != 0 {
		t.Fatal("from a full bucket: wait", wait)
	}
	if wait := b.Take(&r, now, 1); wait != 3100*time.Millisecond {
		t.Error("afterwards: wait", wait)
	}
	if wait := b.Take(&r, now, 40); wait != 4*time.Second {
		t.Error("again: wait", wait)
	}
}

// No limit is none, whatever is taken.
func TestNoLimit(t *testing.T) {
	r := PerSecond(0, time.Second, start)
	var b Bucket
	var s Shared
	table := NewTable[int](r, 100, nil)
	for range 1000 {
		if b.Take(&r, start, math.MaxInt32)+s.Take(&r, start, math.MaxInt32)+table.Take(1, start, 1) != 0 {
			t.Fatal("refused")
		}
	}
	if table.Give(1, 1); table.Len() != 0 {
		t.Error("the table remembers somebody")
	}
}

// Goroutines that share a bucket get what it holds and no more.
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
		t.Errorf("%d taken of 1000", n)
	}
}

// A table has a bucket for each key.
func TestTable(t *testing.T) {
	now := start.Add(time.Hour)
	table := NewTable[string](Per(3, time.Minute, start), 1000, nil)
	for range 3 {
		if table.Take("a", now, 1) != 0 {
			t.Fatal("a is refused")
		}
	}
	if wait := table.Take("a", now, 1); wait != 20*time.Second {
		t.Error("a waits", wait)
	}
	if table.Take("b", now, 1) != 0 {
		t.Error("b is refused")
	}
	if table.Give("a", 1); table.Take("a", now, 1) != 0 || table.Take("a", now, 1) == 0 {
		t.Error("what was given back can't be taken again, or more than once")
	}
	if table.Take("a", now.Add(20*time.Second), 1) != 0 {
		t.Error("a is refused after the wait")
	}
}

// A bucket that was used elsewhere is taken up where it was left, but one that
// is full again isn't remembered at all.
func TestKeepAndRestore(t *testing.T) {
	now, r := start.Add(time.Hour), Per(10, time.Minute, start)
	table := NewTable[int](r, 1000, nil)
	var b, again, fresh Shared
	b.Take(&r, now, 10)
	table.Keep(1, now, &b)
	table.Keep(2, now.Add(2*time.Minute), &b)
	if n := table.Len(); n != 1 {
		t.Errorf("%d are remembered, want 1", n)
	}
	table.Restore(2, &fresh)
	if fresh.Take(&r, now, 1) != 0 {
		t.Error("a full bucket has come back empty")
	}
	table.Restore(1, &again)
	if wait := again.Take(&r, now, 1); wait != 6*time.Second {
		t.Error("an empty bucket has come back; wait", wait)
	}
	if table.Len() != 0 {
		t.Error("what was restored is still remembered")
	}
}

// A table forgets those whose buckets are full again, though nobody asks for
// them, and never grows beyond its bound.
func TestTableForgets(t *testing.T) {
	now, forgotten := start.Add(time.Hour), 0
	table := NewTable[int](PerSecond(1, time.Second, start), 1<<16, func(n int) { forgotten += n })
	for i := range 20_000 {
		now = now.Add(10 * time.Millisecond) // 100 of them aren't full at any time
		table.Take(i, now, 1)
	}
	if n := table.Len(); n > 2*tableShards*sweepFrom {
		t.Errorf("%d are remembered", n)
	}
	if forgotten != 0 {
		t.Errorf("%d were forgotten too early", forgotten)
	}

	const size = 1600
	table = NewTable[int](PerSecond(1, time.Hour, start), size, func(n int) { forgotten += n })
	for i := range 100_000 {
		table.Take(i, now, 1)
		if i%1000 == 0 && table.Len() > size {
			t.Fatalf("%d are remembered, with a bound of %d", table.Len(), size)
		}
	}
	if n := table.Len(); n+forgotten != 100_000 {
		t.Errorf("%d are remembered and %d forgotten, of 100000", n, forgotten)
	}
}

// Who is furthest over a limit is not forgotten for others, however many: a
// flood of new keys doesn't wash away whom the limit is for.
func TestFloodDoesNotWashAway(t *testing.T) {
	now := start.Add(time.Hour)
	table := NewTable[string](Per(10, time.Minute, start), 320, nil)
	for range 10 {
		table.Take("victim", now, 1)
	}
	for i := range 50_000 {
		table.Take(fmt.Sprint("other ", i), now, 1)
	}
	if table.Take("victim", now, 1) == 0 {
		t.Error("it was forgotten")
	}
}

// Taking costs no allocation: it is done for each frame.
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
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkTake is what a frame pays at each of its limits.
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
