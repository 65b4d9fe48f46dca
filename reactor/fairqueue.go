package reactor

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// fairQueue is the queue of the slow workers, which all of them share. Jobs of
// the lane Slow come before those of SlowLast. Within a lane, client addresses
// take turns: an address with many jobs delays its own, and others by one job
// per turn.
//
// The queue is bounded in time: push refuses a job that couldn't begin within
// maxWait. It estimates that from the durations of earlier jobs. A job that has
// waited longer all the same, because later jobs went first or took longer, is
// refused then.
//
// Methods don't block, except pop. Any goroutine may call them.
type fairQueue struct {
	workers int
	maxWait time.Duration
	maxJobs int // that may wait in a lane
	now     func() time.Time

	mu      sync.Mutex
	wake    sync.Cond
	closed  bool
	running int
	lanes   [2]fairLane // Slow, SlowLast
}

// fairLane has the waiting jobs of one lane.
type fairLane struct {
	n      int           // jobs
	cost   time.Duration // moving average of how long a job takes; 0: not known yet
	addrs  map[netip.Addr]*list.Element
	turns  list.List // of *addrJobs with at least one job: the addresses, by turn
	oldest list.List // of *slowJob, in the order of arrival
}

// addrJobs are the waiting jobs of one address, in the order of arrival.
type addrJobs struct {
	addr netip.Addr
	jobs []*slowJob
}

type slowJob struct {
	task  task
	addr  netip.Addr
	lane  Lane
	since time.Time
	at    *list.Element // in oldest
}

// costWeight is the inverse of the weight of a new duration in fairLane.cost.
const costWeight = 8

func newFairQueue(workers, maxJobs int, maxWait time.Duration, now func() time.Time) *fairQueue {
	q := &fairQueue{workers: workers, maxJobs: maxJobs, maxWait: maxWait, now: now}
	q.wake.L = &q.mu
	for i := range q.lanes {
		q.lanes[i].addrs = make(map[netip.Addr]*list.Element)
	}
	return q
}

func (q *fairQueue) lane(l Lane) *fairLane { return &q.lanes[l-Slow] }

// push adds a job of an address. Errors: a *BusyError if the job couldn't begin
// within maxWait; ErrBusy if the lane has too many jobs.
func (q *fairQueue) push(l Lane, addr netip.Addr, tk task) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	ln := q.lane(l)
	if q.tooLong(l, addr) {
		return &BusyError{Wait: q.maxWait}
	}
	if ln.n >= q.maxJobs {
		return ErrBusy
	}
	at := ln.addrs[addr]
	if at == nil {
		at = ln.turns.PushBack(&addrJobs{addr: addr})
		ln.addrs[addr] = at
	}
	a := at.Value.(*addrJobs)
	j := &slowJob{task: tk, addr: addr, lane: l, since: q.now()}
	j.at = ln.oldest.PushBack(j)
	a.jobs = append(a.jobs, j)
	ln.n++
	q.wake.Signal()
	return nil
}

// tooLong reports whether a new job of the address would wait for longer than
// maxWait.
func (q *fairQueue) tooLong(l Lane, addr netip.Addr) bool {
	work := q.maxWait * time.Duration(q.workers) // that may be ahead of it
	ln := q.lane(l)
	work -= ln.cost * time.Duration(q.running) / 2 // on average, half of a running job is done
	if l == SlowLast {
		slow := q.lane(Slow)
		work -= slow.cost * time.Duration(slow.n)
	}
	own := 0
	if at := ln.addrs[addr]; at != nil {
		own = len(at.Value.(*addrJobs).jobs)
	}
	work -= ln.cost * time.Duration(own)
	for at := ln.turns.Front(); at != nil && work >= 0; at = at.Next() {
		if a := at.Value.(*addrJobs); a.addr != addr {
			work -= ln.cost * time.Duration(min(len(a.jobs), own+1))
		}
	}
	return work < 0
}

// pop returns the next job to run. The caller calls done after it, with the time
// at which it began. expired are jobs that have waited for too long: the caller
// refuses them. pop blocks while there is no job. It returns nil and the jobs
// that are left if the queue is closed.
func (q *fairQueue) pop() (next *slowJob, expired []*slowJob) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		now := q.now()
		for i := range q.lanes {
			expired = q.lanes[i].expire(expired, now, q.maxWait, q.closed)
		}
		for i := range q.lanes {
			if ln := &q.lanes[i]; ln.n > 0 {
				at := ln.turns.Front()
				ln.turns.MoveToBack(at)
				q.running++
				return ln.take(at), expired
			}
		}
		if q.closed || len(expired) > 0 {
			return nil, expired
		}
		q.wake.Wait()
	}
}

// expire removes the jobs that have waited for longer than maxWait, or all jobs.
func (ln *fairLane) expire(expired []*slowJob, now time.Time, maxWait time.Duration, all bool) []*slowJob {
	for ln.n > 0 {
		j := ln.oldest.Front().Value.(*slowJob)
		if !all && now.Sub(j.since) <= maxWait {
			break
		}
		// The oldest job of the lane is the first of its address.
		expired = append(expired, ln.take(ln.addrs[j.addr]))
	}
	return expired
}

// take removes the first job of an address.
func (ln *fairLane) take(at *list.Element) *slowJob {
	a := at.Value.(*addrJobs)
	j := a.jobs[0]
	a.jobs[0] = nil
	if a.jobs = a.jobs[1:]; len(a.jobs) == 0 {
		ln.turns.Remove(at)
		delete(ln.addrs, a.addr)
	}
	ln.oldest.Remove(j.at)
	ln.n--
	return j
}

// done says that a job has run since began.
func (q *fairQueue) done(j *slowJob, began time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	ln, took := q.lane(j.lane), q.now().Sub(began)
	if ln.cost == 0 {
		ln.cost = took
	} else {
		ln.cost += (took - ln.cost) / costWeight
	}
}

// waiting returns the number of jobs in a lane.
func (q *fairQueue) waiting(l Lane) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lane(l).n
}

// close makes pop return the waiting jobs as expired, and then nil.
func (q *fairQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wake.Broadcast()
}
