package tui

import (
	"sync"
	"sync/atomic"

	tea "charm.land/bubbletea/v2"

	"chatd/client"
)

// maxEvents is the number of events that may wait before the client's handlers
// block. Results of sends are not counted; the client's outbox limits them.
const maxEvents = 1024

// mailbox carries events from the client's handlers to the model. Events that
// arrive together are delivered together, so the screen is drawn once. Its
// methods may be called from any goroutine.
type mailbox struct {
	mu     sync.Mutex
	items  []tea.Msg
	closed bool
	wake   chan struct{} // buffer of 1
	room   *sync.Cond
	waits  atomic.Uint64 // how often a handler had to wait
}

// events are delivered together.
type events []tea.Msg

// sendResult is the outcome of a message sent from here.
type sendResult struct {
	conv    client.Conv
	local   int64
	receipt client.Receipt
	err     error
}

func newMailbox() *mailbox {
	b := &mailbox{wake: make(chan struct{}, 1)}
	b.room = sync.NewCond(&b.mu)
	return b
}

// put adds an event. It blocks while the mailbox is full. After close the event
// is dropped.
func (b *mailbox) put(e tea.Msg) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.items) >= maxEvents {
		b.waits.Add(1)
	}
	for len(b.items) >= maxEvents && !b.closed {
		b.room.Wait()
	}
	b.add(e)
}

// putNow adds an event and never blocks.
func (b *mailbox) putNow(e tea.Msg) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(e)
}

func (b *mailbox) add(e tea.Msg) {
	if b.closed {
		return
	}
	b.items = append(b.items, e)
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// deliver passes events to send until close. It blocks.
func (b *mailbox) deliver(send func(tea.Msg)) {
	for range b.wake {
		b.mu.Lock()
		items := b.items
		b.items = nil
		b.room.Broadcast()
		b.mu.Unlock()
		if len(items) > 0 {
			send(events(items))
		}
	}
}

// close ends deliver and unblocks put.
func (b *mailbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		close(b.wake)
		b.room.Broadcast()
	}
}

// handlers returns client handlers that put everything into the mailbox.
func (b *mailbox) handlers() client.Handlers {
	return client.Handlers{
		State:    func(v client.StateChange) { b.put(v) },
		Message:  func(v client.Message) { b.put(v) },
		Event:    func(v client.Event) { b.put(v) },
		Read:     func(v client.Read) { b.put(v) },
		Presence: func(v client.Presence) { b.put(v) },
		Change:   func(v client.Change) { b.put(v) },
	}
}
