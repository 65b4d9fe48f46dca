package tui

import (
	"sync"
	"sync/atomic"

	tea "charm.land/bubbletea/v2"

	"chatd/client"
)

// maxEvents is how many events may wait before put blocks. putNow ignores it:
// it is for results of sends, which the client's outbox limits.
const maxEvents = 1024

// mailbox carries events from the client's handlers to the model. Waiting
// events are delivered in one batch, so that the screen is drawn once for all
// of them. Any goroutine may call its methods.
type mailbox struct {
	mu     sync.Mutex
	items  []tea.Msg
	closed bool
	wake   chan struct{} // buffer of 1
	room   *sync.Cond
	waits  atomic.Uint64 // how often put had to block
}

// events is a batch of events.
type events []tea.Msg

// sendResult is the outcome of a message that this client sent.
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

// put adds an event. It blocks while the mailbox is full. After close it drops
// the event.
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

// deliver passes batches of events to send. It returns after close.
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

// close makes deliver and blocked calls of put return.
func (b *mailbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		close(b.wake)
		b.room.Broadcast()
	}
}

// handlers returns client handlers that put all events into the mailbox.
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
