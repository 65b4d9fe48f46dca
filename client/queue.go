package client

import (
	"sync"
	"time"
)

// queueItem is one pending call of a handler. For a message, conversation and
// msg are set; otherwise what is a value that a handler takes, or a
// queueBarrier.
type queueItem struct {
	conversation *conversation
	msg          Message
	what         any
}

// queue holds the pending calls of handlers. The reader adds items; the
// dispatcher takes all at once.
type queue struct {
	mu    sync.Mutex
	items []queueItem
	wake  chan struct{} // capacity 1: items were added
	room  chan struct{} // capacity 1: items were taken
}

func newQueue() *queue {
	return &queue{wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// put appends items. It doesn't check the capacity: the reader does, before it
// processes a frame.
func (q *queue) put(items ...queueItem) {
	if len(items) == 0 {
		return
	}
	q.mu.Lock()
	q.items = append(q.items, items...)
	q.mu.Unlock()
	signal(q.wake)
}

// take returns all items. It clears spare and uses it for new items.
func (q *queue) take(spare []queueItem) []queueItem {
	clear(spare)
	q.mu.Lock()
	items := q.items
	q.items = spare[:0]
	q.mu.Unlock()
	signal(q.room)
	return items
}

// hasRoom reports whether the queue has fewer than share items.
func (q *queue) hasRoom(share int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) < share
}

// awaitRoom waits up to d until the queue isn't full, and reports whether it has
// room. It returns early if stop is closed.
func (q *queue) awaitRoom(d time.Duration, stop <-chan struct{}) bool {
	if q.hasRoom(queueLen) {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-q.room:
			if q.hasRoom(queueLen) {
				return true
			}
		case <-timer.C:
			return q.hasRoom(queueLen)
		case <-stop:
			return false
		}
	}
}

// signal sends to ch, which has capacity 1, unless it is full.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
