package reactor

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// queueClock is a clock that stands still until it is moved.
type queueClock struct{ now time.Time }

func (c *queueClock) Now() time.Time { return c.now }

func addrOf(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }

// arrival is a job that arrives at a time after the start.
type arrival struct {
	at   time.Duration
	lane Lane
	addr int
}

// simulate runs a fair queue with one worker whose jobs take cost. arrivals are sorted
// by time. It returns how long each job was in the queue or running; those that were
// refused have 0.
func simulate(t *testing.T, cost, maxWait time.Duration, arrivals []arrival) (took []time.Duration) {
	t.Helper()
	c := &queueClock{time.Unix(1e9, 0)}
	start := c.now
	q := newFairQueue(1, 1<<20, maxWait, c.Now)
	q.lanes[0].cost, q.lanes[1].cost = cost, cost
	took = make([]time.Duration, len(arrivals))
	indexes := make(map[*slowJob]int)
	next := 0
	arrive := func(until time.Time) {
		for next < len(arrivals) && !start.Add(arrivals[next].at).After(until) {
			a := arrivals[next]
			was := c.now
			c.now = start.Add(a.at)
			if err := q.push(a.lane, addrOf(a.addr), task{}); err == nil {
				indexes[q.lane(a.lane).oldest.Back().Value.(*slowJob)] = next
			} else if !errors.Is(err, ErrBusy) {
				t.Fatalf("push: %v, want no error or ErrBusy", err)
			}
			c.now = was
			next++
		}
	}
	for next < len(arrivals) || q.waiting(Slow)+q.waiting(SlowLast) > 0 {
		if q.waiting(Slow)+q.waiting(SlowLast) == 0 {
			c.now = start.Add(arrivals[next].at)
		}
		arrive(c.now)
		if q.waiting(Slow)+q.waiting(SlowLast) == 0 {
			continue
		}
		j, _ := q.pop()
		if j == nil {
			continue
		}
		began := c.now
		arrive(began.Add(cost))
		c.now = began.Add(cost)
		q.done(j, began)
		took[indexes[j]] = c.now.Sub(j.since)
	}
	return took
}

// While six addresses hash at their limit of 20 passwords per second, with bursts of
// 200, and a core does 35, the requests of another address are answered within 2 s:
// logins during a flood of registrations, and both during a flood of their own kind.
func TestFairQueueUnderFlood(t *testing.T) {
	const cost = 28 * time.Millisecond
	for _, tt := range []struct{ flood, victim Lane }{{SlowLast, Slow}, {Slow, Slow}, {SlowLast, SlowLast}} {
		t.Run(fmt.Sprint(tt.flood, tt.victim), func(t *testing.T) {
			var all []arrival
			for addr := 1; addr <= 6; addr++ {
				for i := range 200 {
					all = append(all, arrival{0, tt.flood, addr})
					all = append(all, arrival{time.Duration(i) * 50 * time.Millisecond, tt.flood, addr})
				}
			}
			for i := range 20 {
				all = append(all, arrival{time.Duration(i)*500*time.Millisecond + 7, tt.victim, 100})
			}
			slices.SortStableFunc(all, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
			for i, took := range simulate(t, cost, 5*time.Second, all) {
				if all[i].addr == 100 && (took == 0 || took > 2*time.Second) {
					t.Errorf("the request at %v took %v (0: it was refused), want at most 2s", all[i].at, took)
				}
				if took > 5*time.Second+cost {
					t.Errorf("a request of address %d took %v, want at most 5s and its own work", all[i].addr, took)
				}
			}
		})
	}
}

// A job that couldn't begin in time is refused at once, with the time after which to
// retry. A job of another address isn't, unless there are too many addresses.
func TestFairQueueBound(t *testing.T) {
	c := &queueClock{time.Unix(1e9, 0)}
	q := newFairQueue(2, 1000, time.Second, c.Now)
	q.lane(Slow).cost = 100 * time.Millisecond
	push := func(addr int) error { return q.push(Slow, addrOf(addr), task{}) }
	for i := range 21 {
		if err := push(1); err != nil {
			t.Fatalf("job %d for two workers: %v, want no error: 2s of work take them 1s", i+1, err)
		}
	}
	var busy *BusyError
	if err := push(1); !errors.As(err, &busy) || busy.Wait != time.Second || !errors.Is(err, ErrBusy) {
		t.Errorf("job 22: %v, want a BusyError with a wait of 1s", err)
	}
	for i := range 20 {
		if err := push(2 + i); err != nil {
			t.Errorf("the first job of address %d: %v, want no error", 2+i, err)
		}
	}
	if err := push(200); !errors.Is(err, ErrBusy) {
		t.Errorf("the first job of the 22nd address: %v, want ErrBusy", err)
	}
}

// A job of SlowLast that jobs of Slow have overtaken for too long is refused.
func TestFairQueueExpires(t *testing.T) {
	c := &queueClock{time.Unix(1e9, 0)}
	q := newFairQueue(1, 1000, time.Second, c.Now)
	for _, l := range []Lane{SlowLast, Slow} {
		if err := q.push(l, addrOf(1), task{}); err != nil {
			t.Fatal(err)
		}
	}
	c.now = c.now.Add(time.Second)
	if j, expired := q.pop(); j == nil || j.lane != Slow || len(expired) != 0 {
		t.Fatalf("pop after 1s: %v and %d expired jobs, want the job of Slow and none", j, len(expired))
	}
	if err := q.push(Slow, addrOf(1), task{}); err != nil {
		t.Fatal(err)
	}
	c.now = c.now.Add(1)
	if j, expired := q.pop(); j == nil || j.lane != Slow || len(expired) != 1 || expired[0].lane != SlowLast {
		t.Errorf("pop after more than 1s: %v and %d expired jobs, want the job of Slow and the expired one of SlowLast", j, len(expired))
	}
	q.close()
	if j, expired := q.pop(); j != nil || len(expired) != 0 {
		t.Errorf("pop of an empty closed queue: %v and %d expired jobs, want none", j, len(expired))
	}
}
