package model

import "sync"

// queue holds messages until a transaction takes them. While one runs, the
// next one's gather. Each writer has a lane, and a conversation is always in
// the same one.
type queue struct {
	maxMessages, maxBytes int

	mu              sync.Mutex
	lanes           []lane
	messages, bytes int // in all lanes, and what writers have put aside
	closed          bool
}

type lane struct {
	entries []entry
	head    int           // entries before it are taken
	wake    chan struct{} // there is something new

	shares  map[int64]int // of the batch at hand, by sender
	skipped []entry
}

type entry struct {
	a    *Append
	size int
}

func newQueue(lanes, maxMessages, maxBytes int) *queue {
	q := &queue{maxMessages: maxMessages, maxBytes: maxBytes, lanes: make([]lane, lanes)}
	for i := range q.lanes {
		q.lanes[i].wake = make(chan struct{}, 1)
		q.lanes[i].shares = make(map[int64]int)
	}
	return q
}

// laneOf is where a message's conversation is at home.
func (q *queue) laneOf(a *Append) int {
	if len(q.lanes) == 1 {
		return 0
	}
	k := convOf(a)
	h := (uint64(k.group)*0x9e3779b97f4a7c15 ^ uint64(k.pair.lo)*0xbf58476d1ce4e5b9) + uint64(k.pair.hi)*0x94d049bb133111eb
	h ^= h >> 32
	return int(h * 0x9e3779b97f4a7c15 >> 33 % uint64(len(q.lanes)))
}

func (q *queue) put(batch []*Append) error {
	bytes := 0
	for _, a := range batch {
		bytes += a.size()
	}
	var woken uint64
	q.mu.Lock()
	switch {
	case q.closed:
		q.mu.Unlock()
		return ErrClosed
	case q.messages+len(batch) > q.maxMessages || q.bytes+bytes > q.maxBytes:
		q.mu.Unlock()
		return ErrBusy
	}
	for _, a := range batch {
		i := q.laneOf(a)
		q.lanes[i].put(a)
		woken |= 1 << i
	}
	q.messages += len(batch)
	q.bytes += bytes
	q.mu.Unlock()
	for i := range q.lanes {
		if woken&(1<<i) != 0 {
			q.poke(i)
		}
	}
	return nil
}

func (l *lane) put(a *Append) {
	if l.head > 0 && len(l.entries) == cap(l.entries) {
		n := copy(l.entries, l.entries[l.head:])
		clear(l.entries[n:])
		l.entries, l.head = l.entries[:n], 0
	}
	l.entries = append(l.entries, entry{a, a.size()})
}

// take adds what has gathered in a lane, up to the bounds of a batch but at
// least one message if the batch is empty. It doesn't wait. closed: nothing
// will come any more.
//
// Of one sender it takes no more than maxShare, and leaves the rest in its
// order for the next batch: others' messages wait for the transaction that is
// running, and then for their own. With a whole window of one who sends as much
// as possible in each of them, everyone would notice.
func (q *queue) take(i int, into []*Append, maxMessages, maxBytes int) (batch []*Append, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := &q.lanes[i]
	bytes, before, at := 0, len(into), l.head
	shared := len(l.entries)-l.head > maxShare
	for ; at < len(l.entries) && len(into) < maxMessages && len(l.skipped) < maxSkipped; at++ {
		e := &l.entries[at]
		if shared && l.shares[e.a.Sender] >= maxShare {
			l.skipped = append(l.skipped, *e)
			continue
		}
		if len(into) > 0 && bytes+e.size > maxBytes {
			break
		}
		if shared {
			l.shares[e.a.Sender]++
		}
		into = append(into, e.a)
		bytes += e.size
	}
	l.putBack(at)
	q.messages -= len(into) - before
	q.bytes -= bytes
	return into, q.closed && len(l.entries) == 0
}

// putBack ends a take that came to at: what it skipped stays, before the rest.
func (l *lane) putBack(at int) {
	clear(l.shares)
	from := at - len(l.skipped)
	copy(l.entries[from:at], l.skipped)
	clear(l.skipped)
	l.skipped = l.skipped[:0]
	clear(l.entries[l.head:from])
	if l.head = from; l.head == len(l.entries) {
		l.entries, l.head = l.entries[:0], 0
	}
}

// aside counts messages that a writer has put aside, or has taken up again
// (sign -1), among those that wait.
func (q *queue) aside(batch []*Append, sign int) {
	bytes := 0
	for _, a := range batch {
		bytes += a.size()
	}
	q.mu.Lock()
	q.messages += sign * len(batch)
	q.bytes += sign * bytes
	q.mu.Unlock()
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	for i := range q.lanes {
		q.poke(i)
	}
}

func (q *queue) poke(i int) {
	select {
	case q.lanes[i].wake <- struct{}{}:
	default:
	}
}

// length is how many messages have gathered in a lane.
func (q *queue) length(i int) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.lanes[i].entries) - q.lanes[i].head
}

func (q *queue) waiting() (messages, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.messages, q.bytes
}
