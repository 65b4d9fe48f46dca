package groupcommit

import "sync"

// queue holds messages until a transaction takes them. It has one shard per
// writer; a conversation's messages are always in the same shard.
type queue struct {
	maxMessages, maxBytes int

	mu              sync.Mutex
	shards          []shard
	messages, bytes int // in all shards, and deferred by the writers
	closed          bool
}

type shard struct {
	entries []entry
	head    int           // index of the first entry that isn't taken yet
	wake    chan struct{} // holds a value after something has changed

	perSender map[int64]int // weight of the messages that the current take has taken
	skipped   []entry       // entries that the current take has skipped
}

type entry struct {
	a    *Append
	size int
}

// weight is what a message counts toward maxPerSender. A long one takes the disk as
// long as several short ones.
func (e *entry) weight() int { return 1 + e.size/weightBytes }

func newQueue(shards, maxMessages, maxBytes int) *queue {
	q := &queue{maxMessages: maxMessages, maxBytes: maxBytes, shards: make([]shard, shards)}
	for i := range q.shards {
		q.shards[i].wake = make(chan struct{}, 1)
		q.shards[i].perSender = make(map[int64]int)
	}
	return q
}

// shardOf returns the index of a conversation's shard.
func (q *queue) shardOf(a *Append) int {
	if len(q.shards) == 1 {
		return 0
	}
	k := convOf(a)
	h := (uint64(k.group)*0x9e3779b97f4a7c15 ^ uint64(k.lo)*0xbf58476d1ce4e5b9) + uint64(k.hi)*0x94d049bb133111eb
	h ^= h >> 32
	return int(h * 0x9e3779b97f4a7c15 >> 33 % uint64(len(q.shards)))
}

// put adds all of the messages, or none if it returns ErrClosed or ErrBusy.
func (q *queue) put(batch []*Append) error {
	bytes := 0
	for _, a := range batch {
		bytes += a.size()
	}
	var changed uint64 // bit set of shards: there are at most 64
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
		i := q.shardOf(a)
		q.shards[i].put(a)
		changed |= 1 << i
	}
	q.messages += len(batch)
	q.bytes += bytes
	q.mu.Unlock()
	for i := range q.shards {
		if changed&(1<<i) != 0 {
			q.wake(i)
		}
	}
	return nil
}

func (s *shard) put(a *Append) {
	if s.head > 0 && len(s.entries) == cap(s.entries) {
		n := copy(s.entries, s.entries[s.head:])
		clear(s.entries[n:])
		s.entries, s.head = s.entries[:n], 0
	}
	s.entries = append(s.entries, entry{a, a.size()})
}

// take appends the messages of a shard to a batch, up to the limits, but at
// least one if the batch is empty. It doesn't wait. closed reports whether the
// shard is empty and the queue closed.
//
// If more than maxPerSender messages wait, take skips messages of a sender who
// already has that weight in this batch; they stay for the next one. Otherwise one
// sender could fill every batch, and all others would wait longer.
func (q *queue) take(i int, into []*Append, maxMessages, maxBytes int) (batch []*Append, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := &q.shards[i]
	bytes, before, at := 0, len(into), s.head
	limited := len(s.entries)-s.head > maxPerSender
	for ; at < len(s.entries) && len(into) < maxMessages && len(s.skipped) < maxSkipped; at++ {
		e := &s.entries[at]
		if limited && s.perSender[e.a.Sender] >= maxPerSender {
			s.skipped = append(s.skipped, *e)
			continue
		}
		if len(into) > 0 && bytes+e.size > maxBytes {
			break
		}
		if limited {
			s.perSender[e.a.Sender] += e.weight()
		}
		into = append(into, e.a)
		bytes += e.size
	}
	s.finishTake(at)
	q.messages -= len(into) - before
	q.bytes -= bytes
	return into, q.closed && len(s.entries) == 0
}

// finishTake removes the entries before index end. Skipped ones stay: it moves
// them, in their order, to just before end.
func (s *shard) finishTake(end int) {
	clear(s.perSender)
	from := end - len(s.skipped)
	copy(s.entries[from:end], s.skipped)
	clear(s.skipped)
	s.skipped = s.skipped[:0]
	clear(s.entries[s.head:from])
	if s.head = from; s.head == len(s.entries) {
		s.entries, s.head = s.entries[:0], 0
	}
}

// addDeferred counts deferred messages as waiting.
func (q *queue) addDeferred(batch []*Append) { q.count(batch, +1) }

// removeDeferred undoes addDeferred.
func (q *queue) removeDeferred(batch []*Append) { q.count(batch, -1) }

func (q *queue) count(batch []*Append, sign int) {
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
	for i := range q.shards {
		q.wake(i)
	}
}

// wake wakes the writer of a shard.
func (q *queue) wake(i int) {
	select {
	case q.shards[i].wake <- struct{}{}:
	default:
	}
}

// length returns the number of messages in a shard.
func (q *queue) length(i int) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.shards[i].entries) - q.shards[i].head
}

// waiting returns the size of all shards and of the deferred messages.
func (q *queue) waiting() (messages, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.messages, q.bytes
}
