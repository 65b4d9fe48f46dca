package client

import (
	"sync"
	"time"
)

// item is one call of a handler that is due. For a message track is its
// conversation; for all others what is one of the types of Handlers.
type queueItem struct {
	conversation *conversation
	msg          Message
	what         any
}

// queue holds what waits for the handlers. Readers put, the dispatcher takes
// all there is at once.
type queue struct {
	mu    sync.Mutex
	items []queueItem
	wake  chan struct{} // 1: there are items
	room  chan struct{} // 1: items were taken
}

func newQueue() *queue {
	return &queue{wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// put appends items. It does not look at the bound: the reader has, before
// it took the frame in.
func (q *queue) put(items ...queueItem) {
	if len(items) == 0 {
		return
	}
	q.mu.Lock()
	q.items = append(q.items, items...)
	q.mu.Unlock()
	signal(q.wake)
}

// take returns all items and keeps spare, emptied, for those to come.
func (q *queue) take(spare []queueItem) []queueItem {
	clear(spare)
	q.mu.Lock()
	items := q.items
	q.items = spare[:0]
	q.mu.Unlock()
	signal(q.room)
	return items
}

// hasRoom reports whether less than a share of the bound is used.
func (q *queue) hasRoom(share int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) < share
}

// await waits up to d for room, and reports whether there is.
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

// signal makes ch ready, if it is not.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
